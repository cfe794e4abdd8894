"""Instances of one type: their launches and ends, and the batches that go to whichever is free first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from heapq import heapify, heappush, heapreplace
from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FORGIVEN_S = 1e-9
"""An answer may be due exactly at the bound."""


@dataclass(frozen=True, slots=True)
class InstanceType:
    """One kind of instance, with the batches that it is given.

    Attributes:
        name: of the type.
        usd_per_hour: its price.
        seconds: of a batch of 1, 2, ..., B requests, ascending.
        max_queue_delay_s: W, how long a batch waits for company; 0 where B is 1.
        boot_s: from its launch until it takes requests.
    """

    name: str
    usd_per_hour: float
    seconds: tuple[float, ...]
    max_queue_delay_s: float = 0.0
    boot_s: float = 0.0

    def __post_init__(self) -> None:
        rising = all(a <= b for a, b in zip(self.seconds, self.seconds[1:], strict=False))
        if not self.seconds or not self.seconds[0] > 0 or not rising or not math.isfinite(self.seconds[-1]):
            raise BadInputError(f"instance type {self.name}: needs positive ascending seconds, got {self.seconds}")
        numbers = (self.usd_per_hour, self.max_queue_delay_s, self.boot_s)
        if not all(0 <= each < math.inf for each in numbers):
            raise BadInputError(
                f"instance type {self.name}: needs a price, a delay and a boot time of 0 or more, got {numbers}"
            )

    @property
    def max_batch_size(self) -> int:
        """B."""
        return len(self.seconds)

    @property
    def capacity_rps(self) -> float:
        """Requests a second when it always computes full batches."""
        return self.max_batch_size / self.seconds[-1]


@dataclass(frozen=True, slots=True)
class Overflow:
    """Where requests go that the instances would answer too late.

    Attributes:
        bound_s: latency beyond which a request is sent there.
        seconds: until it is answered there.
        usd: price of its call.
    """

    bound_s: float
    seconds: float
    usd: float


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """Places of requests that instances answer with when, of those that overflow, and how many batches there were."""

    answered: NDArray[np.int64]
    done_s: NDArray[np.float64]
    overflowed: NDArray[np.int64]
    batches: int


class InstanceGroup:
    """Instances of one type as a heap of (free from, launched, ready), and the requests of the batch still open."""

    __slots__ = ("heap", "kind", "lives", "pending")

    def __init__(self, kind: InstanceType, count: int, now_s: float) -> None:
        self.kind = kind
        self.heap = [(now_s, now_s, now_s)] * count
        self.lives: list[tuple[str, float, float]] = []
        self.pending = np.zeros(0, dtype=np.int64)

    def resize(self, count: int, now_s: float) -> None:
        """Launch or end instances; what ends finishes its batches first, and one that boots ends at once."""
        ready_s = now_s + self.kind.boot_s
        for _ in range(count - len(self.heap)):
            heappush(self.heap, (ready_s, now_s, ready_s))
        surplus = len(self.heap) - count
        if surplus > 0:
            # The newest of those that boot, then those that are free first.
            order = sorted(self.heap, key=lambda each: (each[2] <= now_s, -each[1] if each[2] > now_s else each[0]))
            self.end(order[:surplus], now_s)
            self.heap = order[surplus:]
            heapify(self.heap)

    def end(self, instances: Sequence[tuple[float, float, float]], now_s: float) -> None:
        """Write down the lives of instances that end."""
        for free_s, launched_s, ready_s in instances:
            ended_s = max(now_s, free_s) if free_s > ready_s else now_s
            self.lives.append((self.kind.name, launched_s, ended_s))

    def ready(self, now_s: float) -> int:
        """Return how many take requests."""
        return sum(ready_s <= now_s for _, _, ready_s in self.heap)

    def serve(
        self, own: NDArray[np.int64], arrival_s: NDArray[np.float64], until_s: float, overflow: Overflow | None
    ) -> Served:
        """Batch and compute these requests; a batch that may still grow after `until_s` stays open.

        Args:
            own: places of requests, ascending.
            arrival_s: of all requests.
            until_s: no later request of this type is known.
            overflow: where those go that would be late.
        """
        own = np.concatenate((self.pending, own))
        self.pending = own[:0]
        if not self.heap:
            none = np.full(own.size, math.inf)
            return Served(own[:0], none[:0], own, 0) if overflow else Served(own, none, own[:0], 0)
        at = arrival_s[own]
        slack_s = math.inf if overflow is None else overflow.bound_s - self.kind.seconds[-1] + FORGIVEN_S
        if self.kind.max_batch_size == 1:
            done_s = self._compute_in_turn(at, slack_s)
            if done_s is not None:
                return Served(own, done_s, own[:0], own.size)
        firsts, ends, done, over, known = self._compute(at, until_s, slack_s)
        self.pending = own[known:]
        is_over = np.zeros(known, dtype=np.bool_)
        is_over[over] = True
        sizes = np.array(ends, dtype=np.int64) - np.array(firsts, dtype=np.int64)
        done_s = np.repeat(np.array(done, dtype=np.float64), sizes)
        return Served(own[:known][~is_over], done_s, own[over], len(firsts))

    def _compute_in_turn(self, at_s: NDArray[np.float64], slack_s: float) -> NDArray[np.float64] | None:
        """Return when single requests are answered, shape (n,); None, and nothing done, where this way does not hold.

        Of equal service times no request overtakes another, so that c instances serve in turn: request i follows i - c
        on its instance, and each of these queues is a running maximum (Lindley's recursion). It does not hold where a
        request would overflow, or where an instance has so much more to do than another that its turn is passed over.
        """
        order, seconds, size = sorted(self.heap), self.kind.seconds[0], at_s.size
        count = len(order)
        if not size or order[-1][0] > max(order[0][0], at_s[0]) + seconds:
            return None
        rounds = -(-size // count)
        table = np.full(rounds * count, math.inf)
        table[:size] = at_s
        lead_s = np.arange(rounds, dtype=np.float64)[:, None] * seconds
        table = table.reshape(rounds, count) - lead_s
        table[:1] = np.maximum(table[:1], [free_s for free_s, _, _ in order])
        start_s = (np.maximum.accumulate(table, axis=0) + lead_s).ravel()[:size]
        if (start_s - at_s > slack_s).any():
            return None
        done_s = start_s + seconds
        for turn in range(min(count, size)):
            last = turn + (size - 1 - turn) // count * count
            order[turn] = (float(done_s[last]), *order[turn][1:])
        heapify(order)
        self.heap = order
        return done_s

    def _compute(
        self, at_s: NDArray[np.float64], until_s: float, slack_s: float
    ) -> tuple[list[int], list[int], list[float], list[int], int]:
        """Return first request, end and time of the answer of each batch, who overflows, and where an open one begins.

        Args:
            at_s: instants of the requests.
            until_s: no later request is known.
            slack_s: how long a request can wait for an instance before a full batch would be late.
        """
        kind, heap, size = self.kind, self.heap, at_s.size
        delay_s, most, seconds = kind.max_queue_delay_s, kind.max_batch_size, kind.seconds
        last = np.minimum(np.searchsorted(at_s, at_s + delay_s, side="right"), np.arange(size) + most).tolist()
        instants = at_s.tolist()
        firsts: list[int] = []
        ends: list[int] = []
        done: list[float] = []
        over: list[int] = []
        first = 0
        while first < size:
            now_s, end = instants[first], last[first]
            free_s, launched_s, ready_s = heap[0]
            if free_s - now_s > slack_s:
                over.append(first)
                first += 1
                continue
            leaves_s = instants[end - 1] if end - first == most else now_s + delay_s
            if end == size and leaves_s > until_s:
                break
            done_s = max(free_s, leaves_s) + seconds[end - first - 1]
            heapreplace(heap, (done_s, launched_s, ready_s))
            firsts.append(first)
            ends.append(end)
            done.append(done_s)
            first = end
        return firsts, ends, done, over, first
