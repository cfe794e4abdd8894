"""The controller's side of the heartbeat, over real HTTP: who may speak, what is answered, one version apart."""

import dataclasses
import io
import json
import subprocess
import sys

import aiohttp
import pytest

from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError, TemporaryError
from controller.optimizer.search_space import GRID
from controller.telemetry.arrival_bins import MOST_BINS, SHORTEST_BIN_S
from controller.telemetry.heartbeat import MOST_EDGES, MOST_KINDS, MOST_LENGTHS, parse_heartbeat
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import HOT_SETTINGS, Outbox, hot_settings_of
from controller.telemetry.reception import Desk, RefusedError, SharedSecret, TooFastError
from controller.telemetry.server import LARGEST_BODY_BYTES, TelemetryServer
from inference_service.counters import LATENCY_BUCKETS_S, Counters
from inference_service.heartbeat_body import Moment, Sender, heartbeat_body
from inference_service.hot_settings import FIELDS, HotSettings, parse_hot_settings
from inference_service.prepare import model_config

SECRET = {"Authorization": "Bearer right"}
BODY = {
    "schema": 1,
    "service": "demo",
    "instance": "demo-00001-3",
    "boot_id": "0a1b",
    "seq": 7,
    "ready": True,
    "draining": False,
    "generation": 3,
    "clock": {"monotonic_s": 123.456, "wall_s": 1790000000.0},
    "bins": {"width_s": 0.1, "first": 1230, "counts": [0, 3, 1], "censored": [1231]},
    "counters": {"accepted": 4, "answered": 4, "rejected": 0, "queue_wait_s": 0.1, "busy_s": 0.2, "cpu_s": 0.3},
    "batches": [{"batch_size": 4, "padded_tokens": 96, "count": 1, "sum_s": 0.02, "sum_sq_s": 0.0004}],
    "lengths": {"16": 1, "32": 3},
    "queue": {"length": 0, "in_flight": 1},
    "cold_start_s": {"python": 0.1, "runtime": 0.2, "model": None, "first_answer": 0.3},
    "workers": {"started": 1, "active": 1},
}


@pytest.fixture
async def link():
    merge, outbox = HeartbeatMerge(), Outbox()
    server = TelemetryServer(SharedSecret("right", Desk(merge, outbox, lambda: 5.0)))
    url = await server.start()
    async with aiohttp.ClientSession(url) as session:
        yield session, merge, outbox
    await server.aclose()


async def post(session, body, headers=SECRET):
    data = body if isinstance(body, bytes | io.BytesIO) else json.dumps(body).encode()
    async with session.post("/v1/heartbeat", data=data, headers=headers) as response:
        return response.status, await response.json()


async def test_a_heartbeat_is_merged_and_answered(link):
    session, merge, _ = link
    status, answer = await post(session, BODY)
    assert (status, answer) == (200, {"schema": 1, "hot_settings": None, "next_s": 1.0})
    assert merge.lengths() == {16: 1, 32: 3}


async def test_desired_settings_come_with_a_generation_above_the_servers(link):
    session, _, outbox = link
    outbox.set(hot_settings_of(ServingConfig(max_batch_size=32)))
    _, answer = await post(session, BODY)
    assert answer["hot_settings"] == {
        "generation": 4,
        "max_batch_size": 32,
        "batch_tokens": 512,
        "max_queue_delay_s": 0.0,
        "max_queue_length": 1000,
        "workers": 1,
    }


async def test_fields_of_a_later_version_are_ignored(link):
    session, _, _ = link
    status, _ = await post(session, BODY | {"gpu": {"memory_mb": 1}, "bins": BODY["bins"] | {"unit": "s"}})
    assert status == 200


async def test_a_sender_that_leaves_out_what_it_does_not_know_is_understood(link):
    session, _, _ = link
    least = ("schema", "service", "instance", "boot_id", "seq", "clock")
    status, _ = await post(session, {name: BODY[name] for name in least})
    assert status == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "right"}, {"Authorization": "Bearer right "}]
)
async def test_without_the_secret_nothing_is_read(link, headers):
    session, merge, _ = link
    status, answer = await post(session, BODY, headers)
    if headers.get("Authorization", "").strip() == "Bearer right":
        assert status == 200  # HTTP strips blanks around a value
    else:
        assert (status, list(answer)) == (401, ["error"])
        assert merge.instances() == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, json.dumps(BODY).replace("0.02", "NaN").encode(), b'{"schema":1}'],
)
async def test_nonsense_is_refused_and_disturbs_nothing(link, body):
    session, merge, _ = link
    status, answer = await post(session, body)
    assert status == 400
    assert answer["error"]
    assert merge.instances() == []


async def test_an_unknown_schema_is_refused_by_a_status_of_its_own(link):
    session, _, _ = link
    status, answer = await post(session, BODY | {"schema": 2})
    assert status == 409
    assert "schema 2" in answer["error"]


