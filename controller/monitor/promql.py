"""What a service's requests and latency are called in Prometheus, by who counts them, and the queries for them.

Text only: `prometheus` sends it. Arrivals are asked for as raw samples, with a range selector: only they tell when a
counter was scraped and when it began anew. `increase()` extrapolates, and leaves out all that a series counted before
its first sample, which after a start from zero is the beginning of the burst.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

PROBE_LABEL = "dialect"


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """A Knative Service; of an InferenceService NAME it is called NAME-predictor."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """The names that one kind of exporter uses.

    Attributes:
        name: for messages and status.
        counter: PromQL matcher of the metric's name, and what else selects the requests that count as arrivals.
        service_label: names the Knative Service ...
        namespace_label: ... and this its namespace.
        named_on: what bears the two: each series, or only `target_info` of the same job and instance.
        latency: histogram of durations, without its suffixes.
        latency_unit_s: seconds in one unit of that histogram.
        reported_every_s: how long the exporter keeps a request to itself, however often it is scraped.
    """

    name: str
    counter: tuple[str, ...]
    service_label: str
    namespace_label: str
    named_on: Literal["series", "target"]
    latency: str
    latency_unit_s: float = 1.0
    reported_every_s: float = 0.0


TIDEGATE = Dialect(
    # See inference_service.metrics. The two labels come from the scraping: docs/prometheus.md. A label that is absent
    # is matched by an empty value, so one selector takes the requests let in and those that a full queue refused.
    name="tidegate",
    counter=(
        '__name__=~"tidegate_requests_total|tidegate_rejected_total"',
        'outcome=~"accepted|"',
        'reason=~"queue-full|"',
    ),
    service_label="serving_knative_dev_service",
    namespace_label="namespace",
    named_on="series",
    latency="tidegate_request_duration_seconds",
)
KNATIVE = Dialect(
    # Knative 1.19 and later where the resource's attributes were made labels of each series, as Prometheus does with
    # what its `otlp.promote_resource_attributes` lists.
    name="knative",
    counter=('__name__="kn_serving_invocation_duration_seconds_count"',),
    service_label="kn_service_name",
    namespace_label="k8s_namespace_name",
    named_on="series",
    latency="kn_serving_invocation_duration_seconds",
)
KNATIVE_TARGET = Dialect(
    # The same, scraped: seen at the port of a queue-proxy of Knative 1.21, whose series bear a status code only, while
    # its target_info bears kn_service_name and k8s_namespace_name, and is there before the first request.
    name="knative-target-info",
    counter=KNATIVE.counter,
    service_label="kn_service_name",
    namespace_label="k8s_namespace_name",
    named_on="target",
    latency=KNATIVE.latency,
)
KNATIVE_1_18 = Dialect(
    # Knative 1.18 and earlier: names, labels, milliseconds and the five seconds as its page on the metrics of services
    # has them. This counter is of requests that reach the queue-proxy, `revision_app_request_count` of those let in.
    name="knative-1.18",
    counter=('__name__="revision_request_count"',),
    service_label="service_name",
    namespace_label="namespace_name",
    named_on="series",
    latency="revision_request_latencies",
    latency_unit_s=0.001,
    reported_every_s=5.0,
)
ACTIVATOR = Dialect(
    # Knative 1.21's activator adds the labels to the duration of each request (its source, metric_handler.go). The
    # queue-proxy has a series of the same name, which bears them too where resource attributes are promoted.
    name="knative-activator",
    counter=('__name__="http_server_request_duration_seconds_count"', 'container_name!="queue-proxy"'),
    service_label="kn_service_name",
    namespace_label="k8s_namespace_name",
    named_on="series",
    latency="http_server_request_duration_seconds",
)
DIALECTS = (TIDEGATE, KNATIVE, KNATIVE_TARGET, KNATIVE_1_18)
"""In order of preference: our server counts requests when they arrive, Knative when they have been answered."""


def probe_query(dialects: Iterable[Dialect], service: ServiceRef, *, back_s: float) -> str:
    """Ask which of the dialects speak of the service: a vector whose label `dialect` names each that does."""
    return " or ".join(
        f"label_replace(count(last_over_time({_named(each, service)}[{seconds(back_s)}])), "
        f'"{PROBE_LABEL}", "{each.name}", "", "")'
        for each in dialects
    )


def targets_query(dialect: Dialect, service: ServiceRef, *, back_s: float) -> str:
    """Ask for the scrapes of all that served the service, requests or none; for a dialect named on its target."""
    return f"{_named(dialect, service)}[{seconds(back_s)}]"


def samples_query(
    dialect: Dialect, service: ServiceRef, *, back_s: float, targets: Collection[tuple[str, str]] = ()
) -> str:
    """Ask for the raw samples of the counters of arrivals.

    Args:
        dialect: how they are called.
        service: whose.
        back_s: seconds back from the time of the query.
        targets: jobs and instances, where the dialect is named on its target. The answer may hold further pairs.
    """
    if dialect.named_on == "series":
        return f"{_named(dialect, service)}[{seconds(back_s)}]"
    jobs, instances = ({pair[place] for pair in targets} for place in (0, 1))
    matchers = (*dialect.counter, f"job=~{_any_of(jobs)}", f"instance=~{_any_of(instances)}")
    return f"{{{', '.join(matchers)}}}[{seconds(back_s)}]"


def buckets_query(dialect: Dialect, service: ServiceRef, *, back_s: float) -> str:
    """Ask for the growth of the durations' buckets, cumulative: a vector whose `le` is in the dialect's unit."""
    name = f'__name__="{dialect.latency}_bucket"'
    if dialect.named_on == "series":
        others = (each for each in dialect.counter if not each.startswith(("__name__", "outcome", "reason")))
        grown = f"increase({_selector((name, *others), dialect, service)}[{seconds(back_s)}])"
    else:
        targets = targets_query(dialect, service, back_s=back_s)
        grown = f"increase({{{name}}}[{seconds(back_s)}]) and on (job, instance) last_over_time({targets})"
    return f"sum by (le) ({grown})"


def quote(text: str) -> str:
    """Return a PromQL string that means this text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def seconds(duration_s: float) -> str:
    """Return a PromQL duration of whole seconds, rounded up, at least one."""
    return f"{max(1, math.ceil(duration_s))}s"


def target_of(labels: Mapping[str, str]) -> tuple[str, str]:
    """Return the job and instance of a series."""
    return labels.get("job", ""), labels.get("instance", "")


def _named(dialect: Dialect, service: ServiceRef) -> str:
    """Return the selector of what bears the service's name."""
    matchers = dialect.counter if dialect.named_on == "series" else ('__name__="target_info"',)
    return _selector(matchers, dialect, service)


def _selector(matchers: Iterable[str], dialect: Dialect, service: ServiceRef) -> str:
    whose = (
        f"{dialect.service_label}={quote(service.name)}",
        f"{dialect.namespace_label}={quote(service.namespace)}",
    )
    return f"{{{', '.join((*matchers, *whose))}}}"


def _any_of(values: Iterable[str]) -> str:
    return quote("|".join(re.escape(value) for value in sorted(values)))
