"""The cheapest setting of a batching function that keeps an objective, its timeout included.

The wait after a call's first request is what the bound leaves of a call's time, or of a multiple of it: where calls
vary, some reserve pays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.performance_model.poisson_calls import CallLoad, PricedCalls, TimedCalls

LOOKED_AT = 128
"""Settings whose lateness is worked out at once, from the cheapest up."""


@dataclass(frozen=True, slots=True)
class CheapestCalls:
    """A setting and what is predicted of it.

    Attributes:
        place: on the flattened grid.
        timeout_s: wait after a call's first request.
        cost_usd: of a request.
        late_share: of requests beyond the bound, as the rule counts it.
    """

    place: int
    timeout_s: float
    cost_usd: float
    late_share: float


@dataclass(frozen=True, slots=True, eq=False)
class Punctuality:
    """What counts as keeping the objective.

    Attributes:
        late_allowed: largest share of requests beyond the bound.
        noise: equally likely factors on the time of a call, shape (m,).
        reserves: multiples of a call's time that may be kept free before the bound.
        doubt: standard errors that are added to the late share for what few calls tell of the noise.
        calls: so many calls.
    """

    late_allowed: float
    noise: NDArray[np.float64]
    reserves: Sequence[float]
    doubt: float = 0.0
    calls: float = np.inf

    def late_share(self, timed: TimedCalls, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of requests taken to be beyond the bound at some settings, shape (k,)."""
        late = timed.late_by_factor(self.noise, at)
        return late.mean(axis=-1) + self.doubt * late.std(axis=-1) / np.sqrt(self.calls)


def find_cheapest(table: PricedCalls, load: CallLoad, rule: Punctuality) -> CheapestCalls | None:
    """Return the cheapest setting that keeps the objective; None where there is none.

    Args:
        table: times and prices.
        load: Poisson arrivals and the bound.
        rule: what counts as keeping it.
    """
    best, least_usd = None, table.least_usd
    for reserve in rule.reserves:
        limit = np.inf if best is None else best.cost_usd
        is_open = least_usd < limit
        table, least_usd = table.narrowed(np.flatnonzero(is_open)), least_usd[is_open]
        timed, cost = _timed(table, load, reserve)
        candidates = np.flatnonzero(cost < limit)
        candidates = candidates[np.argsort(cost[candidates], kind="stable")]
        for first in range(0, candidates.size, LOOKED_AT):
            at = candidates[first : first + LOOKED_AT]
            late = rule.late_share(timed, at)
            on_time = np.flatnonzero(late <= rule.late_allowed)
            if on_time.size:
                chosen = at[on_time[0]]
                place, timeout_s = int(table.places[chosen]), float(timed.delay[chosen])
                best = CheapestCalls(place, timeout_s, float(cost[chosen]), float(late[on_time[0]]))
                break
    return best


def cost_on_time_usd(table: PricedCalls, load: CallLoad, rule: Punctuality, *, below_usd: float) -> NDArray[np.float64]:
    """Return the cost of a request at each setting; infinite where it does not keep the objective below a cost.

    The least reserve that keeps it is taken to be the cheapest, as it is where fuller calls cost less for each request.

    Args:
        table: times and prices of n settings.
        load: Poisson arrivals and the bound.
        rule: what counts as keeping it.
        below_usd: dearer settings are not looked at.
    """
    found = np.full(table.places.size, np.inf)
    left = np.flatnonzero(table.least_usd < below_usd)
    for reserve in rule.reserves:
        timed, cost = _timed(table.narrowed(left), load, reserve)
        is_cheap = cost < below_usd
        at = np.flatnonzero(is_cheap)
        is_late = rule.late_share(timed, at) > rule.late_allowed
        found[left[at[~is_late]]] = cost[at[~is_late]]
        left = left[at[is_late]]
    return found


def _timed(table: PricedCalls, load: CallLoad, reserve: float) -> tuple[TimedCalls, NDArray[np.float64]]:
    timed = table.under(load, np.maximum(0.0, load.bound_s - reserve * table.full_s))
    return timed, timed.cost_usd
