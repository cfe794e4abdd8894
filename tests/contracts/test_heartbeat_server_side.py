"""The server's side of the heartbeat: what it says, how it is sent, what is done with the answer."""

import asyncio
import contextlib
import functools
import json
import time

import pytest

from controller.telemetry.tls import make_authority
from inference_service.counters import Counters
from inference_service.heartbeat import HeartbeatSender
from inference_service.heartbeat_body import Moment, Sender, heartbeat_body
from inference_service.hot_settings import HotSettings, HotSettingsHolder
from inference_service.settings import Settings

SENDER = Sender(service="demo", instance="demo-1", boot_id="abc", started_workers=2)


def moment(**changes):
    values = {
        "monotonic_s": 100.05,
        "wall_s": 1_790_000_000.0,
        "ready": True,
        "draining": False,
        "generation": 3,
        "active_workers": 1,
        "cpu_s": 1.5,
    }
    return Moment(**(values | changes))


@pytest.fixture
def counters():
    counted = Counters()
    counted.bins.started_s = 90.0
    return counted


def test_a_heartbeat_has_the_fields_of_schema_1(counters):
    body = json.loads(json.dumps(heartbeat_body(SENDER, moment(), 7, counters)))
    assert {name: body[name] for name in ("schema", "service", "instance", "boot_id", "seq")} == {
        "schema": 1,
        "service": "demo",
        "instance": "demo-1",
        "boot_id": "abc",
        "seq": 7,
    }
    assert {"ready", "draining", "generation", "clock", "bins", "counters", "batches", "lengths"} <= body.keys()
    assert body["queue"] == {"length": 0, "in_flight": 0}
    assert body["workers"] == {"started": 2, "active": 1}
    assert body["clock"] == {"monotonic_s": 100.05, "wall_s": 1_790_000_000.0}


def test_arrivals_are_in_the_bins_of_the_monotonic_clock(counters):
    counters.bins.add(99.95, 2)
    counters.bins.add(100.01, 1)
    bins = heartbeat_body(SENDER, moment(), 1, counters)["bins"]
    assert bins["first"] + len(bins["counts"]) - 1 == 1000
    assert bins["counts"][-2:] == [2, 1]


def test_the_bins_after_a_start_and_of_a_full_queue_are_censored(counters):
    counters.bins.censor(99.0)
    bins = heartbeat_body(SENDER, moment(), 1, counters)["bins"]
    assert bins["censored"] == [*range(900, 930), 990]


def test_at_most_120_seconds_of_bins_are_kept(counters):
    counters.bins.started_s = 0.0
    counters.bins.add(1.0, 5)
    bins = heartbeat_body(SENDER, moment(monotonic_s=1000.0), 1, counters)["bins"]
    assert len(bins["counts"]) == 1200
    assert sum(bins["counts"]) == 0
    assert counters.bins.counts == {}


def test_batches_and_lengths_are_keyed_by_multiples_of_16(counters):
    counters.count_batch(size=4, tokens=80, padded_tokens=88, service_s=0.5)
    counters.count_batch(size=4, tokens=80, padded_tokens=96, service_s=0.25)
    counters.count_length(16)
    counters.count_length(17)
    body = heartbeat_body(SENDER, moment(), 1, counters)
    assert body["batches"] == [{"batch_size": 4, "padded_tokens": 96, "count": 2, "sum_s": 0.75, "sum_sq_s": 0.3125}]
    assert body["lengths"] == {"16": 1, "32": 1}


