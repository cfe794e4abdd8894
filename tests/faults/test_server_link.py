"""A real server and a controller that comes, answers, and dies."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


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
