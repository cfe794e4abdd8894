"""A reflex to a burst: as many instances as Little's law asks for, within a second; the search comes later (pure).

Knative's autoscaler sees an average of requests in parallel. It starts instances when the queue is long already, then
too many of them, since the queue is counted as if it were the load, and keeps them for a whole window. The reflex knows
the rate and what an instance serves. It raises `min_scale` to what the rate needs, so that instances start at once, and
sets `max_scale` little above it, so that no more start; both go back when the burst is over.

Little (1961): L = λ S requests are in service on average. An instance serves a full batch of b in S seconds with each of
w workers, that is μ = w b / S a second, so λ needs λ / μ instances, here at most 80 % busy.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from controller.domain.documents import as_number
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

UTILIZATION = 0.8
"""Share of an instance's capacity that is counted on; the rest drains what has queued up."""
HEADROOM = 0.25
"""Share by which `max_scale` is above the need: the estimate may be wrong, and the autoscaler may know better."""
SHORTEST_HOLD_S = 8.0
"""A burst is over when its rate has not come back for so long."""
GAPS_KEPT = 3
SMALLER = 0.75
"""A need that falls is followed when it is at most this share of what is held: each step is a change."""


@dataclass(frozen=True, slots=True)
class BurstSeen:
    """What the reflex looks at once a second.

    Attributes:
        now_s: now.
        rate_rps: rate to serve, as high as it may be given how little was seen of it.
        is_rising: whether it has just risen, by an alarm or beyond what the instances serve.
        capacity_rps: what an instance serves in full batches; 0 where it is not known yet.
        live: instances that are ready or start.
        most: instances beyond which more would not help, or cost too much; holds for `min_scale` only.
        least_scale: lowest `min_scale` that the user allows.
        most_scale: highest `max_scale` that the user allows, infinite where it is open.
        window_s: for how long the autoscaler remembers.
    """

    now_s: float
    rate_rps: float
    is_rising: bool
    capacity_rps: float
    live: int
    most: int
    least_scale: int
    most_scale: float
    window_s: float

    @property
    def need(self) -> int:
        """Instances that the rate needs."""
        if not self.capacity_rps or self.rate_rps <= 0:
            return 0
        return math.ceil(self.rate_rps / (UTILIZATION * self.capacity_rps) - 1e-9)


@dataclass(frozen=True, slots=True)
class ScaleBounds:
    """Lowest and highest number of instances; a highest of 0 is no bound."""

    min_scale: int
    max_scale: int


@dataclass(frozen=True, slots=True)
class Reflex:
    """What it remembers; a value.

    Attributes:
        rest: bounds before the burst, which are given back; None while there is no burst.
        held: instances that the burst needs.
        held_s: when the rate needed so many last.
        began_s: when this burst, or the last one, began.
        over_s: when the rate of the last burst was seen last.
        gaps_s: silences between the last bursts.
    """

    rest: ScaleBounds | None = None
    held: int = 0
    held_s: float = -math.inf
    began_s: float = -math.inf
    over_s: float = -math.inf
    gaps_s: tuple[float, ...] = ()

    def step(self, seen: BurstSeen, present: ScaleBounds) -> Reflex:
        """Return what to remember after this second."""
        if self.rest is None:
            return self._begun(seen, present)
        if not seen.live:  # at zero, whoever brought it there: it is not woken
            return self._ended(seen)
        need = seen.need
        if need >= self.held:
            return replace(self, held=need, held_s=seen.now_s)
        if need > SMALLER * self.held:
            return self
        if seen.now_s - self.held_s < self.hold_s(seen.window_s):
            return self
        if need <= max(1, self.rest.min_scale):
            return self._ended(seen)
        return replace(self, held=need, held_s=seen.now_s)

    def hold_s(self, window_s: float) -> float:
        """Return for how long instances stay after the rate has fallen.

        As long as the autoscaler alone would keep them, for the next burst would then find them; not for that long
        where the last bursts came later than that anyway.
        """
        if len(self.gaps_s) >= 2 and min(self.gaps_s) > window_s:
            return min(SHORTEST_HOLD_S, window_s)
        return max(SHORTEST_HOLD_S, window_s)

    def wanted(self, seen: BurstSeen, present: ScaleBounds) -> ScaleBounds:
        """Return the bounds that should be in force now."""
        if self.rest is None:
            return present
        highest = math.ceil(self.held * (1 + HEADROOM))
        floor = max(seen.least_scale, self.rest.min_scale, min(self.held, seen.most))
        cap = max(floor, min(highest, seen.most_scale))
        floor = int(min(floor, seen.most_scale))
        return ScaleBounds(floor, int(min(cap, seen.most_scale)))

    def _begun(self, seen: BurstSeen, present: ScaleBounds) -> Reflex:
        need = seen.need
        if not seen.is_rising or not seen.live or seen.most < 2 or need <= max(1, present.min_scale):
            return self
        gap_s = seen.now_s - self.over_s
        gaps = (*self.gaps_s, gap_s)[-GAPS_KEPT:] if math.isfinite(gap_s) else ()
        return Reflex(present, need, seen.now_s, seen.now_s, self.over_s, gaps)

    def _ended(self, seen: BurstSeen) -> Reflex:
        del seen
        return replace(self, rest=None, held=0, over_s=self.held_s)