async def test_a_body_beyond_the_limit_is_refused_and_told_once(link, caplog):
    session, merge, _ = link
    for _ in range(2):
        status, answer = await post(session, io.BytesIO(b" " * (LARGEST_BODY_BYTES + 1)))
        assert status == 413
        assert "2097152 bytes" in answer["error"]
    assert merge.instances() == []
    assert caplog.text.count("heartbeat_refused status=413") == 1


async def test_a_server_with_thousands_of_kinds_of_batches_is_heard(link):
    session, merge, _ = link
    rows = [BODY["batches"][0] | {"batch_size": size, "padded_tokens": size * 16} for size in range(1, 8001)]
    status, _ = await post(session, BODY | {"batches": rows})
    assert status == 200
    assert len(merge.profile()) == 8000


@pytest.mark.parametrize("digits", [309, 401, 4301])
async def test_a_number_of_hundreds_of_digits_is_refused(link, digits):
    session, merge, _ = link
    status, answer = await post(session, json.dumps(BODY).replace("0.02", "1" * digits).encode())
    assert status == 400
    assert answer["error"]
    assert merge.instances() == []


async def test_many_senders_are_asked_to_report_less_often(link):
    session, _, _ = link
    for number in range(120):
        await post(session, BODY | {"boot_id": str(number), "instance": f"demo-{number}"})
    _, answer = await post(session, BODY)
    assert answer["next_s"] == pytest.approx(121 / 50)


async def test_more_kinds_of_batches_than_a_server_can_have_are_refused_and_the_pod_is_named(house, caplog):
    rows = [BODY["batches"][0] | {"padded_tokens": tokens, "sum_s": 0, "sum_sq_s": 0} for tokens in range(1, 20_002)]
    body = json.dumps(BODY | {"batches": rows}, separators=(",", ":")).encode()
    status, answer = await post(house.session, io.BytesIO(body), shows("one/pod-1"))
    assert status == 400
    assert answer["error"].startswith("heartbeat: batches needs at most 20000 entries, got 20001; ")
    assert "heartbeat_refused status=400 from=pod-1 why=heartbeat: batches" in caplog.text
    assert house.desks["one"].merge.instances() == []


class House:
    """A reception with a desk for each of two services; who shows nothing known is refused."""

    def __init__(self):
        self.desks = {name: Desk(HeartbeatMerge(), Outbox(), lambda: 5.0) for name in ("one", "two")}

    async def find(self, authorization):
        service, _, pod = authorization.partition("/")
        if service == "hasty":
            raise TooFastError("heartbeat: pod team/x sends more than 5 a second")
        if service == "away":
            raise TemporaryError("token: the cluster's keys are not known yet")
        if service not in {*self.desks, "untuned"}:
            raise RefusedError("token: its signature is wrong")
        return dataclasses.replace(self.desks[service], instance=pod) if service in self.desks else None


@pytest.fixture
async def house():
    house = House()
    server = TelemetryServer(house)
    url = await server.start()
    async with aiohttp.ClientSession(url) as session:
        house.session = session
        yield house
    await server.aclose()


def shows(text):
    return {"Authorization": text}


async def test_each_sender_is_led_to_its_desk_whatever_its_body_says(house):
    house.desks["two"].outbox.set(hot_settings_of(ServingConfig(max_batch_size=32)))
    _, one = await post(house.session, BODY | {"service": "two"}, shows("one/pod-1"))
    _, two = await post(house.session, BODY | {"service": "one"}, shows("two/pod-2"))
    assert one["hot_settings"] is None
    assert two["hot_settings"]["max_batch_size"] == 32
    assert [len(desk.merge.instances()) for desk in house.desks.values()] == [1, 1]


async def test_the_name_that_the_reception_knows_takes_the_place_of_the_bodys(house):
    await post(house.session, BODY | {"instance": "somebody-else"}, shows("one/pod-1"))
    (seen,) = house.desks["one"].merge.instances()
    assert seen.heartbeat.instance == "pod-1"


async def test_the_bodys_name_stays_where_the_reception_knows_none(link):
    session, merge, _ = link
    await post(session, BODY)
    assert merge.instances()[0].heartbeat.instance == "demo-00001-3"


async def test_a_server_that_nobody_tunes_is_told_to_ask_again_later(house):
    status, answer = await post(house.session, b"not even read", shows("untuned/pod-9"))
    assert (status, answer) == (200, {"schema": 1, "hot_settings": None, "next_s": 30.0})


async def test_who_cannot_be_identified_is_told_why_and_logged_once(house, caplog):
    for _ in range(2):
        status, answer = await post(house.session, BODY, shows("stranger/x"))
        assert (status, answer) == (401, {"error": "token: its signature is wrong"})
    assert caplog.text.count("heartbeat_refused status=401") == 1


