"""What a run measured: load.json and the table on the terminal.

Percentiles are observed values, taken from all raw times at once; never from buckets, never averaged over generators.
"""

from __future__ import annotations

import math
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypedDict, get_args

import numpy as np

from controller.domain.request_log import RequestClass
from controller.domain.slo import window_violation_ratio
from loadtest.validity import LATE_S, why_invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.request_log import RequestRow
    from loadtest.options import LoadOptions
    from loadtest.validity import GeneratorFigures

PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
PACKAGES = ("tidegate", "locust", "gevent", "geventhttpclient", "numpy")

Percentiles = dict[str, float | None]


class ClassFigures(TypedDict):
    """One class of requests; the latency is done minus intended of those that got any answer."""

    count: int
    share: float
    latency_s: Percentiles


class ObjectiveFigures(TypedDict):
    """How the measured requests kept the objective; those without a right answer count as late."""

    quantile: float
    bound_s: float
    latency_s: float | None
    late: int
    window_violation_ratio: float


class LoadDocument(TypedDict):
    """load.json; rates are per second, a percentile that falls among requests without a right answer is None."""

    schema: int
    valid: bool
    why: str | None
    started_at: float
    duration_s: float
    elapsed_s: float
    requests: int
    offered_rps: float
    sent_rps: float
    answered_rps: float
    classes: dict[str, ClassFigures]
    failures: dict[str, int]
    latency_s: dict[str, Percentiles]
    latency_with_failures_s: dict[str, Percentiles]
    objective: ObjectiveFigures | None
    generator: dict[str, float | int | str]
    seeds: dict[str, int | None]
    versions: dict[str, str]
    options: dict[str, object]


def load_document(
    rows: Sequence[RequestRow], figures: GeneratorFigures, options: LoadOptions, *, started_at: float
) -> LoadDocument:
    """Return load.json of a run with at least one row.

    Args:
        rows: every request of the schedule that was due, in order.
        figures: of the generators.
        options: of the run.
        started_at: wall clock of time zero, seconds since 1970.
    """
    names = np.array([row.request_class for row in rows], dtype=np.str_)
    intended_s, sent_s, done_s = np.array([(row.intended_s, row.sent_s, row.done_s) for row in rows]).T
    lag_s, felt_s = sent_s - intended_s, done_s - intended_s
    right, measured = np.isin(names, ("ok", "cold_start")), names != "warm_up"
    failed_s = np.where(right, felt_s, math.inf)[measured]
    late = int((lag_s > LATE_S).sum())
    why = why_invalid(late, len(rows), figures)
    elapsed_s = max(figures.elapsed_s, 1e-6)
    return {
        "schema": 1,
        "valid": why is None,
        "why": why,
        "started_at": started_at,
        "duration_s": options.duration_s,
        "elapsed_s": elapsed_s,
        "requests": len(rows),
        "offered_rps": len(options.schedule) / options.duration_s,
        "sent_rps": float(np.isfinite(sent_s).sum()) / options.duration_s,
        "answered_rps": float(np.isfinite(done_s).sum()) / elapsed_s,
        "classes": {name: _class_figures(felt_s[names == name], len(rows)) for name in get_args(RequestClass)},
        "failures": dict(figures.reasons),
        "latency_s": {
            "from_intended": _percentiles(felt_s[right]),
            "from_sent": _percentiles((done_s - sent_s)[right]),
        },
        "latency_with_failures_s": {"from_intended": _percentiles(failed_s)},
        "objective": _objective(failed_s, options),
        "generator": {
            "late_share": late / len(rows),
            "late_means_over_s": LATE_S,
            "worst_lag_s": float(np.fmax.reduce(lag_s, initial=0.0)),
            "skipped": figures.skipped,
            "cpu_share": figures.cpu_share,
            "cpu_ms_per_request": 1000 * figures.cpu_s / len(rows),
            "workers": figures.workers,
            "priority": figures.priority,
        },
        "seeds": {"schedule": options.seed},
        "versions": _versions(),
        "options": options.source,
    }


def exit_code(document: LoadDocument) -> int:
    """Return 4 for an invalid run, 1 when every measured request ended in an error, else 0."""
    if not document["valid"]:
        return 4
    classes = document["classes"]
    return 1 if classes["error"]["count"] == document["requests"] - classes["warm_up"]["count"] else 0


def table(document: LoadDocument) -> str:
    """Return the classes that occurred as lines of text: count, share, percentiles of latency in milliseconds."""
    lines = [f"{'class':<11}{'count':>8}{'share':>8}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}"]
    for name, figures in document["classes"].items():
        if figures["count"]:
            latencies = "".join(f"{_milliseconds(value):>10}" for value in figures["latency_s"].values())
            lines.append(f"{name:<11}{figures['count']:>8}{figures['share']:>8.1%}{latencies}")
    lines += [f"{count} x {reason}" for reason, count in document["failures"].items()]
    return "\n".join(lines)


def _milliseconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{1000 * value_s:.1f}"


def _class_figures(felt_s: NDArray[np.float64], requests: int) -> ClassFigures:
    answered = felt_s[np.isfinite(felt_s)]
    return {"count": len(felt_s), "share": len(felt_s) / requests, "latency_s": _percentiles(answered)}


def _objective(felt_s: NDArray[np.float64], options: LoadOptions) -> ObjectiveFigures | None:
    """Return how requests in order of arrival kept the objective; None where there is none."""
    slo = options.slo
    if slo is None:
        return None
    at_s = float(np.quantile(felt_s, slo.quantile, method="inverted_cdf")) if len(felt_s) else math.inf
    late = felt_s > slo.bound_s
    return {
        "quantile": slo.quantile,
        "bound_s": slo.bound_s,
        "latency_s": round(at_s, 6) if math.isfinite(at_s) else None,
        "late": int(late.sum()),
        "window_violation_ratio": window_violation_ratio(late, slo.quantile),
    }


def _percentiles(values_s: NDArray[np.float64]) -> Percentiles:
    """Smallest observed value that at least a share q of the values do not exceed; None if that is infinite."""
    if not len(values_s):
        return dict.fromkeys(PERCENTILES)
    found = np.quantile(values_s, list(PERCENTILES.values()), method="inverted_cdf").tolist()
    return {
        name: round(value, 6) if math.isfinite(value) else None for name, value in zip(PERCENTILES, found, strict=True)
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
