"""SEARCH: what a belief about a batching function promises under a load, and what is worth measuring next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from controller.performance_model.cheapest_calls import (
    CheapestCalls,
    Punctuality,
    cost_on_time_usd,
    find_cheapest,
)
from controller.performance_model.poisson_calls import CallLoad, PricedCalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.function_grid import FunctionGrid
    from controller.domain.function_times import FunctionBelief
    from controller.domain.prices import LambdaPrices

LATE_ALLOWED = 0.05
"""Share of requests beyond the bound where the objective is a p95."""
LATE_UNSEEN = 0.01
"""One call in n + 1 is slower than the n that were seen (rule of succession), and its requests are counted as late; but
not more than this, or a search with few calls could promise nothing."""
CAUTION = 2.0
"""Standard errors by which a call is taken to be slower than believed, when a setting must be safe."""
FEWER_CAUTION = 1.0
"""The same for calls that leave before they are full: they err each for itself, so not all of them at once."""
DOUBT = 1.0
"""Standard errors of the late share, for what the calls seen tell of the noise, when a setting must be safe."""
RESERVES = (0.97, 1.0, 1.02, 1.04, 1.06, 1.09, 1.13, 1.18, 1.25, 1.35, 1.5)
"""A call is given so many times its predicted time; the wait after its first request is what is left of the bound."""
FINE_RESERVES = tuple(np.linspace(0.97, 1.5, 54).tolist())
"""The same where few settings are left to choose from."""
COARSE_RESERVES = (0.98, 1.06, 1.18, 1.4)
"""The same where it is only asked what to measure next."""
CHANCES = ndtri((np.arange(6) + 0.5) / 6)
"""Equally likely times of a call, in standard errors from the best, by which it is asked what measuring may save."""
COARSE_MEMORY = 3
"""Of so many memories one is asked about."""
FACTORS, COARSE_FACTORS = 32, 10
"""Groups of equally many calls by which the noise is counted."""
WORTH_MEASURING = 0.01
"""Expected saving from which on another setting is measured rather than the one about to be returned."""
WORTH_KNOWING = 0.002
"""Saving from which on calls of the safe setting that leave before they are full are measured."""
DOUBLINGS = (1.0, 2.0, 4.0)
"""Multiples of the error bars by which it is asked again where nothing is worth measuring."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What is believed, and what is asked for.

    Attributes:
        grid: of settings.
        prices: of a call.
        load: Poisson arrivals and the bound.
        belief: how long calls take.
    """

    grid: FunctionGrid
    prices: LambdaPrices
    load: CallLoad
    belief: FunctionBelief

    def cheapest(self, among: Sequence[int] | None = None) -> CheapestCalls | None:
        """Return the cheapest setting that is safe.

        Args:
            among: places that are asked about, with their waits told more finely; all by default.
        """
        places, reserves = np.flatnonzero(self.belief.fits), RESERVES
        if among is not None:
            places, reserves = places[np.isin(places, among)], FINE_RESERVES
        slow_s = _cautious(self.belief.seconds, self.belief.relative_error, self.belief.relative_error)
        table = PricedCalls(self.grid, self.belief.seconds, self.prices, cautious_s=slow_s, places=places)
        return find_cheapest(table, self.load, _rule(self.belief, FACTORS, reserves))

    def worth_measuring(self, safe: CheapestCalls | None, tried: Sequence[int]) -> int | None:
        """Return the place whose measurement may be expected to save most; None where none is safe or may become so.

        Where that is nothing, calls of the safe setting that leave before they are full are looked at, then the belief
        itself is doubted: errors are larger wherever nothing was measured.

        Args:
            safe: the cheapest setting that is safe, if any.
            tried: places that were measured.
        """
        for doubling in DOUBLINGS:
            if doubling > 1 and safe is not None:
                fewer = self._fewer_worth_measuring(safe)
                if fewer is not None:
                    return fewer
            places, saved = self._expected_savings(safe, doubling)
            if doubling > 1:
                saved = np.where(np.isin(places, tried), 0.0, saved)
            if places.size and (safe is None or saved.max() >= WORTH_MEASURING):
                return int(places[np.argmax(saved)])
        return None if safe is None else safe.place

    def _fewer_worth_measuring(self, safe: CheapestCalls) -> int | None:
        """Return the setting that tells most of the safe one's calls with fewer requests, if that saves anything."""
        mean_s, at = self.belief.seconds, np.array([safe.place])
        full_s, fewer_s = _cautious(mean_s, self.belief.relative_error, self.belief.relative_error)
        rule = _rule(self.belief, FACTORS, RESERVES)
        sure = PricedCalls(self.grid, mean_s, self.prices, cautious_s=(full_s, mean_s), places=at)
        cost_usd = float(cost_on_time_usd(sure, self.load, rule, below_usd=np.inf)[0])
        if cost_usd > safe.cost_usd * (1 - WORTH_KNOWING):
            return None
        weights = sure.under(self.load, np.array([safe.timeout_s])).weights[:, 0]
        slots = self.grid.places_by_fill[:, safe.place]
        doubt = np.where(slots == safe.place, 0.0, weights * (fewer_s - mean_s).ravel()[slots])
        return int(slots[np.argmax(doubt)]) if doubt.max() > 0 else None

    def _expected_savings(
        self, safe: CheapestCalls | None, doubling: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return places and what measuring each may be expected to save, as a share of the safe setting's cost.

        A measurement moves what is believed of a setting by a normal law and narrows its error; what it saves is the
        cost of the safe setting less that of this one where it turns out to be safe (the knowledge gradient of
        Frazier, Powell and Dayanik, SIAM J. Control Optim. 47(5), 2008, without what it tells of other settings).
        Without a safe setting, places likely to become one, and cheap, come first.
        """
        seconds, error = self.belief.seconds, self.belief.relative_error * doubling
        left = error * self.belief.sample_error / np.hypot(error, self.belief.sample_error)
        learnt = np.sqrt(np.maximum(error**2 - left**2, 0.0))
        rule = _rule(self.belief, COARSE_FACTORS, COARSE_RESERVES)
        is_asked = np.arange(seconds.size) % len(self.grid.memories_mb) % COARSE_MEMORY == 0
        if safe is not None:
            is_asked[safe.place] = True
        places = np.flatnonzero(self.belief.fits.ravel() & is_asked)
        saved, below_usd = np.zeros(places.size), self._coarse_cost_usd(safe, rule)
        slow_s = _cautious(seconds, left, self.belief.relative_error)
        table = PricedCalls(self.grid, seconds, self.prices, cautious_s=slow_s, places=places)
        for chance in CHANCES:
            # Calls of the same setting with fewer requests are taken to be off by as much.
            factors = np.maximum(1 + chance * learnt.ravel()[table.places], 0.2)
            cost = cost_on_time_usd(table.scaled(factors), self.load, rule, below_usd=below_usd)
            saved = saved + (1 / cost if safe is None else np.maximum(1 - cost / below_usd, 0.0) / CHANCES.size)
            if chance == CHANCES[0]:
                # What does not save by the best chance does not by any other.
                hopeful = np.flatnonzero(np.isfinite(cost))
                table, saved = table.narrowed(hopeful), saved[hopeful]
        return table.places, saved

    def _coarse_cost_usd(self, safe: CheapestCalls | None, rule: Punctuality) -> float:
        """Return the cost of the safe setting by a coarse rule, so that likes are compared."""
        if safe is None:
            return np.inf
        mean_s, error = self.belief.seconds, self.belief.relative_error
        slow_s = _cautious(mean_s, error, error)
        table = PricedCalls(self.grid, mean_s, self.prices, cautious_s=slow_s, places=np.array([safe.place]))
        return min(safe.cost_usd, float(cost_on_time_usd(table, self.load, rule, below_usd=np.inf)[0]))


def _cautious(
    seconds: NDArray[np.float64], error: NDArray[np.float64], fewer_error: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cautious times of full calls, which with fewer requests or more memory never take longer, and of others.

    Args:
        seconds: believed.
        error: relative, of full calls.
        fewer_error: the same of calls that leave before they are full.
    """
    full_s = seconds * (1 + CAUTION * error)
    full_s = np.minimum.accumulate(np.minimum.accumulate(full_s[::-1], axis=0)[::-1], axis=2)
    return full_s, seconds * (1 + FEWER_CAUTION * fewer_error)


def _rule(belief: FunctionBelief, factors: int, reserves: Sequence[float]) -> Punctuality:
    """Return what counts as safe by the calls that were seen."""
    calls = belief.noise.size
    groups = np.array_split(np.sort(belief.noise), min(factors, calls))
    late_allowed = LATE_ALLOWED - min(LATE_UNSEEN, 1 / (calls + 1))
    return Punctuality(late_allowed, np.array([each.mean() for each in groups]), reserves, DOUBT, calls)