class Controller:
    """A minimal HTTP server that keeps what it is sent and answers as told."""

    def __init__(self):
        self.heads = []
        self.bodies = []
        self.connections = 0
        self.closes = False
        self.greeting = b""
        self.heard = asyncio.Event()
        self.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    def answer(self, document, status=200):
        self.answer_raw(json.dumps(document).encode(), status)

    def answer_raw(self, body, status=200):
        self.reply = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    async def handle(self, reader, writer):
        self.connections += 1
        writer.write(self.greeting)
        with contextlib.suppress(ConnectionError, EOFError):
            await self.answer_all(reader, writer)
        writer.close()

    async def answer_all(self, reader, writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
            self.heads.append(head)
            self.bodies.append(json.loads(await reader.readexactly(length)))
            self.heard.set()
            writer.write(self.reply)
            if not self.reply and not self.closes:
                await reader.read()
            if self.closes or b"Content-Length" not in self.reply:
                return


@pytest.fixture
async def controller():
    kept = Controller()
    server = await asyncio.start_server(kept.handle, "127.0.0.1", 0)
    kept.port = server.sockets[0].getsockname()[1]
    yield kept
    server.close()


@pytest.fixture
def holder(counters):
    return HotSettingsHolder(HotSettings(3, 8, 512, 0.0, 1000, 2), counters)


@pytest.fixture
async def make_sender(counters, holder):
    made = []

    def make(port, **link):
        link = {"controller_url": f"http://127.0.0.1:{port}"} | (link or {"controller_token": "secret"})
        offer = functools.partial(holder.offer, source="heartbeat")
        made.append(HeartbeatSender(Settings(**link), counters, lambda: b'{"schema": 1}', offer))
        return made[-1]

    yield make
    for sender in made:
        sender.close()
    await asyncio.sleep(0.01)


async def test_it_is_posted_with_the_token(controller, make_sender, counters):
    await make_sender(controller.port).send()
    assert controller.heads[0].startswith("POST /v1/heartbeat HTTP/1.1\r\n")
    assert "Authorization: Bearer secret\r\n" in controller.heads[0]
    assert controller.bodies == [{"schema": 1}]
    assert counters.heartbeats == {"answered": 1}


async def test_newer_hot_settings_of_the_answer_are_applied(controller, make_sender, holder):
    controller.answer({"hot_settings": {"generation": 4, "max_batch_size": 2, "new_knob": 1}, "next_s": 5})
    assert await make_sender(controller.port).send() == 5.0
    assert (holder.present.generation, holder.present.max_batch_size, holder.present.batch_tokens) == (4, 2, 512)


@pytest.mark.parametrize("generation", [2, 3])
async def test_older_or_equal_hot_settings_are_ignored(controller, make_sender, counters, holder, generation):
    controller.answer({"hot_settings": {"generation": generation, "max_batch_size": 2}})
    await make_sender(controller.port).send()
    assert holder.present.max_batch_size == 8
    assert counters.config_reloads == {}


@pytest.mark.parametrize(
    "document",
    [
        {"generation": 4, "max_batch_size": 0},
        {"generation": 4, "max_batch_size": 2.5},
        {"generation": 4, "max_batch_size": True},
        {"generation": 4, "max_batch_size": "2"},
        {"generation": 4, "max_queue_delay_s": -1},
        {"generation": 4, "workers": 3},
        {"max_batch_size": 2},
        [],
    ],
)
async def test_invalid_hot_settings_are_refused_as_a_whole_and_logged_once(
    controller, make_sender, holder, document, capsys
):
    before = holder.present
    controller.answer({"hot_settings": document})
    sender = make_sender(controller.port)
    await sender.send()
    await sender.send()
    assert holder.present is before
    assert sender._counters.config_reloads == {"refused": 2}
    assert capsys.readouterr().err.count("hot_settings_refused") == 1


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "http-401"),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", "http-409"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n{}", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "unreachable"),
        (b"HTTP/1.1 503 Away\r\n\r\n", "http-503"),
        (b"nonsense\r\n\r\n", "unreachable"),
        (b"", "unreachable"),
    ],
)
async def test_a_failure_is_counted_and_harmless(controller, make_sender, counters, reply, result):
    controller.reply, controller.closes = reply, True
    assert await make_sender(controller.port).send() == 1.0
    assert counters.heartbeats == {result: 1}


async def test_a_controller_that_is_away_is_counted(unused_tcp_port, make_sender, counters):
    await make_sender(unused_tcp_port).send()
    assert counters.heartbeats == {"unreachable": 1}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"next_s": 1' + b"0" * 400 + b"}",
        b'{"hot_settings": {"generation": 5, "workers": 9' + b"9" * 400 + b"}}",
        b"[" * 30_000,
    ],
)
async def test_no_answer_of_a_controller_ends_the_heartbeats(controller, make_sender, holder, raw):
    controller.answer_raw(raw)
    sender = make_sender(controller.port)
    assert await sender.send() in {1.0, 60.0}
    controller.answer({"next_s": 0.5})
    assert await sender.send() == 0.5
    assert holder.present.generation == 3


