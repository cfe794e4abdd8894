"""A real Prometheus scrapes what is known, and the source finds it: each dialect, a pod that restarts, one that starts.

The exporter's counters grow by the next number of a sequence right after each scrape, so that what came between two
scrapes is known exactly, however late a busy machine scrapes.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from controller.monitor.prometheus import PrometheusArrivals
from controller.monitor.prometheus_api import PrometheusApi
from controller.monitor.promql import ServiceRef

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.timeout(60)]

BUCKET_S = 0.3
"""Upper edge of the bucket that all latencies fall into."""
BORN = 25
"""What a pod that starts has counted at its first scrape."""
STEADY = (0, 0, 5, 5, 20, 30, 2, 0, 0, 7)
RESTARTED = (0, 0, 3, 9, 1, -1, 8, 12, 0, 5)
"""Arrivals from scrape to scrape. Where -1 stands the pod restarts: its counters begin anew, nothing being lost."""
HISTORY = 7_000_000
"""What a pod has counted before anybody scraped it."""

FORMS = {
    # Status line, target_info, and the duration's buckets and count, as a queue-proxy of Knative 1.21 writes them.
    "knative-target-info": """
target_info{{k8s_namespace_name="shop",k8s_pod_name="{pod}",kn_service_name="reviews",service_name="reviews"}} 1
kn_serving_invocation_duration_seconds_bucket{{http_response_status_code="200",le="0.1"}} 0
kn_serving_invocation_duration_seconds_bucket{{http_response_status_code="200",le="0.3"}} {count}
kn_serving_invocation_duration_seconds_bucket{{http_response_status_code="200",le="+Inf"}} {count}
kn_serving_invocation_duration_seconds_count{{http_response_status_code="200"}} {count}
""",
    "knative": """
kn_serving_invocation_duration_seconds_bucket{{k8s_namespace_name="shop",kn_service_name="labelled",le="0.1"}} 0
kn_serving_invocation_duration_seconds_bucket{{k8s_namespace_name="shop",kn_service_name="labelled",le="0.3"}} {count}
kn_serving_invocation_duration_seconds_bucket{{k8s_namespace_name="shop",kn_service_name="labelled",le="+Inf"}} {count}
kn_serving_invocation_duration_seconds_count{{k8s_namespace_name="shop",kn_service_name="labelled"}} {count}
kn_serving_invocation_duration_seconds_count{{k8s_namespace_name="other",kn_service_name="labelled"}} {other}
""",
    "knative-1.18": """
revision_request_latencies_bucket{{namespace_name="shop",service_name="legacy",response_code="200",le="100"}} 0
revision_request_latencies_bucket{{namespace_name="shop",service_name="legacy",response_code="200",le="300"}} {count}
revision_request_latencies_bucket{{namespace_name="shop",service_name="legacy",response_code="200",le="+Inf"}} {count}
revision_request_latencies_count{{namespace_name="shop",service_name="legacy",response_code="200"}} {count}
revision_request_count{{namespace_name="shop",service_name="legacy",response_code="200"}} {count}
revision_app_request_count{{namespace_name="shop",service_name="legacy",response_code="200"}} {other}
""",
    # The activator; and a queue-proxy whose resource attributes were promoted, which has a series of the same name.
    "knative-activator": """
http_server_request_duration_seconds_bucket{{k8s_namespace_name="shop",kn_service_name="fronted",le="0.1"}} 0
http_server_request_duration_seconds_bucket{{k8s_namespace_name="shop",kn_service_name="fronted",le="0.3"}} {count}
http_server_request_duration_seconds_bucket{{k8s_namespace_name="shop",kn_service_name="fronted",le="+Inf"}} {count}
http_server_request_duration_seconds_count{{k8s_namespace_name="shop",kn_service_name="fronted"}} {count}
http_server_request_duration_seconds_count{{container_name="queue-proxy",k8s_namespace_name="shop",\
kn_service_name="fronted"}} {other}
""",
    "tidegate": """
