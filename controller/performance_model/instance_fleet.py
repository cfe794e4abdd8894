"""Event simulator of rented instances: boot delay, billing by the second, one queue, batches per type, overflow.

A fleet is what MArk and SageMaker serve from. Requests are spread over the types by their ready capacity; those of one
type form batches (B requests, or W after the first) and go to the instance that is free first, which is one queue for
all instances of the type. Nothing is lost to bad routing, so that a fleet is rather flattered than wronged. With an
overflow (MArk's bouncer) a request that would not be answered within the bound goes to a function at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError
from controller.performance_model.instance_group import InstanceGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.performance_model.instance_group import InstanceType, Overflow

LEAST_BILLED_S = 60.0
"""Instances are paid by the second from their launch, but never for less than a minute."""
GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, modulo 1, spread evenly: n requests are shared out with an error of about log n."""


@dataclass(frozen=True, slots=True, eq=False)
class FleetRun:
    """What came of a fleet.

    Attributes:
        latency_s: shape (n,), in order of arrival; infinite where no instance was there.
        is_overflow: shape (n,), whether a request went to the function.
        batches: calls of instances and of the function.
        instances_usd: from launches to ends, boots included.
        overflow_usd: of the function.
        lives: (type, launched, ended) of each instance.
    """

    latency_s: NDArray[np.float64]
    is_overflow: NDArray[np.bool_]
    batches: int
    instances_usd: float
    overflow_usd: float
    lives: tuple[tuple[str, float, float], ...]


class InstanceFleet:
    """Serves arrivals in order of time while its size changes.

    Args:
        types: of instances.
        counts: of each, ready at `now_s` and paid from then on.
        arrival_s: all that will come, shape (n,), ascending.
        now_s: where to begin; no arrival is before it.
        overflow: None where every request waits for an instance.
    """

    def __init__(
        self,
        types: Sequence[InstanceType],
        counts: Sequence[int],
        arrival_s: NDArray[np.float64],
        *,
        now_s: float,
        overflow: Overflow | None = None,
    ) -> None:
        self._groups = [InstanceGroup(kind, count, now_s) for kind, count in zip(types, counts, strict=True)]
        self._arrival_s, self._overflow, self._now_s = arrival_s, overflow, now_s
        self._done_s = np.full(arrival_s.size, math.nan)
        self._is_overflow = np.zeros(arrival_s.size, dtype=np.bool_)
        self._next = self._told = self._batches = 0
        self._untold = np.zeros(0, dtype=np.int64)

    @property
    def counts(self) -> tuple[int, ...]:
        """Instances of each type, those that boot included."""
        return tuple(len(group.heap) for group in self._groups)

    def resize(self, counts: Sequence[int]) -> None:
        """Launch or end instances now.

        Raises:
            BadInputError: fewer than none of a type, or another number of types.
        """
        if len(counts) != len(self._groups) or min(counts) < 0:
            raise BadInputError(f"fleet: needs {len(self._groups)} counts of 0 or more, got {tuple(counts)}")
        for group, count in zip(self._groups, counts, strict=True):
            group.resize(count, self._now_s)

    def advance(self, until_s: float) -> None:
        """Serve what arrives before `until_s`."""
        last = int(np.searchsorted(self._arrival_s, until_s, side="left"))
        own = np.arange(self._next, last)
        kinds = self._spread(own)
        for place, group in enumerate(self._groups):
            served = group.serve(own[kinds == place], self._arrival_s, until_s, self._overflow)
            self._done_s[served.answered] = served.done_s
            self._batches += served.batches
            if served.overflowed.size and self._overflow is not None:
                self._done_s[served.overflowed] = self._arrival_s[served.overflowed] + self._overflow.seconds
                self._is_overflow[served.overflowed] = True
        self._next, self._now_s = last, until_s

    def _spread(self, own: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the type that each request goes to, by the capacity that is ready, or boots where none is."""
        ready = [group.ready(self._now_s) for group in self._groups]
        counts = ready if any(ready) else self.counts
        weights = np.array([count * group.kind.capacity_rps for count, group in zip(counts, self._groups, strict=True)])
        if not weights.any():
            return np.zeros(own.size, dtype=np.int64)
        return np.searchsorted(np.cumsum(weights) / weights.sum(), (own * GOLDEN) % 1.0, side="right")

    def answered_s(self) -> NDArray[np.float64]:
        """Return latencies of the requests that were answered since this was last asked."""
        known = np.concatenate((self._untold, np.arange(self._told, self._next)))
        done_s = self._done_s[known]
        is_told = (done_s <= self._now_s) | np.isinf(done_s)
        self._told, self._untold = self._next, known[~is_told]
        told = known[is_told]
        return self._done_s[told] - self._arrival_s[told]

    def close(self) -> FleetRun:
        """Let open batches leave, end all instances now, and return what came of it."""
        for group in self._groups:
            served = group.serve(np.zeros(0, dtype=np.int64), self._arrival_s, math.inf, None)
            self._done_s[served.answered] = served.done_s
            self._batches += served.batches
            group.end(group.heap, self._now_s)
            group.heap = []
        lives = tuple(life for group in self._groups for life in group.lives)
        n_over = int(self._is_overflow.sum())
        return FleetRun(
            latency_s=self._done_s - self._arrival_s,
            is_overflow=self._is_overflow,
            batches=self._batches + n_over,
            instances_usd=self._instances_usd(),
            overflow_usd=n_over * self._overflow.usd if self._overflow else 0.0,
            lives=lives,
        )

    def _instances_usd(self) -> float:
        return sum(
            max(ended_s - launched_s, LEAST_BILLED_S) * group.kind.usd_per_hour / 3600
            for group in self._groups
            for _, launched_s, ended_s in group.lives
        )
