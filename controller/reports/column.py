"""One column of a report: the figures of one way to serve the schedule, worked out from what the run recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from controller.domain.cost import instances_cost_usd
from controller.domain.request_log import RequestClass
from controller.domain.slo import window_violation_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.instance_log import InstanceRow
    from controller.domain.prices import ClusterPrices
    from controller.domain.slo import LatencySlo
    from controller.reports.run_folder import RunFolder

Kind = Literal["live", "simulated"]
PER_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Bill:
    """What the instances of a run, and their tuning, used and cost from the start of its schedule to its horizon."""

    starting_s: float
    """Instance seconds between start and readiness."""
    ready_s: float
    """Instance seconds ready, busy or idle."""
    vcpu_s: float
    gb_s: float
    vcpu_usd: float
    memory_usd: float
    controller_cpu_s: float
    """CPU seconds of the loop and its searches; 0 where nothing was tuned."""
    controller_usd: float

    @property
    def instance_s(self) -> float:
        """All instance seconds."""
        return self.starting_s + self.ready_s

    @property
    def total_usd(self) -> float:
        """What all of it cost."""
        return self.vcpu_usd + self.memory_usd + self.controller_usd


@dataclass(frozen=True, slots=True)
class Figures:
    """What is judged. A quantile is infinite when the request at it got no right answer, NaN without requests."""

    requests: int
    by_class: dict[str, int]
    late: int
    """Requests over the bound or without a right answer."""
    window_violation_ratio: float
    p50_s: float
    p95_s: float
    p99_s: float
    cost_usd: float
    cost_per_million_usd: float
    """Over all requests of the schedule, answered or not; NaN without requests."""
    cold_starts: int
    """Instances started while the schedule ran."""

    @property
    def attainment(self) -> float:
        """Share of windows inside the objective."""
        return 1.0 - self.window_violation_ratio

    @property
    def unanswered(self) -> int:
        """Requests without a right answer."""
        return sum(self.by_class.get(name, 0) for name in ("rejected", "expired", "error"))


@dataclass(frozen=True, slots=True)
class Column:
    """One way to serve the schedule. `run` and `bill` are None where only a simulation's figures are known."""

    name: str
    kind: Kind
    figures: Figures
    bill: Bill | None
    run: RunFolder | None


def live_column(name: str, run: RunFolder, slo: LatencySlo, prices: ClusterPrices, *, kind: Kind = "live") -> Column:
    """Work out the column of a run that was recorded."""
    bill = bill_of(run.instances, prices, run.horizon_s, controller_cpu_s=run.controller_cpu_s)
    return Column(name, kind, figures_of(run, slo, bill), bill, run)


def late_requests(run: RunFolder, slo: LatencySlo) -> NDArray[np.bool_]:
    """Return for each request, in order of arrival, whether it was late; one without a latency is."""
    return ~(run.requests.latency_s <= slo.bound_s)


def figures_of(run: RunFolder, slo: LatencySlo, bill: Bill) -> Figures:
    """Return the figures of a recorded run."""
    log = run.requests
    requests = int(log.intended_s.size)
    late = late_requests(run, slo)
    return Figures(
        requests=requests,
        by_class={name: int(np.sum(log.request_class == name)) for name in get_args(RequestClass) if name != "warm_up"},
        late=int(late.sum()),
        window_violation_ratio=window_violation_ratio(late, slo.quantile),
        p50_s=latency_quantile(log.latency_s, 0.50),
        p95_s=latency_quantile(log.latency_s, 0.95),
        p99_s=latency_quantile(log.latency_s, 0.99),
        cost_usd=bill.total_usd,
        cost_per_million_usd=bill.total_usd / requests * PER_MILLION if requests else math.nan,
        cold_starts=sum(0 <= row.started_s <= run.horizon_s for row in run.instances),
    )


def latency_quantile(latency_s: NDArray[np.float64], quantile: float) -> float:
    """Return the smallest latency that at least this share of requests did not exceed; NaN without requests.

    An order statistic, not an interpolation: between a latency and infinity there is nothing to interpolate.
    """
    if latency_s.size == 0:
        return math.nan
    filled = np.where(np.isnan(latency_s), np.inf, latency_s)
    return float(np.quantile(filled, quantile, method="inverted_cdf"))


def bill_of(
    rows: Sequence[InstanceRow], prices: ClusterPrices, until_s: float, *, controller_cpu_s: float = 0.0
) -> Bill:
    """Add up instances over [0, until_s], and what tuning them took."""
    billed = [(row, row.billed_s(0.0, until_s)) for row in rows]
    starting_s = sum(min(seconds, _starting_s(row, until_s)) for row, seconds in billed)
    vcpu_s = sum(row.vcpu * seconds for row, seconds in billed)
    gb_s = sum(row.memory_mb / 1024 * seconds for row, seconds in billed)
    # The total comes from the one function that all rooms share; the parts only explain it.
    total_usd = instances_cost_usd(rows, prices, 0.0, until_s)
    vcpu_usd = vcpu_s * prices.vcpu_second_usd
    return Bill(
        starting_s,
        sum(seconds for _, seconds in billed) - starting_s,
        vcpu_s,
        gb_s,
        vcpu_usd,
        total_usd - vcpu_usd,
        controller_cpu_s,
        controller_cpu_s * prices.vcpu_second_usd,
    )


def _starting_s(row: InstanceRow, until_s: float) -> float:
    ready_s = until_s if math.isnan(row.ready_s) else min(row.ready_s, until_s)
    return max(0.0, ready_s - max(row.started_s, 0.0))