tidegate_request_duration_seconds_bucket{{status="200",le="0.1"}} 0
tidegate_request_duration_seconds_bucket{{status="200",le="0.3"}} {count}
tidegate_request_duration_seconds_bucket{{status="200",le="+Inf"}} {count}
tidegate_request_duration_seconds_count{{status="200"}} {count}
tidegate_requests_total{{outcome="accepted"}} {half}
tidegate_requests_total{{outcome="answered"}} {other}
tidegate_rejected_total{{reason="queue-full"}} {rest}
tidegate_rejected_total{{reason="invalid-input"}} {other}
""",
}
SERVICES = {
    "knative-target-info": "reviews",
    "knative": "labelled",
    "knative-1.18": "legacy",
    "knative-activator": "fronted",
    "tidegate": "ours",
}


@dataclass
class Pod:
    form: str
    sequence: tuple[int, ...]
    count: int = HISTORY
    starts_after: Pod | None = None
    scrapes: int = 0
    sent: int = 0
    told: list[tuple[float, int]] = field(default_factory=list)
    """When each scrape was, and how much had been sent until then."""

    def is_done(self) -> bool:
        return self.scrapes >= len(self.sequence) + 4

    async def metrics(self, _request: web.Request) -> web.Response:
        if self.starts_after is not None and self.starts_after.scrapes < 5:
            raise web.HTTPServiceUnavailable
        self.told.append((time.time(), self.sent))
        count, half = self.count, self.count // 2
        text = FORMS[self.form].format(
            pod=id(self),
            count=count,
            half=half,
            rest=count - half,
            other=99 * self.scrapes,
        )
        grown = self.sequence[self.scrapes] if self.scrapes < len(self.sequence) else 0
        self.scrapes += 1
        if grown < 0:
            self.count = 0
        else:
            self.count, self.sent = self.count + grown, self.sent + grown
        return web.Response(text=text.lstrip(), content_type="text/plain")


@asynccontextmanager
async def exporter(pods):
    app = web.Application()
    for number, pod in enumerate(pods):
        app.router.add_get(f"/{number}/metrics", pod.metrics)
    async with TestServer(app) as server:
        yield server


@asynccontextmanager
async def prometheus(folder, jobs):
    config, port = folder / "prometheus.yml", unused_port()
    document = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
    config.write_text(json.dumps(document))  # JSON is YAML
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def job(server, number, pod):
    target = {"targets": [f"{server.host}:{server.port}"]}
    if pod.form == "tidegate":
        target["labels"] = {"namespace": "shop", "serving_knative_dev_service": "ours"}
    # Two pods of one service are two instances; here they are one address with two paths.
    name = {"target_label": "instance", "replacement": f"10.0.0.{number}:9091"}
    return {
        "job_name": f"pod {number}",
        "metrics_path": f"/{number}/metrics",
        "static_configs": [target],
        "relabel_configs": [name],
    }


async def until(condition, *, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def sources(pods, folder, started_at_s):
    """A source for each service, refreshed as the operator does; from when all pods were seen first."""
    async with exporter(pods) as server, aiohttp.ClientSession() as session:
        jobs = [job(server, number, pod) for number, pod in enumerate(pods)]
        async with prometheus(folder, jobs) as url:
            await until(lambda: all(pod.scrapes >= 2 for pod in pods if pod.starts_after is None))
            api = PrometheusApi(session, url)
            yield {
                form: PrometheusArrivals(
                    api,
                    ServiceRef("shop", name),
                    started_at_s=started_at_s,
                    is_activator_in_path=form == "knative-activator",
                )
                for form, name in SERVICES.items()
            }


async def test_the_source_finds_what_a_real_prometheus_scraped(tmp_path):
    restarted = [Pod(form, RESTARTED) for form in FORMS]
    born = Pod("knative-target-info", RESTARTED[2:5], count=BORN, starts_after=restarted[0])
    steady = Pod("knative-target-info", STEADY)
    pods = [*restarted, steady, born]
    started_at_s = time.time() - 5
    async with sources(pods, tmp_path, started_at_s) as found:
        while not all(pod.is_done() for pod in pods):
            for source in found.values():
                await source.refresh(time.time() - started_at_s)
            await asyncio.sleep(0.2)
        settled_s = time.time() - started_at_s
        for form, source in found.items():
            await until_complete(source, settled_s, started_at_s)
            counted = [pod for pod in pods if pod.form == form]
            first, counts, censored = source.counts(settled_s)
            assert source.dialect == form
            assert source.resolution_s == 5.0 if form == "knative-1.18" else 0.8 < source.resolution_s < 2.0
            assert counts.sum() == sum(pod.sent for pod in counted) + (BORN if born in counted else 0)
            assert censored.any()
            assert censored.sum() <= 6
            assert_at_the_right_seconds(first, counts, counted, started_at_s, born)
            latency = await source.latency_counts(settled_s)
            assert list(latency) == pytest.approx([0.1, BUCKET_S, math.inf])
            # Prometheus extrapolates a growth to the ends of the time that is asked for.
            assert latency[BUCKET_S] == sum(latency.values()) > 0


async def until_complete(source, settled_s, started_at_s):
    """Refresh until nothing before a time is missing."""
    deadline = time.monotonic() + 20
    while told_until(source, settled_s) < int(settled_s):
        assert time.monotonic() < deadline, "the source did not get there"
        await source.refresh(time.time() - started_at_s)
        await asyncio.sleep(0.2)


def told_until(source, settled_s):
    first, counts, _ = source.counts(settled_s)
    return first + counts.size


def assert_at_the_right_seconds(first, counts, pods, started_at_s, born):
    """What is counted until a second lies between what had been told a scrape before and a scrape after."""
    counted = np.cumsum(counts)
    for bin_, total in enumerate(counted.tolist()):
        at_s = started_at_s + first + bin_ + 1
        least = sum(told_at(pod, at_s - 1.0, born) for pod in pods)
        most = sum(told_at(pod, at_s + 2.5, born) for pod in pods)
        assert least - 1 <= total <= most + 1, f"second {first + bin_}"


def told_at(pod, at_s, born):
    before = [sent for told_s, sent in pod.told if told_s <= at_s]
    return (BORN if pod is born and before else 0) + max(before, default=0)
