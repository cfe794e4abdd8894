"""Predicted against observed: what each decision promised, and what happened until the next one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.cost import instances_cost_usd
from controller.domain.slo import window_violation_ratio
from controller.reports.column import PER_MILLION, late_requests, latency_quantile

if TYPE_CHECKING:
    from controller.domain.prices import ClusterPrices
    from controller.domain.slo import LatencySlo
    from controller.reports.journal import Prediction
    from controller.reports.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Forecast:
    """One decision's promise and its outcome over [from_s, until_s); NaN where nothing was promised or nothing came."""

    from_s: float
    until_s: float
    predicted: Prediction
    requests: int
    p95_s: float
    attainment: float
    cost_per_million_usd: float

    @property
    def p95_ratio(self) -> float:
        """Observed over predicted p95; infinite where the p95 request got no answer, NaN where one is unknown."""
        return self.p95_s / self.predicted.p95_s if self.predicted.p95_s > 0 else math.nan


def forecasts_of(run: RunFolder, slo: LatencySlo, prices: ClusterPrices) -> tuple[Forecast, ...]:
    """Compare each decision's prediction with what was seen until the next decision, or the end."""
    ends = [*(later.at_s for _, later in pairwise(run.decisions)), run.horizon_s]
    spans = zip(run.decisions, ends, strict=True) if run.decisions else ()
    late = late_requests(run, slo)
    found: list[Forecast] = []
    for decision, until_s in spans:
        if decision.prediction is None or until_s <= decision.at_s:
            continue
        inside = (run.requests.intended_s >= decision.at_s) & (run.requests.intended_s < until_s)
        requests = int(inside.sum())
        cost_usd = instances_cost_usd(run.instances, prices, decision.at_s, until_s)
        found.append(
            Forecast(
                decision.at_s,
                until_s,
                decision.prediction,
                requests,
                latency_quantile(run.requests.latency_s[inside], 0.95),
                1 - window_violation_ratio(late[inside], slo.quantile) if requests else math.nan,
                cost_usd / requests * PER_MILLION if requests else math.nan,
            )
        )
    return tuple(found)


def median_p95_error(forecasts: tuple[Forecast, ...]) -> float:
    """Return the median factor, at least 1, between predicted and observed p95; NaN when none can be compared."""
    ratios = np.array([each.p95_ratio for each in forecasts if math.isfinite(each.p95_ratio) and each.p95_ratio > 0])
    return float(np.exp(np.median(np.abs(np.log(ratios))))) if ratios.size else math.nan
