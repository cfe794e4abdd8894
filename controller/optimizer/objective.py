"""What a setting is worth: one simulation per scenario, all settings against the same arrivals and the same noise.

Scenarios say what may come: the present phase, the recent past as it was, and a burst. The first two decide whether a
setting meets the objective and what it costs; the burst tells apart settings that are otherwise alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from controller.domain.cost import instances_cost_usd
from controller.domain.slo import (
    ALLOWED_VIOLATION_RATIO,
    STRETCH_S,
    WINDOW_ARRIVALS,
    slow_stretch_s,
    window_violation_ratio,
)
from controller.performance_model.simulator import PodSimulator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.prices import ClusterPrices
    from controller.domain.service_time import TokenServiceTimes
    from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
    from controller.domain.slo import LatencySlo
    from controller.performance_model.simulation_result import SimulationResult

LEAST_PLANNING_QUANTILE = 0.970
"""For an objective of 0.95: a setting exactly on the stationary p95 violates about half of its windows."""
WORST_RATIO = 10.0
"""Latency over bound is cut here, so that one rejected request does not look infinitely worse than another."""
WINDOW_STEP = 8
"""Windows are looked at every so many arrivals when only their quantile is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """Arrivals that a setting is tried on.

    Attributes:
        name: what it stands for.
        kind: "steady" scenarios decide about objective and cost, a "burst" is what they are ranked by next.
        arrivals_s: shape (n,), ascending from 0.
        tokens: shape (n,).
        duration_s: until when instances are paid.
        initial_scale: instances that are ready at the start.
    """

    name: str
    kind: Literal["steady", "burst"]
    arrivals_s: NDArray[np.float64]
    tokens: NDArray[np.int64]
    duration_s: float
    initial_scale: int


@dataclass(frozen=True, slots=True)
class World:
    """What all settings share: the service, its surroundings, prices and the objective."""

    service: TokenServiceTimes
    autoscaler: AutoscalerSettings
    shape: InstanceShape
    prices: ClusterPrices
    slo: LatencySlo
    margin: float = 1.0
    """Observed over simulated latency, learned; at least 1."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is predicted of one setting. Quantities without another word are over the steady scenarios together."""

    config: ServingConfig
    p95_s: float
    """Latency at the objective's quantile, margin included."""
    mean_s: float
    attainment: float
    """Share of windows that do not violate, margin included."""
    planning_quantile: float
    """Stationary quantile that, kept under the bound, keeps the windows (at least 0.970 for 0.95)."""
    excess: float
    """By how much of the bound the planning latency misses it in the worst steady scenario; 0 or less is feasible."""
    cost_per_million_usd: float
    cost_per_s_usd: float
    burst_late: float
    """Share of late requests in the bursts."""
    burst_missed: float
    """Mean of that share and of the share of windows that violate: the latter is the objective, the former still tells
    settings apart where every window violates."""
    burst_cost_usd: float
    """What instances cost over one burst scenario."""

    @property
    def is_feasible(self) -> bool:
        """Whether every steady scenario meets the objective."""
        return self.excess <= 0


