"""A real server and a controller that comes, answers, and dies."""

import asyncio
import dataclasses
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from controller.domain.serving_config import ServingConfig
from controller.telemetry.identity import TokenIdentity
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox, hot_settings_of
from controller.telemetry.reception import Desk, RefusedError, bearer_token
from controller.telemetry.server import TelemetryServer
from controller.telemetry.tls import make_authority, server_context


@pytest.fixture
def controller():
    """Keeps every heartbeat; `answer` is sent back."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.heartbeats.append(body)
            text = json.dumps(self.server.answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.heartbeats = []
    server.answer = {"schema": 1, "hot_settings": None, "next_s": 0.1}
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_first_heartbeat_precedes_readiness_and_the_last_says_draining(start_server, controller):
    server = start_server(controller_url=controller.url, service="demo", instance="demo-1")
    assert server.predict("a", "b")[0] == 200
    server.wait_until(lambda: controller.heartbeats[-1]["counters"]["answered"] == 2)
    assert server.terminate() == 0
    first, last = controller.heartbeats[0], controller.heartbeats[-1]
    assert (first["ready"], first["seq"], first["service"], first["instance"]) == (False, 1, "demo", "demo-1")
    assert (last["draining"], last["ready"], last["counters"]["answered"]) == (True, False, 2)
    assert [each["seq"] for each in controller.heartbeats] == list(range(1, len(controller.heartbeats) + 1))
    assert len({each["boot_id"] for each in controller.heartbeats}) == 1
    assert last["counters"]["cpu_s"] > 0
    assert sum(last["bins"]["counts"]) == 2
    assert sum(batch["count"] * batch["batch_size"] for batch in last["batches"]) == 2


def test_hot_settings_of_an_answer_are_in_force_and_reported(start_server, controller):
    controller.answer["hot_settings"] = {"generation": 2, "max_batch_size": 3}
    server = start_server(controller_url=controller.url)
    server.wait_until(lambda: controller.heartbeats[-1]["generation"] == 2)
    assert server.count('hot_setting{name="max_batch_size"}') == 3


def test_the_server_goes_on_when_the_controller_dies(start_server, controller):
    controller.answer["hot_settings"] = {"generation": 2, "max_batch_size": 3}
    server = start_server(controller_url=controller.url)
    server.wait_until(lambda: server.count("hot_settings_generation") == 2)
    controller.shutdown()
    controller.server_close()
    server.wait_until(lambda: 'heartbeats_total{result="unreachable"}' in server.request("GET", "/metrics")[2])
    assert server.predict("a")[0] == 200
    assert server.count("hot_settings_generation") == 2
    assert server.terminate() == 0


class Pods:
    """A cluster with one key and one tuned service: signs tokens for pods and is the reception that knows them."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.desk = Desk(HeartbeatMerge(), Outbox(), time.monotonic)
        self.shown = []
        self.refusals = []
        self.identity = TokenIdentity(self.fetch_keys, now=time.time)

    async def fetch_keys(self):
        row = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return json.dumps({"keys": [row | {"kid": "one", "alg": "ES256"}]}).encode()

    def token(self, pod, lasts_s=600):
        bound = {"namespace": "shop", "pod": {"name": pod, "uid": "u"}, "serviceaccount": {"name": "default"}}
        claims = {"aud": ["tidegate"], "exp": int(time.time()) + lasts_s, "kubernetes.io": bound}
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": "one"})

    async def find(self, authorization):
        try:
            identity = await self.identity.verify(bearer_token(authorization))
        except RefusedError as error:
            self.refusals.append(str(error))
            raise
        self.shown.append(identity.pod)
        return dataclasses.replace(self.desk, instance=identity.pod)

    def seen(self):
        return [each.heartbeat for each in self.desk.merge.instances()]


