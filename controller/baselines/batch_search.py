"""BATCH's exhaustive search by its own approximate law (Ali et al. 2020, section IV-D), for both of its problems.

Least cost inside a latency objective, or least latency inside a budget.
As published: mean cost over the whole grid. As released: only B = 20 is looked at, the cost is that of the batch size
at its 95th percentile, and an objective has to be kept with "<". The released program also prints the figures of the
last feasible point instead of the optimum's; the setting it goes on with is the optimum, so only the optimum is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.batch_law import predict_sizes
from controller.domain.slo import LatencySlo
from controller.performance_model.prediction import TimerSetting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.baselines.batch_law import BatchSizes, Variant
    from controller.baselines.call_table import CallTable
    from controller.domain.arrival_map import Map
    from controller.domain.arrival_process import PoissonProcess
    from controller.performance_model.exact_optimum import Budget

DELAY_STEP_S = 0.01
N_DELAYS = 49
"""Delays 0.01 to 0.49 s, of the released solver; the paper does not print its grid."""
MEMORIES_MB = tuple(range(1280, 3009, 64))
"""The 28 memories of the released solver."""
MAX_BATCH_SIZE = 20
RELEASED_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class BatchChoice:
    """What BATCH chooses and what it expects of it.

    Attributes:
        setting: memory, B and T.
        predicted_quantile_s: latency at the objective's quantile, or at 0.95 for a budget.
        predicted_cost_usd: of a request.
        feasible: how many settings met the bound.
        evaluated: settings looked at.
    """

    setting: TimerSetting
    predicted_quantile_s: float
    predicted_cost_usd: float
    feasible: int
    evaluated: int


def search_batch(
    process: Map | PoissonProcess, calls: CallTable, objective: LatencySlo | Budget, variant: Variant
) -> BatchChoice | None:
    """Return BATCH's choice; None where it finds nothing feasible.

    Of equal settings the one with the least memory, then the least delay, then the least batch size is taken.

    Args:
        process: arrivals.
        calls: its memories are searched, and its batch sizes (the largest alone as released).
        objective: latency objective or budget.
        variant: as published or as released.
    """
    n = calls.max_batch_size
    sizes = predict_sizes(process, max_batch_size=n, delay_step_s=DELAY_STEP_S, n_delays=N_DELAYS, variant=variant)
    quantile = objective.quantile if isinstance(objective, LatencySlo) else RELEASED_QUANTILE
    least = n - 1 if variant == "released" else 0
    latency_s = np.stack([sizes.quantile_s(quantile, row) for row in calls.seconds])[..., least:]
    cost_usd = np.stack([_cost_usd(sizes, row, variant) for row in calls.usd])[..., least:]
    is_feasible, target = _problem(latency_s, cost_usd, objective, variant)
    if not is_feasible.any():
        return None
    at = np.unravel_index(int(np.argmin(np.where(is_feasible, target, np.inf))), target.shape)
    setting = TimerSetting(
        max_batch_size=int(at[2]) + least + 1,
        max_queue_delay_s=round(float(sizes.delays_s[at[1]]), 12),
        memory_mb=calls.memories_mb[int(at[0])],
    )
    found = int(is_feasible.sum())
    return BatchChoice(setting, float(latency_s[at]), float(cost_usd[at]), feasible=found, evaluated=target.size)


def _cost_usd(sizes: BatchSizes, call_usd: NDArray[np.float64], variant: Variant) -> NDArray[np.float64]:
    return sizes.tail_cost_usd(call_usd) if variant == "released" else sizes.mean_cost_usd(call_usd)


def _problem(
    latency_s: NDArray[np.float64], cost_usd: NDArray[np.float64], objective: LatencySlo | Budget, variant: Variant
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which settings meet the bound, and what is to be made small."""
    if isinstance(objective, LatencySlo):
        is_strict = variant == "released"
        bound_s = objective.bound_s
        return latency_s < bound_s if is_strict else latency_s <= bound_s * (1 + 1e-12), cost_usd
    return cost_usd <= objective.usd_per_request, latency_s
