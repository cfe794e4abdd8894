"""What the traffic is now and what it was: the present phase since the last alarm, and the regime around it.

An alarm says that the phase changed, at once and perhaps wrongly. A regime is the law that phases come from; it changes
only when a level has lasted and the law fitted before makes it improbable. Bins here are seconds of the run.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from controller.domain.arrival_process import (
    Map,
    PoissonProcess,
    arrival_process_from_document,
    arrival_process_to_document,
)
from controller.domain.documents import as_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from controller.arrivals.alarm import Alarm

UPPER_Z = 1.28
"""Standard errors above the mean of the rate to plan for: exceeded with probability 0.1."""
FIT_FROM_BINS = 30
"""With fewer seconds of a regime its law is not told apart from a Poisson process."""
REGIME_CHECK_BINS = 20
"""A new regime is looked for this often."""
REFIT_BINS = 300
"""A regime that is longer than what is kept of it grows no more; its law is fitted anew this often."""


YOUNG_BINS = 6
"""A phase of so few seconds may still be rising."""


class OnlineDetector(Protocol):
    """One count a second in, an alarm out if it revealed one; bins are counted from 0."""

    def update(self, count: float, *, is_censored: bool = False) -> Alarm | None:
        """Take the next bin; a censored count is a lower bound."""
        ...


@dataclass(frozen=True, slots=True)
class Detection:
    """How changes are found, and laws fitted; given in so that each can be tried alone.

    Attributes:
        detector: makes a fresh online detector.
        confirm: counts of a regime → first bin of a regime that has replaced it, or None.
        fit: counts → the simplest law that they do not reject.
    """

    detector: Callable[[], OnlineDetector]
    confirm: Callable[[NDArray[np.int64]], int | None]
    fit: Callable[[NDArray[np.int64]], PoissonProcess | Map]


@dataclass(frozen=True, slots=True)
class TrafficChange:
    """Something changed at this second of the run; `kind` "regime" is confirmed, "rate" an alarm."""

    at_s: float
    kind: Literal["rate", "regime"]
    before: float
    after: float


class Traffic:
    """Memory of the counts of a run, fed once a tick. It begins with the first arrival."""

    def __init__(self, detection: Detection, *, kept_bins: int = 900) -> None:
        self._detection = detection
        self._detector = detection.detector()
        self._kept_bins = kept_bins
        self._counts: list[int] = []
        self._origin = -1
        self._next = -1
        self._fitted_bins = 0
        self._fitted_at = 0
        self.law: PoissonProcess | Map | None = None
        """Law of the present regime; None while it is too young."""
        self.phase_bin = 0
        """First bin of the present phase."""
        self.regime_bin = 0
        """First bin of the present regime."""
        self._restored_regime_bin = sys.maxsize

    def update(self, first: int, counts: NDArray[np.int64], censored: NDArray[np.bool_]) -> list[TrafficChange]:
        """Take in what an arrival source counts; bins that were seen before are skipped.

        Args:
            first: bin of the first count.
            counts: arrivals by bin, shape (n,).
            censored: whether each is a lower bound, shape (n,).
        """
        if self._next < 0:
            seen = np.flatnonzero(counts)
            if not seen.size:
                return []
            self._origin = self._next = self.phase_bin = first + int(seen[0])
            self.regime_bin = min(self._origin, self._restored_regime_bin)
        elif first > self._next:  # the source was away for longer than it remembers
            for _ in range(first - self._next):
                self._take(0, is_censored=True)
        fresh = slice(max(0, self._next - first), None)
        changes: list[TrafficChange] = []
        for count, is_lower in zip(counts[fresh].tolist(), censored[fresh].tolist(), strict=True):
            changes += self._take(count, is_censored=is_lower)
        self._refit(changes)
        return changes

    @property
    def age_s(self) -> int:
        """Seconds since the first arrival."""
        return self._next - self._origin if self._next >= 0 else 0

    @property
    def silent_s(self) -> int:
        """Seconds since the last arrival; those before the first do not count."""
        for quiet, count in enumerate(reversed(self._counts)):
            if count:
                return quiet
        return len(self._counts)

    @property
    def phase(self) -> NDArray[np.int64]:
        """Counts of the present phase, its last minute at most."""
        return np.array(self._since(max(self.phase_bin, self._next - 60)), dtype=np.int64)

    @property
    def rate_rps(self) -> float:
        """Mean rate of the present phase."""
        phase = self.phase
        return float(phase.mean()) if phase.size else 0.0

    @property
    def upper_rate_rps(self) -> float:
        """Rate of the present phase that is exceeded with probability 0.1 only, given how little was seen of it."""
        phase = self.phase
        if not phase.size:
            return 0.0
        return self.rate_rps + UPPER_Z * math.sqrt(self.fano * max(self.rate_rps, 1 / phase.size) / phase.size)

    @property
    def burst_rps(self) -> float:
        """Rate that a burst may have, for those who cannot wait: the phase without its first second, or the last two.

        The first second of a phase is often only in part of it. In a phase that has just begun, or where the last two
        seconds are surely beyond it, alarm or no alarm, the mean of those two counts if it is more.
        """
        phase = self.phase[1:] if self.phase.size > 2 else self.phase
        steady = _upper_rps(phase)
        is_moving = not self.is_settled or self.sure_rps > steady
        return max(steady, self._recent_rps) if is_moving else steady

    @property
    def is_settled(self) -> bool:
        """Whether the present phase is older than a rise takes."""
        return self.phase.size > YOUNG_BINS

    @property
    def sure_rps(self) -> float:
        """Rate that the last two seconds are surely above: two standard errors below their mean."""
        return self._recent_rps - 2 * math.sqrt(self._recent_rps / 2)

    @property
    def _recent_rps(self) -> float:
        return sum(self._since(self._next - 2)) / 2

    @property
    def fano(self) -> float:
        """Variance over mean of the counts of the present phase, at least 1."""
        phase = self.phase
        return max(1.0, float(phase.var() / phase.mean())) if phase.size > 1 and phase.any() else 1.0

    @property
    def peak_rps(self) -> float:
        """Most arrivals in one second of the present regime."""
        return float(max(self._since(self.regime_bin), default=0))

    @property
    def sustained_rps(self) -> float:
        """Highest mean rate of five seconds in the last two minutes."""
        recent = np.array(self._since(self._next - 120), dtype=np.float64)
        width = min(5, recent.size)
        return float(np.convolve(recent, np.full(width, 1 / width), mode="valid").max()) if width else 0.0

    def to_document(self) -> dict[str, object]:
        """Return what a restarted controller needs, as JSON; counts come again from their source."""
        law = None if self.law is None else arrival_process_to_document(self.law)
        return {"law": law, "fitted_bins": self._fitted_bins, "regime_bin": self.regime_bin}

    def restore(self, document: Mapping[str, Any]) -> None:
        """Go on with the regime of an earlier life of the controller.

        Raises:
            BadInputError: not what `to_document` returned.
        """
        if document.get("law") is None:
            return
        law = arrival_process_from_document(document["law"], where="state: law", base=Path())
        if isinstance(law, PoissonProcess | Map):
            fitted_bins, regime_bin = (
                int(as_number(document[name], f"state: {name}")) for name in ("fitted_bins", "regime_bin")
            )
            self.law, self._fitted_bins, self._restored_regime_bin = law, fitted_bins, regime_bin

    def _take(self, count: int, *, is_censored: bool) -> list[TrafficChange]:
        at_bin = self._next
        # A lower bound must not make the rate look as if it fell.
        self._counts.append(max(count, round(self.rate_rps)) if is_censored else count)
        self._next += 1
        if len(self._counts) > self._kept_bins:
            del self._counts[: len(self._counts) - self._kept_bins]
        alarm = self._detector.update(count, is_censored=is_censored)
        if alarm is None:
            return []
        self.phase_bin = max(self.phase_bin, self._origin + alarm.change_bin)
        return [TrafficChange(float(at_bin + 1), "rate", alarm.before, alarm.after)]

    def _refit(self, changes: list[TrafficChange]) -> None:
        """Every twenty seconds: has another regime taken over? Then, or when much more was seen, fit its law anew."""
        regime = np.array(self._since(self.regime_bin), dtype=np.int64)
        if regime.size < FIT_FROM_BINS or self._next % REGIME_CHECK_BINS:
            return
        begun = self._detection.confirm(regime)
        if begun is not None:
            before, after = float(regime[:begun].mean()), float(regime[begun:].mean())
            changes.append(TrafficChange(float(self._next), "regime", before, after))
            self.regime_bin = max(self.regime_bin, self._next - regime.size) + int(begun)
            self.phase_bin = max(self.phase_bin, self.regime_bin)
            regime = regime[begun:]
        if begun is not None or self._is_much_more(regime.size):
            self.law = self._detection.fit(regime)
            self._fitted_bins, self._fitted_at = int(regime.size), self._next

    def _is_much_more(self, seen_bins: int) -> bool:
        wanted = 1.25 * self._fitted_bins
        if wanted <= self._kept_bins:
            return seen_bins >= wanted
        return seen_bins >= self._kept_bins and self._next - self._fitted_at >= REFIT_BINS

    def _since(self, first_bin: int) -> list[int]:
        start = self._next - len(self._counts)
        return self._counts[max(0, first_bin - start) :]


def _upper_rps(counts: NDArray[np.int64]) -> float:
    """Return the rate that these counts a second, if they are Poisson, exceed with probability 0.1 only."""
    if not counts.size:
        return 0.0
    mean = float(counts.mean())
    return mean + UPPER_Z * math.sqrt(max(mean, 1 / counts.size) / counts.size) if mean else 0.0
