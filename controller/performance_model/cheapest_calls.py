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

    from controller.performance_model.poisson_calls import CallLoad, PricedCalls

LOOKED_AT = 128
"""Settings whose lateness is worked out at once, from the cheapest up."""


@dataclass(frozen=True, slots=True)
class CheapestCalls:
    """A setting and what is predicted of it.

    Attributes:
        place: on the flattened grid.
        timeout_s: wait after a call's first request.
        cost_usd: of a request.
        late_share: of requests beyond the bound, by the law of noise that gives most.
    """

    place: int
    timeout_s: float
    cost_usd: float
    late_share: float


@dataclass(frozen=True, slots=True)
class Punctuality:
    """What counts as keeping the objective.

    Attributes:
        late_allowed: largest share of requests beyond the bound.
        noises: laws of noise, all of which must be stood; each equally likely factors on the time of a call.
        reserves: multiples of a call's time that may be kept free before the bound.
    """

    late_allowed: float
    noises: Sequence[NDArray[np.float64]]
    reserves: Sequence[float]


def find_cheapest(
    table: PricedCalls, load: CallLoad, rule: Punctuality, *, without: Sequence[int] = ()
) -> CheapestCalls | None:
    """Return the cheapest setting that keeps the objective; None where there is none.

    Args:
        table: times and prices.
        load: Poisson arrivals and the bound.
        rule: what counts as keeping it.
        without: places that are not wanted.
    """
    best: CheapestCalls | None = None
    for reserve in rule.reserves:
        delay_s = np.maximum(0.0, load.bound_s - reserve * table.full_s)
        timed = table.under(load, delay_s)
        cost = timed.cost_usd
        cost[list(without)] = np.inf
        limit = np.inf if best is None else best.cost_usd
        candidates = np.flatnonzero(cost < limit)
        candidates = candidates[np.argsort(cost[candidates], kind="stable")]
        for first in range(0, candidates.size, LOOKED_AT):
            places = candidates[first : first + LOOKED_AT]
            late = np.max([timed.late_share(noise, places) for noise in rule.noises], axis=0)
            on_time = np.flatnonzero(late <= rule.late_allowed)
            if on_time.size:
                place = int(places[on_time[0]])
                best = CheapestCalls(place, float(delay_s[place]), float(cost[place]), float(late[on_time[0]]))
                break
    return best
