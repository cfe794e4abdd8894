"""The second source of arrivals: what it asks, and that nothing an answer may hold leads to more than a plain error."""

from __future__ import annotations

import asyncio
import json
import math
import re
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from controller.errors import BadInputError, TemporaryError
from controller.monitor import prometheus_api
from controller.monitor.prometheus import PrometheusArrivals
from controller.monitor.prometheus_api import PrometheusApi
from controller.monitor.promql import (
    ACTIVATOR,
    DIALECTS,
    KNATIVE_1_18,
    KNATIVE_TARGET,
    TIDEGATE,
    ServiceRef,
    buckets_query,
    probe_query,
    quote,
    samples_query,
)

SHOP = ServiceRef("shop", "reviews")


def vector(*entries):
    return {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"metric": m, "value": [0, v]} for m, v in entries]},
    }


def matrix(*entries):
    return {
        "status": "success",
        "data": {"resultType": "matrix", "result": [{"metric": m, "values": v} for m, v in entries]},
    }


class FakePrometheus:
    """Answers each kind of query with what was set for it, and remembers the queries."""

    def __init__(self):
        self.probe = vector(({"dialect": "knative-1.18"}, "1"))
        self.samples = matrix(({"pod_name": "a"}, [[0, "0"], [15, "30"], [30, "45"]]))
        self.targets = matrix(({"job": "pods", "instance": "10.0.0.1:9091"}, [[0, "1"], [15, "1"]]))
        self.latency = vector(({"le": "500"}, "18.2"), ({"le": "+Inf"}, "20"), ({"le": "100"}, "5"))
        self.queries: list[str] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = str((await request.post())["query"])
        self.queries.append(query)
        if "last_over_time" in query and "dialect" in query:
            body = self.probe
        elif "sum by (le)" in query:
            body = self.latency
        elif "target_info" in query:
            body = self.targets
        else:
            body = self.samples
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=text, status=self.status, headers={"Location": "http://elsewhere/"})