@pytest.mark.parametrize(
    ("asked", "pause_s"), [(0, 0.05), (1e9, 60.0), (None, 1.0), ("soon", 1.0), (float("inf"), 1.0)]
)
async def test_the_pause_asked_for_is_kept_within_bounds(controller, make_sender, asked, pause_s):
    controller.answer({"next_s": asked})
    assert await make_sender(controller.port).send() == pause_s


async def test_the_connection_stays_open_between_heartbeats(controller, make_sender):
    sender = make_sender(controller.port)
    for _ in range(3):
        await sender.send()
    assert (controller.connections, len(controller.bodies)) == (1, 3)


@pytest.mark.parametrize("status", [401, 503])
async def test_a_refusal_keeps_the_connection_too(controller, make_sender, counters, status):
    controller.answer({"error": "why"}, status)
    sender = make_sender(controller.port)
    await sender.send()
    await sender.send()
    assert controller.connections == 1
    assert counters.heartbeats == {f"http-{status}": 2}


async def test_a_connection_that_the_peer_closed_is_opened_again_silently(controller, make_sender, counters):
    controller.closes = True
    sender = make_sender(controller.port)
    for _ in range(3):
        await sender.send()
        await asyncio.sleep(0.01)
    assert controller.connections == 3
    assert counters.heartbeats == {"answered": 3}


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
    ],
)
async def test_a_peer_that_does_not_keep_connections_gets_one_each(controller, make_sender, counters, reply):
    controller.reply = reply
    sender = make_sender(controller.port)
    await sender.send()
    await sender.send()
    assert controller.connections == 2
    assert counters.heartbeats == {"answered": 2}


async def test_the_last_heartbeat_does_not_wait_for_one_on_its_way(controller, make_sender, counters):
    sender = make_sender(controller.port)
    controller.reply = b""
    slow = asyncio.create_task(sender.send())
    await controller.heard.wait()
    controller.answer({})
    await asyncio.wait_for(sender.send(), 1)
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    assert counters.heartbeats == {"answered": 1}


async def test_the_token_file_is_read_anew_for_every_heartbeat(controller, make_sender, counters, tmp_path):
    token = tmp_path / "token"
    sender = make_sender(controller.port, controller_token_file=str(token))
    for text in ("first", "second\n"):
        token.write_text(text)
        await sender.send()
    shown = [head.split("Authorization: ")[1].split("\r\n")[0] for head in controller.heads]
    assert shown == ["Bearer first", "Bearer second"]
    assert counters.heartbeats == {"answered": 2}


@pytest.mark.parametrize("content", [None, b"", b" \n", b"a\r\nb", b"\xff\xfe", b"a\x00b"])
async def test_without_a_usable_token_file_a_heartbeat_is_sent_without_and_counted(
    controller, make_sender, counters, tmp_path, content
):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    controller.answer({"error": "who?"}, 401)
    sender = make_sender(controller.port, controller_token_file=str(tmp_path / "token"))
    assert await sender.send() == 1.0
    assert "Authorization" not in controller.heads[0]
    assert counters.heartbeats == {"no-token": 1}


@pytest.mark.parametrize("content", [None, b"", b"\n", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAA"])
async def test_without_a_usable_ca_file_nothing_is_sent(controller, make_sender, counters, tmp_path, content):
    if content is not None:
        (tmp_path / "ca.crt").write_bytes(content)
    link = {"controller_url": f"https://localhost:{controller.port}", "controller_ca_file": str(tmp_path / "ca.crt")}
    assert await make_sender(controller.port, **link).send() == 1.0
    assert counters.heartbeats == {"no-ca": 1}
    assert controller.connections == 0


async def test_a_peer_that_speaks_no_tls_is_counted_as_unreachable(controller, make_sender, counters, tmp_path):
    controller.greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    ca_file = tmp_path / "ca.crt"
    ca_file.write_bytes(make_authority(time.time()).to_pem()["ca.crt"])
    link = {"controller_url": f"https://localhost:{controller.port}", "controller_ca_file": str(ca_file)}
    await make_sender(controller.port, **link).send()
    assert counters.heartbeats == {"unreachable": 1}


async def test_a_peer_that_says_nothing_costs_two_seconds(counters, make_sender):
    async def handle(reader, writer):
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(handle, "127.0.0.1", 0)
    sender = make_sender(silent.sockets[0].getsockname()[1])
    began_s = time.monotonic()
    await sender.send()
    assert 1.9 < time.monotonic() - began_s < 4
    assert counters.heartbeats == {"unreachable": 1}
    silent.close()