async def test_a_reception_that_cannot_tell_yet_blames_nobody(house):
    status, answer = await post(house.session, BODY, shows("away/x"))
    assert status == 503
    assert "not known yet" in answer["error"]


async def test_who_speaks_too_often_is_told_so_before_its_body_is_read(house, caplog):
    for _ in range(2):
        status, answer = await post(house.session, b"not even read", shows("hasty/x"))
        assert (status, answer) == (429, {"error": "heartbeat: pod team/x sends more than 5 a second"})
    assert caplog.text.count("heartbeat_refused status=429") == 1


async def test_the_senders_of_all_desks_share_the_pace(house):
    for number in range(60):
        await post(house.session, BODY | {"boot_id": f"a{number}"}, shows(f"one/x{number}"))
        _, answer = await post(house.session, BODY | {"boot_id": f"b{number}"}, shows(f"two/y{number}"))
    assert answer["next_s"] == pytest.approx(120 / 50)


async def test_a_pod_that_claims_many_lives_is_one_sender(house):
    for number in range(60):
        _, answer = await post(house.session, BODY | {"boot_id": f"a{number}"}, shows("one/x"))
    assert answer["next_s"] == 1.0


def test_one_machine_needs_no_library_of_tokens_and_certificates():
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import controller.commands.control, controller.sweeps.live_parts, sys; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    assert not {"jwt", "cryptography"} & set(loaded)


async def test_only_the_one_route_exists(link):
    session, _, _ = link
    async with session.get("/v1/heartbeat", headers=SECRET) as response:
        assert response.status == 405
    async with session.put("/v1/settings", headers=SECRET) as response:
        assert response.status == 404


async def test_a_port_in_use_is_named_with_the_remedy(link):
    session, merge, outbox = link
    second = TelemetryServer(SharedSecret("right", Desk(merge, outbox, lambda: 5.0)))
    with pytest.raises(BadInputError, match=r"cannot listen on 127\.0\.0\.1:\d+ \(Address already in use\); free"):
        await second.start(port=session._base_url.port)


def test_what_the_server_writes_the_controller_reads():
    counters = Counters()
    counters.bins.started_s = 90.0
    counters.bins.add(99.95, 2)
    moment = Moment(
        monotonic_s=100.05,
        wall_s=1_790_000_000.0,
        ready=True,
        draining=False,
        generation=3,
        active_workers=1,
        cpu_s=1.5,
    )
    sender = Sender(service="demo", instance="demo-1", boot_id="abc", started_workers=2)
    written = json.loads(json.dumps(heartbeat_body(sender, moment, 7, counters)))
    read = parse_heartbeat(written)
    assert (read.boot_id, read.seq, read.generation, read.workers_started) == ("abc", 7, 3, 2)
    assert sum(read.bins.counts.values()) == 2
    assert set(written["counters"]) == set(read.counters)


def test_the_most_that_a_server_can_say_is_half_of_what_is_taken_at_most():
    """With every kind of batch that the widest settings of the search allow, texts of all lengths, at any latency."""
    longest = model_config._LARGEST["max_length"]
    most_texts, most_tokens = max(GRID["max_batch_size"]), max(GRID["batch_tokens"])
    counters = Counters()
    for length in range(1, longest + 1):
        counters.count_length(length)
        fitting = min(most_texts, max(1, most_tokens // length))
        for size in range(1, int(fitting) + 1):
            counters.count_batch(size=size, tokens=1, padded_tokens=size * length, service_s=length / 7e3)
    for edge in (*LATENCY_BUCKETS_S, 99.0):
        counters.count_call(200, edge)
    counters.bins.started_s = 1e6
    counters.bins.add(1e6 + 1000, 1)
    moment = Moment(1e6 + 1000, 1.79e9, ready=True, draining=False, generation=3, active_workers=1, cpu_s=1.5)
    sender = Sender(service="demo", instance="demo-1", boot_id="abc", started_workers=2)
    body = json.dumps(heartbeat_body(sender, moment, 7, counters)).encode()
    read = parse_heartbeat(json.loads(body))
    assert len(body) < LARGEST_BODY_BYTES
    assert 2 * len(read.batches) <= MOST_KINDS
    assert 2 * len(read.lengths) <= MOST_LENGTHS
    assert 2 * len(read.latency) <= MOST_EDGES
    assert 2 * len(read.bins.counts) <= MOST_BINS
    assert read.bins.width_s >= 2 * SHORTEST_BIN_S


def test_what_the_controller_desires_the_server_understands():
    outbox = Outbox(generation=4)
    outbox.set(hot_settings_of(ServingConfig(max_batch_size=32, max_queue_delay_s=0.005)))
    present = HotSettings(0, 8, 512, 0.0, 1000, 1)
    understood = parse_hot_settings(json.loads(json.dumps(outbox.current())), present=present)
    assert understood == HotSettings(5, 32, 512, 0.005, 1000, 1)
    assert set(FIELDS) == {"generation", *HOT_SETTINGS}
