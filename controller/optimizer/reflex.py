"""A reflex to a burst: as many instances as Little's law asks for, within a second; a search takes longer (pure).

Knative's autoscaler sees an average of requests in parallel. It takes the queue of a burst for its load, starts several
times the instances that the rate needs, and keeps them for a whole window. The reflex knows the rate and what an
instance serves. It raises `min_scale` to what the rate needs, sets `max_scale` little above it, and gives both back
when the burst is over. docs/bursts.md shows what that is worth.

Little (1961): L = λ S. A batch of b requests takes S seconds of one of w workers, so an instance serves μ = w b / S
requests a second, and a rate of λ keeps λ / μ instances busy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from controller.domain.documents import as_number
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controller.domain.serving_config import ServingConfig
    from controller.optimizer.study import SearchResult

SCALE = frozenset({"min_scale", "max_scale"})
"""The knobs that a burst moves."""
UTILIZATION = 0.8
"""Share of what instances serve that is counted on; the rest serves what has queued up."""
RISING_S, RISING_HEADROOM = 6.0, 2.0
"""While the need rises, and so long after, the rate may be seen in part: `max_scale` is three times the need, ..."""
HEADROOM = 0.1
"""... then so much above it."""
LARGER, SMALLER = 1.15, 0.75
"""A need is followed when it is beyond this share of what is held: each step is a change."""
AGAIN = 0.5
"""A rate that needs more than this share of what is held is the burst, or the next one."""
LASTING_S = 300.0
"""A rate that has stayed high for so long is no burst: the autoscaler knows it by now, and the search, its regime."""
SHORTEST_HOLD_S = 5.0
"""A burst is over when its rate has not come back for so long."""
GAPS_KEPT, GAPS_TRUSTED = 3, 2
WAKING_S, WAKES_KEPT = 10.0, 3
"""What the rate needs so long after the service has left zero is remembered of the last times."""


@dataclass(frozen=True, slots=True)
class ScaleBounds:
    """Lowest and highest number of instances; a highest of 0 is no bound."""

    min_scale: int
    max_scale: int

    @classmethod
    def of(cls, config: ServingConfig) -> ScaleBounds:
        """Return those of a setting."""
        return cls(config.min_scale, config.max_scale)


@dataclass(frozen=True, slots=True)
class BurstSeen:
    """What the reflex looks at once a second.

    Attributes:
        now_s: now.
        rate_rps: rate to serve, as high as it may be given how little was seen of it.
        is_rising: whether it has just risen, by an alarm, or surely beyond what the instances serve.
        is_settled: whether the rate has lasted for some seconds, so that its mean says more than its noise.
        is_hidden: whether requests wait where they are not counted, so that the rate is a lower bound.
        capacity_rps: what an instance serves in full batches; 0 where it is not known yet.
        live: instances that are ready or start.
        most: instances beyond which `min_scale` is not raised: more would not help, or are not allowed.
        scale_bounds: lowest and highest `max_scale` that the user allows; the highest is infinite where it is open.
        own_activation: instances that the service starts from zero by itself; 0 where it says nothing.
        window_s: for how long the autoscaler remembers.
    """

    now_s: float
    rate_rps: float
    is_rising: bool
    is_settled: bool
    is_hidden: bool
    capacity_rps: float
    live: int
    most: int
    scale_bounds: tuple[float, float]
    own_activation: int
    window_s: float

    @property
    def need(self) -> int:
        """Instances that the rate needs; 0 where that is not known."""
        return math.ceil(self.rate_rps / (UTILIZATION * self.capacity_rps) - 1e-9) if self.capacity_rps else 0


@dataclass(frozen=True, slots=True)
class Reflex:
    """What it remembers; a value.

    Attributes:
        rest: bounds before the burst, to be given back; None while there is none.
        held: instances that the burst needs; 0 when it is over.
        needs: what was needed in the last seconds, each with its second and whether the rate had settled.
        high_s: when about as many were needed last.
        low_s: when far fewer were needed last.
        rose_s: when the need rose last.
        hidden_s: when requests waited uncounted last.
        gaps_s: times between the last bursts.
        woken_s: when the service left zero, until its need is known; infinite at zero, -infinite otherwise.
        wakes: instances that were needed soon after it left zero, the last times.
    """

    rest: ScaleBounds | None = None
    held: int = 0
    needs: tuple[tuple[float, int, bool], ...] = ()
    high_s: float = -math.inf
    low_s: float = -math.inf
    rose_s: float = -math.inf
    hidden_s: float = -math.inf
    gaps_s: tuple[float, ...] = ()
    woken_s: float = -math.inf
    wakes: tuple[int, ...] = ()

    def step(self, seen: BurstSeen, present: ScaleBounds) -> Reflex:
        """Return what to remember after this second.

        Args:
            seen: in it.
            present: bounds in force.
        """
        woken = self._woken(seen)
        if not self.held:
            return woken._begun(seen, present)  # noqa: SLF001  of this class
        if not seen.live:  # at zero, whoever brought it there: it is not woken
            return replace(woken, held=0, needs=())
        after = woken._looked(seen)  # noqa: SLF001  of this class
        highest = after._highest(seen.now_s)  # noqa: SLF001  of this class
        if seen.need > LARGER * self.held:
            return replace(after, held=seen.need, rose_s=seen.now_s)
        since_s = max(self.rose_s, after.low_s)
        is_lasting = math.isfinite(since_s) and seen.now_s - since_s > max(LASTING_S, seen.window_s)
        if is_lasting or highest <= max(1, (self.rest or present).min_scale):
            return replace(after, held=0, needs=())
        return replace(after, held=highest) if highest <= SMALLER * self.held else after

    def hold_s(self, window_s: float) -> float:
        """Return for how long instances are kept after the rate has fallen.

        As long as the autoscaler would keep them, so that the next burst finds what it would find without us. Where the
        last bursts all came later than that, nothing is gained by waiting.
        """
        is_seldom = len(self.gaps_s) >= GAPS_TRUSTED and min(self.gaps_s) > window_s
        return SHORTEST_HOLD_S if is_seldom else max(SHORTEST_HOLD_S, window_s)

    def wanted(self, seen: BurstSeen, present: ScaleBounds) -> ScaleBounds:
        """Return the bounds that should be in force now."""
        rest = self.rest
        if rest is None or not self.held:
            return rest or present
        least, most = seen.scale_bounds
        floor = int(max(rest.min_scale, min(self.held, seen.most, most)))
        if seen.now_s - self.hidden_s < RISING_S:
            return ScaleBounds(floor, 0 if math.isinf(most) else int(most))
        headroom = RISING_HEADROOM if seen.now_s - self.rose_s < RISING_S else HEADROOM
        cap = min(math.ceil(self.held * (1 + headroom)), most)
        return ScaleBounds(floor, int(max(floor, least, cap)))

    def activation_scale(self, seen: BurstSeen, bounds: ScaleBounds) -> int:
        """Return how many instances should start at once when a request meets none; 0 is one, as ever.

        Requests in parallel are counted as load a tick later, and from zero that tick is most of the wait. Where the
        last times all needed more than one instance, the least of them starts at once. To Knative it is also the least
        while there is any load, so it is taken away when the service has woken, and the reflex or the autoscaler goes
        on. In a burst `min_scale` says more.

        Args:
            seen: in this second.
            bounds: that will be in force; Knative takes nothing outside.
        """
        if self.held:
            return 0
        least = seen.own_activation
        if not least and self.woken_s > -math.inf and len(self.wakes) == WAKES_KEPT:
            least = min(self.wakes)
        within = min(max(least, bounds.min_scale), bounds.max_scale or math.inf, seen.scale_bounds[1])
        return int(within) if least > 1 and within > 1 else 0

    def _woken(self, seen: BurstSeen) -> Reflex:
        """Return this after it has seen whether the service leaves zero, and what it then needs."""
        if math.isinf(self.woken_s):
            begun_s = seen.now_s if self.woken_s > 0 else -math.inf
            return replace(self, woken_s=begun_s if seen.live else math.inf)
        if seen.live and not (seen.is_settled and seen.now_s - self.woken_s >= WAKING_S):
            return self
        # One that is silent or at zero again needed no second instance; a need that is not known is not remembered.
        need = min(seen.need, seen.most) if seen.live and seen.rate_rps else 1
        wakes = (*self.wakes, need)[-WAKES_KEPT:] if need else self.wakes
        return replace(self, woken_s=-math.inf if seen.live else math.inf, wakes=wakes)

    def _begun(self, seen: BurstSeen, present: ScaleBounds) -> Reflex:
        rest = self.rest or present
        if seen.is_rising and seen.live > 0 and seen.most > 1 and seen.need > max(1, rest.min_scale):
            held = replace(self, rest=rest, held=seen.need, needs=(), rose_s=seen.now_s, hidden_s=-math.inf)
            return held._looked(seen)  # noqa: SLF001  of this class
        # Until the last bounds are given back they are not forgotten.
        return self if rest == self.rest != present else replace(self, rest=None)

    def _highest(self, now_s: float) -> int:
        """Return the most that was needed lately; first estimates count until there are better ones of that burst."""
        settled = max((need for _, need, is_settled in self.needs if is_settled), default=0)
        first = max((need for at_s, need, _ in self.needs if settled <= AGAIN * self.held or at_s > now_s - RISING_S))
        return max(settled, first)

    def _looked(self, seen: BurstSeen) -> Reflex:
        """Return this with the need of one more second, and with the gap before it where a burst has just begun."""
        now_s, gaps = seen.now_s, self.gaps_s
        is_high = seen.need > AGAIN * self.held
        if is_high and SHORTEST_HOLD_S < now_s - self.high_s < math.inf:
            gaps = (*gaps, now_s - self.high_s)[-GAPS_KEPT:]
        hold_s = replace(self, gaps_s=gaps).hold_s(seen.window_s)
        return replace(
            self,
            needs=(*(each for each in self.needs if each[0] > now_s - hold_s), (now_s, seen.need, seen.is_settled)),
            high_s=now_s if is_high else self.high_s,
            low_s=self.low_s if is_high else now_s,
            hidden_s=now_s if seen.is_hidden else self.hidden_s,
            gaps_s=gaps,
        )

    def to_document(self) -> dict[str, object]:
        """Return what a restarted controller needs to give back what is not its own, as JSON."""
        rest = None if self.rest is None else [self.rest.min_scale, self.rest.max_scale]
        gaps = [round(each, 1) for each in self.gaps_s]
        return {"rest": rest, "held": self.held, "gaps_s": gaps, "wakes": list(self.wakes)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Reflex:
        """Go on; a burst that is over by now ends at once.

        Raises:
            BadInputError: not what `to_document` returned.
        """
        rest, gaps, wakes = document["rest"], document["gaps_s"], document.get("wakes", [])
        if not (rest is None or (isinstance(rest, list) and len(rest) == 2)):
            raise BadInputError(f"state: reflex: needs two bounds, got {rest!r:.80}")
        if not (isinstance(gaps, list) and isinstance(wakes, list)):
            raise BadInputError(f"state: reflex: needs lists of gaps and wakes, got {gaps!r:.80}, {wakes!r:.80}")
        return cls(
            rest=None if rest is None else ScaleBounds(*(max(0, _whole(each)) for each in rest)),
            held=0 if rest is None else max(0, _whole(document["held"])),
            gaps_s=tuple(as_number(each, "state: reflex") for each in gaps[-GAPS_KEPT:]),
            wakes=tuple(max(1, _whole(each)) for each in wakes[-WAKES_KEPT:]),
        )


def reason_of(before: Reflex, after: Reflex, seen: BurstSeen, *, cause: str, changes: str) -> str:
    """Return why the bounds move, in one sentence with its numbers.

    Args:
        before: this second.
        after: this second.
        seen: in it.
        cause: alarm in words, where there is one.
        changes: in words.
    """
    rate = f"{seen.rate_rps:.3g}/s"
    if math.isinf(after.high_s):
        return f"apply: no burst that is ours to meet any more; {changes}"
    if not after.held and after.high_s == seen.now_s:
        return f"apply: {rate} for {LASTING_S:.0f} s is no burst any more; {changes}, as before it"
    if not after.held:
        return f"apply: the burst is over, rate at most {rate} since {seen.now_s - after.high_s:.0f} s; {changes}"
    if after.held < before.held:
        return f"apply: rate at most {rate} since {seen.now_s - before.high_s:.0f} s; {changes} by Little's law"
    if after.held == before.held:
        return f"apply: the burst needs no more than {after.held} instances; {changes}"
    cause = cause or f"{rate} came to {seen.live} instances"
    each = f"{seen.capacity_rps:.3g}/s each at {100 * UTILIZATION:.0f} %"
    return f"apply: {cause}; {changes} by Little's law: up to {rate} need {after.held} instances of {each}"


def activation_reason(after: Reflex, activation_scale: int, *, changes: str) -> str:
    """Return why only the start from zero changes, to this number, in one sentence with its numbers."""
    if activation_scale:
        needs = ", ".join(str(each) for each in after.wakes)
        return f"apply: {WAKING_S:.0f} s after zero it needed {needs} instances the last times; {changes}"
    return f"apply: the service has left zero; {changes}, as at rest"


def given_back(rest: ScaleBounds, present: ScaleBounds, *, held: frozenset[str]) -> ScaleBounds:
    """Return the bounds at rest, as far as they are not held by somebody else."""
    low, high = (getattr(present if name in held else rest, name) for name in ("min_scale", "max_scale"))
    return ScaleBounds(min(low, high) if high and "min_scale" not in held else low, max(low, high) if high else 0)


def with_present(found: SearchResult, present: ServingConfig, knobs: Iterable[str]) -> SearchResult:
    """Return an answer that leaves these knobs alone: they have been moved since, or are not the search's to move."""
    config = replace(found.best.config, **{knob: getattr(present, knob) for knob in knobs})
    return replace(found, best=replace(found.best, config=config))


def _whole(value: object) -> int:
    return int(as_number(value, "state: reflex"))
