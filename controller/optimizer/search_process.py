"""Where a search runs: in a child process of the lowest priority, so that heartbeats and ticks never wait for it.

`InlineSearch` is for virtual time: it computes at once and shows its answer some virtual seconds later, as the child
would have done.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Protocol

from controller.errors import TemporaryError
from controller.optimizer.study import Problem, SearchResult, optimize_by_simulation
from controller.performance_model.compiled import load_if_compiled_ahead

IDLE_S = 120.0


class Search(Protocol):
    """One search at a time."""

    @property
    def is_busy(self) -> bool:
        """Whether a search has been begun whose answer was not taken yet."""
        ...

    def begin(self, problem: Problem, now_s: float) -> None:
        """Start a search."""
        ...

    def take(self, now_s: float) -> SearchResult | None:
        """Return the answer once, when it is there."""
        ...

    def close(self) -> None:
        """End what runs."""
        ...


class InlineSearch:
    """Searches in the caller.

    Args:
        takes_s: seconds of the run after which the answer is shown.
    """

    def __init__(self, *, takes_s: float = 2.0) -> None:
        self._takes_s = takes_s
        self._due: tuple[float, SearchResult] | None = None

    @property
    def is_busy(self) -> bool:
        """See `Search.is_busy`."""
        return self._due is not None

    def begin(self, problem: Problem, now_s: float) -> None:
        """See `Search.begin`."""
        load_if_compiled_ahead()
        # Wall time must not decide what happens in virtual time.
        self._due = (now_s + self._takes_s, optimize_by_simulation(replace(problem, budget_s=math.inf)))

    def take(self, now_s: float) -> SearchResult | None:
        """See `Search.take`."""
        if self._due is None or now_s < self._due[0]:
            return None
        _, result = self._due
        self._due = None
        return result

    def close(self) -> None:
        """See `Search.close`."""
        self._due = None


class SearchProcess:
    """One child process that searches for everybody; it is started early where asked, for importing takes a second."""

    def __init__(self, *, is_early: bool = True) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._used_s = 0.0
        if is_early:
            self._started().submit(os.getpid)

    def submit(self, problem: Problem) -> Future[SearchResult]:
        """Queue a search.

        Raises:
            TemporaryError: the child had died; the next search gets a new one.
        """
        self._used_s = time.monotonic()
        try:
            return self._started().submit(optimize_by_simulation, problem)
        except BrokenExecutor as error:
            raise self.renewed(error) from error

    def renewed(self, error: BrokenExecutor) -> TemporaryError:
        """Forget a child that died, and return the error to tell."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        return TemporaryError(f"search: its process died ({error}); a new one is started")

    def rest_if_idle(self) -> None:
        """End the child when nobody has searched for minutes: it holds 180 MB."""
        if self._pool is not None and time.monotonic() - self._used_s > IDLE_S:
            self._pool.shutdown(wait=False)
            self._pool = None

    def close(self) -> None:
        """End what runs."""
        for child in self.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)  # a search of seconds is not worth waiting for when the run is over
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def children(self) -> list[int]:
        """Return the process that searches, if it was started."""
        # The executor does not name its processes elsewhere; after a shutdown it has none.
        return list(getattr(self._pool, "_processes", None) or {})

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_prepare)
        return self._pool


class ChildSearch:
    """Searches in a child process.

    Args:
        process: shared with others, who close it; without one this search has its own.
    """

    def __init__(self, process: SearchProcess | None = None) -> None:
        self._process = process or SearchProcess()
        self._is_own = process is None
        self._future: Future[SearchResult] | None = None

    @property
    def is_busy(self) -> bool:
        """See `Search.is_busy`."""
        return self._future is not None

    def begin(self, problem: Problem, now_s: float) -> None:
        """See `Search.begin`.

        Raises:
            TemporaryError: the child had died; the next search gets a new one.
        """
        del now_s
        self._future = self._process.submit(problem)

    def take(self, now_s: float) -> SearchResult | None:
        """See `Search.take`.

        Raises:
            TemporaryError: the child died; the next search gets a new one.
        """
        del now_s
        if self._future is None or not self._future.done():
            return None
        future, self._future = self._future, None
        try:
            return future.result()
        except BrokenExecutor as error:
            raise self._process.renewed(error) from error

    def close(self) -> None:
        """See `Search.close`."""
        if self._is_own:
            self._process.close()
        elif self._future is not None:
            self._future.cancel()

    def children(self) -> list[int]:
        """Return the process that searches, if it was started."""
        return self._process.children()


def _prepare() -> None:
    """Run only when nobody else wants the CPU, and have simulations run compiled if they were compiled ahead."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    load_if_compiled_ahead()
