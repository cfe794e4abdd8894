"""Every Prometheus series of the server: name, labels, help. A view of the counters, made when somebody scrapes."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from inference_service.hot_settings import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.core import Metric

    from inference_service.counters import Counters, Histogram
    from inference_service.hot_settings import HotSettings

PREFIX = "tidegate_"


def render_metrics(counters: Counters, hot: HotSettings, *, cpu_s: float) -> bytes:
    """The text of /metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CountersView(counters, hot, cpu_s))  # pyright: ignore[reportArgumentType]  a collector by shape
    return generate_latest(registry)


class CountersView:
    """A Prometheus collector over the server's plain counters."""

    def __init__(self, counters: Counters, hot: HotSettings, cpu_s: float) -> None:
        self._counters = counters
        self._hot = hot
        self._cpu_s = cpu_s

    def collect(self) -> Iterable[Metric]:
        """All series."""
        yield from self._histograms()
        yield from self._counts()
        yield from self._gauges()

    def _histograms(self) -> Iterable[Metric]:
        counters = self._counters
        calls = {str(status): histogram for status, histogram in counters.request_s.items()}
        yield _histogram("request_duration_seconds", "Prediction calls, from the first byte read.", calls, "status")
        for name, meaning, histogram in (
            ("queue_wait_seconds", "From joining the queue to leaving it in a batch.", counters.queue_wait_s),
            ("inference_duration_seconds", "Service time of a batch as its worker measured it.", counters.inference_s),
            ("batch_size", "Requests in a batch.", counters.batch_size),
            ("batch_tokens", "Padded tokens in a batch.", counters.batch_tokens),
            ("batch_padding_ratio", "Share of a batch's tokens that are padding.", counters.padding_ratio),
        ):
            yield _histogram(name, meaning, {"": histogram})

    def _counts(self) -> Iterable[Metric]:
        counters = self._counters
        requests = {
            "accepted": counters.accepted,
            "answered": counters.answered,
            "expired": counters.expired,
            "failed": counters.failed,
            "cancelled": counters.cancelled,
        }
        yield _counter("requests", "Instances by what became of them.", requests, "outcome")
        yield _counter("rejected", "Instances or calls turned away.", counters.rejected, "reason")
        yield _counter("config_reloads", "Hot settings offered.", counters.config_reloads, "result")
        yield _counter("heartbeats", "Heartbeats sent.", counters.heartbeats, "result")
        yield _counter("worker_deaths", "Workers that ended unasked.", {"": counters.worker_deaths})
        yield _counter("worker_busy_seconds", "Service time of all workers.", {"": counters.busy_s})
        yield _counter("cpu_seconds", "CPU time of server and workers.", {"": self._cpu_s})

    def _gauges(self) -> Iterable[Metric]:
        counters = self._counters
        yield _gauge("in_flight", "Instances that a worker holds.", {"": counters.in_flight})
        yield _gauge("queue_length", "Instances that wait.", {"": counters.queue_length})
        yield _gauge("cold_start_seconds", "Stages of this process's start.", counters.cold_start_s, "stage")
        hot = {name: float(getattr(self._hot, name)) for name in FIELDS if name != "generation"}
        yield _gauge("hot_setting", "Settings in force.", hot, "name")
        yield _gauge("hot_settings_generation", "Generation of the settings in force.", {"": self._hot.generation})


def _histogram(name: str, meaning: str, series: Mapping[str, Histogram], label: str = "") -> Metric:
    family = HistogramMetricFamily(PREFIX + name, meaning, labels=[label] if label else [])
    for value, histogram in series.items():
        edges = [*map(str, histogram.edges), "+Inf"]
        buckets = list(zip(edges, map(float, accumulate(histogram.counts)), strict=True))
        family.add_metric([value] if label else [], buckets, histogram.total)
    return family


def _counter(name: str, meaning: str, series: Mapping[str, float], label: str = "") -> Metric:
    family = CounterMetricFamily(PREFIX + name, meaning, labels=[label] if label else [])
    for value, count in series.items():
        family.add_metric([value] if label else [], count)
    return family


def _gauge(name: str, meaning: str, series: Mapping[str, float], label: str = "") -> Metric:
    family = GaugeMetricFamily(PREFIX + name, meaning, labels=[label] if label else [])
    for value, level in series.items():
        family.add_metric([value] if label else [], level)
    return family