def evaluate(config: ServingConfig, scenarios: tuple[Scenario, ...], world: World) -> Evaluation:
    """Simulate a setting on every scenario."""
    steady = [(each, _simulate(config, each, world)) for each in scenarios if each.kind == "steady"]
    bursts = [(each, _simulate(config, each, world)) for each in scenarios if each.kind == "burst"]
    plans = [planning_latency_s(result.latency_s, world.slo) for _, result in steady]
    latencies = [result.latency_s for _, result in steady if result.latency_s.size]
    latency_s = np.concatenate(latencies) if latencies else np.zeros(1)
    cost_usd = sum(_cost_usd(result, each, world) for each, result in steady)
    duration_s = sum(each.duration_s for each, _ in steady)
    # The same margin as in `excess`, so that a setting is not called infeasible with all its windows kept.
    bound_s = world.slo.bound_s / world.margin
    windows = [window_violation_ratio(result.late(bound_s), world.slo.quantile) for _, result in steady]
    sizes = [max(1, result.latency_s.size) for _, result in steady]
    late = [result.late(bound_s) for _, result in bursts]
    late_share = float(np.mean([each.mean() for each in late])) if late else 0.0
    violating = float(np.mean([window_violation_ratio(each, world.slo.quantile) for each in late])) if late else 0.0
    worst_s = WORST_RATIO * world.slo.bound_s
    return Evaluation(
        config=config,
        p95_s=world.margin * float(np.quantile(latency_s, world.slo.quantile, method="inverted_cdf")),
        mean_s=world.margin * float(np.minimum(latency_s, worst_s).mean()),
        attainment=1 - float(np.average(windows, weights=sizes)),
        planning_quantile=max(quantile for _, quantile in plans),
        excess=max(min(world.margin * seconds, worst_s) / world.slo.bound_s - 1 for seconds, _ in plans),
        cost_per_million_usd=1e6 * cost_usd / max(1, sum(result.latency_s.size for _, result in steady)),
        cost_per_s_usd=cost_usd / duration_s,
        burst_late=late_share,
        burst_missed=(late_share + violating) / 2,
        burst_cost_usd=sum(_cost_usd(result, each, world) for each, result in bursts) / max(1, len(bursts)),
    )


def planning_latency_s(latency_s: NDArray[np.float64], slo: LatencySlo) -> tuple[float, float]:
    """Return the latency that must stay under the bound so that windows are kept, and the quantile it stands at.

    It is the least bound under which at most 5 % of the windows of 256 arrivals would violate, and never less than the
    quantile 0.970 (for an objective of 0.95, in proportion for others).
    """
    if latency_s.size == 0:
        return 0.0, slo.quantile
    least = 1 - (1 - slo.quantile) * (1 - LEAST_PLANNING_QUANTILE) / 0.05
    width = min(WINDOW_ARRIVALS, latency_s.size)
    windows = np.lib.stride_tricks.sliding_window_view(latency_s, width)[::WINDOW_STEP]
    # A window keeps the bound when its k-th largest latency does, k being one more than may be late.
    allowed = math.floor(width * (1 - slo.quantile) + 1e-9)
    kth = np.partition(windows, width - 1 - allowed, axis=1)[:, width - 1 - allowed]
    by_windows = float(np.quantile(kth, 1 - ALLOWED_VIOLATION_RATIO, method="inverted_cdf"))
    seconds = max(by_windows, float(np.quantile(latency_s, least, method="inverted_cdf")))
    return seconds, float((latency_s <= seconds).mean())


def served_latency_s(config: ServingConfig, scenario: Scenario, world: World) -> float:
    """Return the latency of the slow stretches, margin excluded, from arrival on.

    `ServerLatency` measures from when a request reaches a server; that is the same where none waits in front of one.
    It begins anew with each number of ready instances, so they are as many throughout.
    """
    fixed = replace(config, min_scale=scenario.initial_scale, max_scale=scenario.initial_scale)
    result = _simulate(fixed, scenario, world)
    is_answered = np.isfinite(result.latency_s)
    latency_s = result.latency_s[is_answered]
    stretch = ((result.arrival_s[is_answered] + latency_s) // STRETCH_S).astype(np.int64)
    answered, total_s = np.bincount(stretch), np.bincount(stretch, weights=latency_s)
    return slow_stretch_s(answered.astype(np.float64), total_s.astype(np.float64), world.slo.quantile)


def _simulate(config: ServingConfig, scenario: Scenario, world: World) -> SimulationResult:
    simulator = PodSimulator(
        config,
        service=world.service,
        rng=np.random.default_rng(world.seed),
        autoscaler=world.autoscaler,
        shape=world.shape,
        initial_scale=min(scenario.initial_scale, config.max_scale or scenario.initial_scale),
    )
    return simulator.run(scenario.arrivals_s, scenario.tokens, until_s=scenario.duration_s)


def _cost_usd(result: SimulationResult, scenario: Scenario, world: World) -> float:
    return instances_cost_usd(result.instances, world.prices, 0.0, max(scenario.duration_s, result.until_s))
