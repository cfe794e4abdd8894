"""The server's side of the heartbeat: what it says, how it is sent, what is done with the answer."""

import asyncio
import json

import pytest

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
        self.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    def answer(self, document, status=200):
        self.answer_raw(json.dumps(document).encode(), status)

    def answer_raw(self, body, status=200):
        self.reply = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    async def handle(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
        self.heads.append(head)
        self.bodies.append(json.loads(await reader.readexactly(length)))
        writer.write(self.reply)
        await writer.drain()
        writer.close()


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


def make_sender(port, counters, holder):
    settings = Settings(controller_url=f"http://127.0.0.1:{port}", controller_token="secret")  # noqa: S106  no secret
    return HeartbeatSender(
        settings, counters, lambda: b'{"schema": 1}', lambda document: holder.offer(document, "heartbeat")
    )


async def test_it_is_posted_with_the_token(controller, counters, holder):
    await make_sender(controller.port, counters, holder).send()
    assert controller.heads[0].startswith("POST /v1/heartbeat HTTP/1.1\r\n")
    assert "Authorization: Bearer secret\r\n" in controller.heads[0]
    assert controller.bodies == [{"schema": 1}]
    assert counters.heartbeats == {"answered": 1}


async def test_newer_hot_settings_of_the_answer_are_applied(controller, counters, holder):
    controller.answer({"hot_settings": {"generation": 4, "max_batch_size": 2, "new_knob": 1}, "next_s": 5})
    assert await make_sender(controller.port, counters, holder).send() == 5.0
    assert (holder.present.generation, holder.present.max_batch_size, holder.present.batch_tokens) == (4, 2, 512)


@pytest.mark.parametrize("generation", [2, 3])
async def test_older_or_equal_hot_settings_are_ignored(controller, counters, holder, generation):
    controller.answer({"hot_settings": {"generation": generation, "max_batch_size": 2}})
    await make_sender(controller.port, counters, holder).send()
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
    controller, counters, holder, document, capsys
):
    before = holder.present
    controller.answer({"hot_settings": document})
    sender = make_sender(controller.port, counters, holder)
    await sender.send()
    await sender.send()
    assert holder.present is before
    assert counters.config_reloads == {"refused": 2}
    assert capsys.readouterr().err.count("hot_settings_refused") == 1


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "http-401"),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", "http-409"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "unreachable"),
        (b"nonsense\r\n\r\n", "unreachable"),
        (b"", "unreachable"),
    ],
)
async def test_a_failure_is_counted_and_harmless(controller, counters, holder, reply, result):
    controller.reply = reply
    assert await make_sender(controller.port, counters, holder).send() == 1.0
    assert counters.heartbeats == {result: 1}


async def test_a_controller_that_is_away_is_counted(unused_tcp_port, counters, holder):
    await make_sender(unused_tcp_port, counters, holder).send()
    assert counters.heartbeats == {"unreachable": 1}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"next_s": 1' + b"0" * 400 + b"}",
        b'{"hot_settings": {"generation": 5, "workers": 9' + b"9" * 400 + b"}}",
        b"[" * 30_000,
    ],
)
async def test_no_answer_of_a_controller_ends_the_heartbeats(controller, counters, holder, raw):
    controller.answer_raw(raw)
    sender = make_sender(controller.port, counters, holder)
    assert await sender.send() in {1.0, 60.0}
    controller.answer({"next_s": 0.5})
    assert await sender.send() == 0.5
    assert holder.present.generation == 3


@pytest.mark.parametrize(
    ("asked", "pause_s"), [(0, 0.05), (1e9, 60.0), (None, 1.0), ("soon", 1.0), (float("inf"), 1.0)]
)
async def test_the_pause_asked_for_is_kept_within_bounds(controller, counters, holder, asked, pause_s):
    controller.answer({"next_s": asked})
    assert await make_sender(controller.port, counters, holder).send() == pause_s