@asynccontextmanager
async def served(fake, **options):
    app = web.Application()
    app.router.add_post("/prefix/api/v1/query", fake.answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        api = PrometheusApi(session, f"http://user:secret@{server.host}:{server.port}/prefix")
        yield PrometheusArrivals(api, SHOP, **options)


async def test_arrivals_come_from_the_dialect_that_speaks_of_the_service():
    fake = FakePrometheus()
    async with served(fake) as source:
        await source.refresh(31.0)
        assert source.dialect == "knative-1.18"
        assert source.resolution_s == 15.0
        assert source.counts(31.0)[1].tolist() == [2] * 15 + [1] * 15
    assert "revision_request_count" in fake.queries[1]
    assert 'service_name="reviews"' in fake.queries[1]


async def test_only_what_is_new_is_asked_for_and_no_more_often_than_is_of_use():
    fake = FakePrometheus()
    async with served(fake) as source:
        for now_s in (31.0, 32.0, 33.0, 37.0):
            await source.refresh(now_s)
    first, second = fake.queries[1:]
    assert first.endswith("[900s]")
    assert second.endswith("[66s]")


async def test_series_named_by_their_target_are_asked_for_by_job_and_instance():
    fake = FakePrometheus()
    fake.probe = vector(({"dialect": "knative-target-info"}, "1"), ({"dialect": "knative-1.18"}, "1"))
    ours, other = {"job": "pods", "instance": "10.0.0.1:9091"}, {"job": "pods", "instance": "10.0.0.2:9091"}
    fake.samples = matrix((ours, [[0, "0"], [15, "30"]]), (other, [[0, "0"], [15, "99"]]))
    async with served(fake) as source:
        await source.refresh(31.0)
        assert source.counts(31.0)[1].sum() == 30
    assert 'instance=~"10\\\\.0\\\\.0\\\\.1:9091"' in fake.queries[-1]


async def test_the_first_requests_of_a_pod_that_was_scraped_before_are_counted():
    fake = FakePrometheus()
    ours = {"job": "pods", "instance": "10.0.0.1:9091"}
    fake.probe = vector(({"dialect": "knative-target-info"}, "1"))
    fake.targets = matrix((ours, [[at_s, "1"] for at_s in range(0, 90, 15)]))
    fake.samples = matrix((ours | {"http_response_status_code": "200"}, [[60, "30"], [75, "30"]]))
    async with served(fake) as source:
        await source.refresh(76.0)
        assert source.counts(76.0)[1].tolist() == [0] * 45 + [2] * 15 + [0] * 15


async def test_a_service_that_is_scraped_nowhere_has_no_counts_and_is_looked_for_again_after_a_minute():
    fake = FakePrometheus()
    fake.probe = vector()
    async with served(fake) as source:
        for now_s in range(0, 120, 5):
            await source.refresh(float(now_s))
        assert source.dialect is None
        assert source.counts(120.0)[1].size == 0
        assert await source.latency_counts(120.0) == {}
    assert len(fake.queries) == 2


async def test_after_an_upgrade_of_knative_the_new_names_are_found_and_their_totals_are_no_burst():
    fake = FakePrometheus()
    async with served(fake) as source:
        await source.refresh(31.0)
        fake.probe = vector(({"dialect": "knative"}, "2"))
        fake.samples = matrix(({"pod_name": "b"}, [[380, "7000"], [395, "7015"]]))
        await source.refresh(400.0)
        assert source.dialect == "knative"
        assert source.counts(400.0)[1].sum() == 45 + 15


async def test_the_activator_is_asked_only_where_every_request_passes_it():
    fake = FakePrometheus()
    async with served(fake) as source:
        await source.refresh(31.0)
    async with served(fake, is_activator_in_path=True) as source:
        fake.probe = vector(({"dialect": "knative"}, "1"), ({"dialect": "knative-activator"}, "1"))
        await source.refresh(31.0)
        assert source.dialect == "knative-activator"
    assert "http_server_request" not in fake.queries[0]


async def test_latency_is_in_seconds_whatever_the_dialect_counts_in():
    fake = FakePrometheus()
    async with served(fake) as source:
        await source.refresh(31.0)
        assert await source.latency_counts(31.0) == {0.1: 5, 0.5: 13, math.inf: 2}


async def test_latency_is_asked_for_now_and_then():
    fake = FakePrometheus()
    async with served(fake) as source:
        await source.refresh(31.0)
        found = [await source.latency_counts(31.0 + second) for second in range(30)]
    assert found == [found[0]] * 30
    assert sum("sum by (le)" in query for query in fake.queries) == 2


@pytest.mark.parametrize("bucket", [({"le": "x"}, "3"), ({}, "3"), ({"le": "NaN"}, "3"), ({"le": "100"}, "NaN")])
async def test_a_bucket_that_cannot_be_read_is_left_out(bucket):
    fake = FakePrometheus()
    fake.latency = vector(bucket, ({"le": "+Inf"}, "7"))
    async with served(fake) as source:
        await source.refresh(31.0)
        assert await source.latency_counts(31.0) == {math.inf: 7}


async def test_latency_of_no_requests_is_empty():
    fake = FakePrometheus()
    fake.latency = vector()
    async with served(fake) as source:
        await source.refresh(31.0)
        assert await source.latency_counts(31.0) == {}


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (b"<html>login</html>", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b"\xff\xfe", "no JSON object"),
        (b"[]", "no JSON object"),
        ({"status": "error", "error": "out of memory"}, "no success.*out of memory"),
        ({"status": "success"}, "instead of a matrix"),
        ({"status": "success", "data": {"resultType": "vector", "result": []}}, "'vector' instead of a matrix"),
        ({"status": "success", "data": {"resultType": "matrix", "result": {}}}, "instead of a matrix"),
        ({"status": "success", "data": {"resultType": "matrix", "result": [1]}}, "entries are no objects"),
        ({"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}}]}}, "without values"),
        (matrix(("no labels", [[0, "1"]])), "without labels"),
        (matrix(({}, [[0, "NaN"]])), "no finite number"),
        (matrix(({}, [[0, "+Inf"]])), "no finite number"),
        (matrix(({}, [["later", "1"]])), "instead of a time and a number"),
        (matrix(({}, [[0]])), "instead of a time and a number"),
        (matrix(({}, [[0, None]])), "instead of a time and a number"),
        (matrix(({}, [[10**400, "1"]])), "instead of a time and a number"),
        (matrix(({}, ["0"])), "instead of a time and a number"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_one_plain_error(samples, message):
    fake = FakePrometheus()
    async with served(fake) as source:
        await source.refresh(31.0)
        before = source.counts(31.0)[1].tolist()
        fake.samples = samples
        with pytest.raises(
            TemporaryError, match=r"^http://127\.0\.0\.1:\d+/prefix/api/v1/query: samples of arrivals: "
        ) as told:
            await source.refresh(46.0)
        assert re.search(message, str(told.value))
        assert "secret" not in str(told.value)
        assert source.counts(46.0)[1].tolist() == before


@pytest.mark.parametrize("status", [302, 400, 401, 503])
async def test_a_status_that_is_no_success_is_told(status):
    fake = FakePrometheus()
    fake.probe = {"status": "error", "errorType": "bad_data", "error": "parse error"}
    fake.status = status
    async with served(fake) as source:
        with pytest.raises(TemporaryError, match=rf"probe of the metrics' names: status {status} \(parse error\)"):
            await source.refresh(0.0)


async def test_a_failure_is_told_until_the_next_attempt_and_nothing_is_lost():
    fake = FakePrometheus()
    async with served(fake) as source:
        await source.refresh(31.0)
        fake.status = 503
        with pytest.raises(TemporaryError):
            await source.refresh(46.0)
        fake.status = 200
        fake.samples = matrix(({"pod_name": "a"}, [[30, "45"], [45, "60"], [60, "75"]]))
        with pytest.raises(TemporaryError, match="status 503"):
            await source.refresh(47.0)
        await source.refresh(61.0)
        assert source.counts(61.0)[1].sum() == 75


async def test_a_probe_that_failed_is_repeated_at_the_next_attempt():
    fake = FakePrometheus()
    fake.status = 503
    async with served(fake) as source:
        with pytest.raises(TemporaryError, match="status 503"):
            await source.refresh(26.0)
        fake.status = 200
        await source.refresh(31.0)
        assert source.dialect == "knative-1.18"


async def test_a_server_that_is_not_there_is_told():
    async with aiohttp.ClientSession() as session:
        source = PrometheusArrivals(PrometheusApi(session, f"http://127.0.0.1:{unused_port()}"), SHOP)
        with pytest.raises(TemporaryError, match="cannot be reached"):
            await source.refresh(0.0)


async def test_a_server_that_does_not_answer_is_left_after_the_timeout(monkeypatch):
    monkeypatch.setattr(prometheus_api, "TIMEOUT_S", 0.05)
    fake, released = FakePrometheus(), asyncio.Event()
    answer = fake.answer

    async def late(request):
        await released.wait()
        return await answer(request)

    fake.answer = late
    async with served(fake) as source:
        with pytest.raises(TemporaryError, match="no answer within"):
            await source.refresh(0.0)
        released.set()


async def test_after_an_answer_that_is_too_large_less_history_is_asked_for(monkeypatch):
    monkeypatch.setattr(prometheus_api, "LARGEST_ANSWER_BYTES", 1000)
    fake = FakePrometheus()
    async with served(fake) as source:
        fake.samples = matrix(({}, [[i, "1"] for i in range(1000)]))
        with pytest.raises(TemporaryError, match="larger than 1000 bytes"):
            await source.refresh(0.0)
        with pytest.raises(TemporaryError, match="larger than 1000 bytes"):
            await source.refresh(10.0)
    assert fake.queries[-1].endswith("[450s]")


@pytest.mark.parametrize("url", ["", "prometheus:9090", "ftp://prometheus", "http://", "http://[::1", "http://a:b:c"])
async def test_a_url_that_is_none_is_refused_at_once(url):
    async with aiohttp.ClientSession() as session:
        with pytest.raises(BadInputError, match="needs an http or https URL"):
            PrometheusApi(session, url)


@pytest.mark.parametrize("kept_s", [0.0, -1.0, 3601.0, float("nan")])
async def test_more_history_than_an_hour_is_refused(kept_s):
    async with aiohttp.ClientSession() as session:
        api = PrometheusApi(session, "http://prometheus")
        with pytest.raises(BadInputError, match="kept_s"):
            PrometheusArrivals(api, SHOP, kept_s=kept_s)


def test_a_name_cannot_leave_its_quotes():
    hostile = 'x"} or vector(1) #\\\n'
    query = samples_query(KNATIVE_1_18, ServiceRef("shop", hostile), back_s=60)
    assert query.count('"') - query.count('\\"') == 6
    assert "\n" not in query
    assert quote('a"b\\c\n') == '"a\\"b\\\\c\\n"'


def test_one_query_asks_for_all_dialects():
    query = probe_query(DIALECTS, SHOP, back_s=3600)
    assert re.findall(r'"dialect", "([^"]+)"', query) == [each.name for each in DIALECTS]


def test_our_own_server_counts_what_it_let_in_and_what_a_full_queue_refused():
    query = samples_query(TIDEGATE, SHOP, back_s=60)
    assert 'outcome=~"accepted|"' in query
    assert 'reason=~"queue-full|"' in query


def test_latency_of_a_target_is_that_of_its_service_only():
    assert "and on (job, instance) last_over_time({" in buckets_query(KNATIVE_TARGET, SHOP, back_s=60)


def test_a_queue_proxy_is_not_taken_for_the_activator():
    assert 'container_name!="queue-proxy"' in samples_query(ACTIVATOR, SHOP, back_s=60)
    assert 'container_name!="queue-proxy"' in buckets_query(ACTIVATOR, SHOP, back_s=60)