class Operator:
    """The controller's end of the link with TLS, in a thread of its own."""

    def __init__(self, folder):
        self.pods = Pods()
        self.authority = make_authority(time.time())
        self.token, self.ca = folder / "token", folder / "ca.crt"
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = TelemetryServer(self.pods)
        context = server_context(self.authority.issue(["localhost"], time.time()))
        self.connections = 0
        context.sni_callback = self.count
        self.url = self.call(self.server.start(ssl_context=context)).replace("127.0.0.1", "localhost")

    def count(self, *_):
        self.connections += 1

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def mount(self, *, ca=None, pod="shop-1"):
        self.token.write_text(self.pods.token(pod))
        if ca is not None:
            self.ca.write_bytes(ca.to_pem()["ca.crt"])

    def link(self):
        return {
            "controller_url": self.url,
            "controller_token_file": self.token,
            "controller_ca_file": self.ca,
            "instance": "what-it-calls-itself",
        }

    def close(self):
        self.call(self.server.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def operator(tmp_path):
    operator = Operator(tmp_path)
    yield operator
    operator.close()


def heartbeats(server, result):
    series = f'tidegate_heartbeats_total{{result="{result}"}} '
    lines = server.request("GET", "/metrics")[2].splitlines()
    return next((float(line.removeprefix(series)) for line in lines if line.startswith(series)), 0)


def test_a_pod_is_known_by_its_token_over_one_tls_connection_and_gets_its_settings(start_server, operator):
    operator.mount(ca=operator.authority)
    operator.pods.desk.outbox.set(hot_settings_of(ServingConfig(max_batch_size=3)))
    server = start_server(**operator.link())
    server.wait_until(lambda: server.count('hot_setting{name="max_batch_size"}') == 3)
    server.wait_until(lambda: len(operator.pods.shown) >= 3)
    assert server.terminate() == 0
    (last,) = operator.pods.seen()
    assert (last.instance, last.draining) == ("shop-1", True)
    assert operator.connections == 1


def test_a_ca_file_that_comes_after_the_start_is_used_from_then_on(start_server, operator):
    operator.mount()
    server = start_server(**operator.link())
    server.wait_until(lambda: heartbeats(server, "no-ca") >= 1)
    operator.mount(ca=operator.authority)
    server.wait_until(lambda: heartbeats(server, "answered") >= 1)
    assert server.terminate() == 0


def test_a_controller_of_another_authority_is_told_nothing_until_the_ca_file_names_it(start_server, operator):
    operator.mount(ca=make_authority(time.time()))
    server = start_server(**operator.link())
    server.wait_until(lambda: heartbeats(server, "untrusted") >= 1)
    assert operator.pods.shown == []
    operator.mount(ca=operator.authority)
    server.wait_until(lambda: heartbeats(server, "answered") >= 1)
    assert server.terminate() == 0


def test_a_rotated_token_is_shown_at_the_next_heartbeat(start_server, operator):
    operator.mount(ca=operator.authority, pod="before")
    server = start_server(**operator.link())
    server.wait_until(lambda: "before" in operator.pods.shown)
    operator.mount(pod="after")
    server.wait_until(lambda: "after" in operator.pods.shown)
    assert operator.connections == 1
    assert [seen.instance for seen in operator.pods.seen()] == ["after"]
    assert server.terminate() == 0


def test_an_expired_token_is_refused_and_the_server_serves_on(start_server, operator):
    operator.mount(ca=operator.authority)
    operator.token.write_text(operator.pods.token("late", lasts_s=-60))
    server = start_server(**operator.link())
    server.wait_until(lambda: heartbeats(server, "http-401") >= 1)
    assert "has expired" in operator.pods.refusals[0]
    assert operator.pods.seen() == []
    assert server.predict("a")[0] == 200
    assert server.terminate() == 0


def test_a_token_file_that_is_gone_for_a_while_is_counted_and_survived(start_server, operator):
    operator.mount(ca=operator.authority)
    operator.token.unlink()
    server = start_server(**operator.link())
    server.wait_until(lambda: heartbeats(server, "no-token") >= 1)
    operator.mount()
    server.wait_until(lambda: heartbeats(server, "answered") >= 1)
    assert server.terminate() == 0


def test_an_operator_that_was_started_again_is_found_without_a_lost_heartbeat(start_server, operator):
    operator.mount(ca=operator.authority)
    server = start_server(**operator.link())
    server.wait_until(lambda: operator.pods.shown)
    port = int(operator.url.rpartition(":")[2])
    operator.call(operator.server.aclose())
    context = server_context(operator.authority.issue(["localhost"], time.time()))
    operator.call(operator.server.start(port=port, ssl_context=context))
    heard = len(operator.pods.shown)
    server.wait_until(lambda: len(operator.pods.shown) > heard)
    assert heartbeats(server, "unreachable") == 0
    assert server.terminate() == 0


def test_without_a_ca_file_the_systems_store_decides(start_server, operator, monkeypatch):
    operator.mount(ca=operator.authority)
    link = operator.link() | {"controller_ca_file": ""}
    stranger = start_server(**link)
    stranger.wait_until(lambda: heartbeats(stranger, "untrusted") >= 1)
    monkeypatch.setenv("SSL_CERT_FILE", str(operator.ca))
    server = start_server(**link)
    server.wait_until(lambda: heartbeats(server, "answered") >= 1)
    assert (stranger.terminate(), server.terminate()) == (0, 0)
