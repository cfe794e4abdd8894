"""MArk's two rules on paper: how large a batch a type of instance is given, and which instances cover a forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.performance_model.instance_group import InstanceType

AHEAD = 5
"""Minutes between a plan and the demand it is made for; an instance boots in fewer."""
LAUNCH_S = 180.0
"""A launch is reckoned as so much of an instance's price."""


@dataclass(frozen=True, slots=True)
class BatchRule:
    """Batches of one type of instance: so many requests, or the delay after the first."""

    max_batch_size: int
    max_queue_delay_s: float


def batching_rule(seconds: Sequence[float], bound_s: float) -> BatchRule:
    """Return the largest batch that is answered in time and no later than its requests one after the other would be.

    With T_b the time of a batch of b and W the delay, both W + T_b <= RT_max and W + T_b <= b / mu_nb must hold, where
    mu_nb = 1 / T_1 is the rate without batching; W is as large as that allows. Tried are powers of two:
    the published batches are, and of all sizes the last that fits would leave no delay to fill it in.

    Args:
        seconds: of a batch of 1, 2, ...
        bound_s: RT_max.

    Raises:
        BadInputError: a single request takes longer than the bound.
    """
    if seconds[0] > bound_s:
        raise BadInputError(
            f"batching rule: one request takes {seconds[0]:g} s, above the bound of {bound_s:g} s; take a faster type"
        )
    found, size = BatchRule(1, 0.0), 2
    while size <= len(seconds):
        delay_s = min(bound_s, size * seconds[0]) - seconds[size - 1]
        if delay_s < 0:
            break
        found = BatchRule(size, delay_s)
        size *= 2
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Cheapest:
    """The types of instances as a planner sees them; arrays have shape (n_types,).

    Attributes:
        capacity_rps: black boxes of so many requests a second, queueing left out.
        usd_per_minute: price.
        launch_usd: what a launch is reckoned as.
    """

    capacity_rps: NDArray[np.float64]
    usd_per_minute: NDArray[np.float64]
    launch_usd: NDArray[np.float64]

    @classmethod
    def of(cls, types: Sequence[InstanceType]) -> Cheapest:
        """Return the planner's view of types."""
        per_hour = np.array([each.usd_per_hour for each in types])
        capacity = np.array([each.capacity_rps for each in types])
        return cls(capacity, per_hour / 60, per_hour * LAUNCH_S / 3600)


def plan(market: Cheapest, forecast_rps: NDArray[np.float64], running: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many instances of each type there should be.

    Again and again: what is not covered yet, from `AHEAD` to the last such minute, gets the instance that serves a
    request of it at the least cost. Running ones cost no launch.

    Args:
        market: types.
        forecast_rps: of minute 1, 2, ... from now, at least `AHEAD` of them.
        running: instances of each type.

    Returns:
        Shape (n_types,).
    """
    uncovered = forecast_rps[AHEAD - 1 :].copy()
    counts = np.zeros(running.size, dtype=np.int64)
    while uncovered[0] > 0:
        span = int(np.flatnonzero(uncovered > 0)[-1]) + 1
        demand = np.maximum(uncovered[:span], 0.0)
        served = np.minimum(demand[:, None], market.capacity_rps).sum(axis=0)
        launch_usd = np.where(counts < running, 0.0, market.launch_usd)
        best = int(np.argmin((launch_usd + span * market.usd_per_minute) / served))
        counts[best] += 1
        uncovered -= market.capacity_rps[best]
    return counts
