"""Cores shared by busy workers and starting instances: n jobs on c cores each run at min(1, c / n).

Processor sharing in virtual time: V grows at the common speed, a job of w CPU seconds that begins at V ends at V + w,
so one heap orders all ends and no remaining work is updated. O(log n) per job.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Job = TypeVar("Job")


class SharedCores(Generic[Job]):
    """The jobs that run now. `next_s` is when the first of them ends if nothing else happens."""

    __slots__ = ("_cores", "_heap", "_now_s", "_serial", "_speed", "_virtual_s", "next_s")

    def __init__(self, cores: float) -> None:
        self._cores = cores
        self._heap: list[tuple[float, int, Job]] = []
        self._now_s = 0.0
        self._virtual_s = 0.0
        self._speed = 1.0
        self._serial = 0
        self.next_s = math.inf

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, now_s: float, work_s: float, job: Job) -> None:
        """Begin a job that needs `work_s` seconds of a whole core."""
        self._virtual_s += (now_s - self._now_s) * self._speed
        self._serial += 1
        heappush(self._heap, (self._virtual_s + work_s, self._serial, job))
        self._resume(now_s)

    def pop(self) -> Job:
        """Take the job that ends at `next_s`."""
        now_s = self.next_s
        ended_s, _, job = heappop(self._heap)
        self._virtual_s = ended_s
        self._resume(now_s)
        return job

    def remove_where(self, now_s: float, is_unwanted: Callable[[Job], bool]) -> None:
        """Give up jobs before their end."""
        self._virtual_s += (now_s - self._now_s) * self._speed
        self._heap = [each for each in self._heap if not is_unwanted(each[2])]
        heapify(self._heap)
        self._resume(now_s)

    def _resume(self, now_s: float) -> None:
        self._now_s = now_s
        count = len(self._heap)
        if not count:
            self.next_s = math.inf
            return
        self._speed = 1.0 if count <= self._cores else self._cores / count
        self.next_s = now_s + max(0.0, self._heap[0][0] - self._virtual_s) / self._speed
