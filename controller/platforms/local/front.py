"""The activator's heart: buffer while no instance has room, else forward to the least loaded (no I/O of its own)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from controller.platforms.local.arrival_bins import ArrivalBins
from controller.platforms.local.front_request import FrontRequest, plain_answer

if TYPE_CHECKING:
    from collections.abc import Callable

BUFFER = 10_000
"""Requests that wait while no instance has room; the next one is answered 503."""

CLOSING = "the activator is ending"


class Backend(Protocol):
    """An instance as the front sees it."""

    @property
    def in_flight(self) -> int:
        """Requests it holds."""
        ...

    def has_room(self) -> bool:
        """Whether it may be sent another request."""
        ...

    def forward(self, request: FrontRequest, now_s: float) -> None:
        """Send a request to it."""
        ...


class Front:
    """Requests in, requests to instances.

    Args:
        now: seconds on a monotonic clock.
        poke: called when a request waits, so that an instance is started if there is none.
    """

    def __init__(self, *, now: Callable[[], float], poke: Callable[[], None]) -> None:
        self.now = now
        self.ready: list[Backend] = []
        self.arrivals = ArrivalBins(now())
        self.counters = {"accepted": 0, "overflowed": 0, "expired": 0, "cold_start": 0}
        self._poke = poke
        self._waiting: deque[FrontRequest] = deque()
        self._is_closed = False
        self._in_parallel = 0
        self._area = 0.0
        self._area_s = self._read_s = now()

    @property
    def waiting(self) -> int:
        """Requests in the buffer."""
        return len(self._waiting)

    @property
    def in_parallel(self) -> int:
        """Requests in the buffer and in instances."""
        return self._in_parallel

    def submit(self, request: FrontRequest) -> None:
        """Take a request that has just arrived."""
        now_s = self.now()
        self.arrivals.count(now_s)
        self.counters["accepted"] += 1
        if not self.ready:
            request.has_met_cold_start = True
            self.counters["cold_start"] += 1
        self._change(now_s, 1)
        if self._is_closed:
            self._refuse(request, 503, "Service Unavailable", CLOSING)
            return
        backend = None if self._waiting else self._least_loaded()
        if backend is not None:
            backend.forward(request, now_s)
        elif len(self._waiting) >= BUFFER:
            self.counters["overflowed"] += 1
            self._refuse(request, 503, "Service Unavailable", f"{BUFFER} requests wait already; try again later")
        else:
            self._waiting.append(request)
            self._poke()

    def release(self) -> None:
        """Forward what waits, as far as there is room."""
        while self._waiting:
            backend = self._least_loaded()
            if backend is None:
                return
            backend.forward(self._waiting.popleft(), self.now())

    def retry(self, request: FrontRequest) -> None:
        """Take back a request that an instance refused before it was sent; it goes to the head of the buffer."""
        self._change(self.now(), 1)
        if self._is_closed:
            self._refuse(request, 503, "Service Unavailable", CLOSING)
            return
        self._waiting.appendleft(request)
        self._poke()
        self.release()

    def done(self) -> None:
        """Note that an instance holds one request less."""
        self._change(self.now(), -1)
        if self._waiting:
            self.release()

    def forget(self, request: FrontRequest) -> None:
        """Drop a request whose client went away."""
        if request.cancel is not None:
            request.cancel()
        elif request in self._waiting:
            self._waiting.remove(request)
            self._change(self.now(), -1)

    def expire(self) -> None:
        """Answer 504 to what has waited beyond its deadline."""
        now_s = self.now()
        for request in [each for each in self._waiting if each.deadline_s <= now_s]:
            self._waiting.remove(request)
            self.counters["expired"] += 1
            message = "the deadline passed while no instance had room"
            self._refuse(request, 504, "Gateway Timeout", message, "X-Tidegate-Reason: deadline")

    def close(self) -> None:
        """Forward nothing any more and answer 503, also to what waits; answers on their way still arrive."""
        self._is_closed = True
        self.ready.clear()
        self.refuse_all(CLOSING)

    def refuse_all(self, message: str) -> None:
        """Answer 503 to all that wait."""
        while self._waiting:
            self._refuse(self._waiting.popleft(), 503, "Service Unavailable", message)

    def mean_in_parallel(self, now_s: float) -> float:
        """Return the average number of requests in parallel since this was last asked."""
        self._change(now_s, 0)
        passed_s = now_s - self._read_s
        mean = self._area / passed_s if passed_s > 0 else float(self._in_parallel)
        self._area, self._read_s = 0.0, now_s
        return mean

    def _refuse(self, request: FrontRequest, status: int, reason: str, message: str, *extra: str) -> None:
        self._change(self.now(), -1)
        request.answer(*plain_answer(status, reason, message, *extra))

    def _change(self, now_s: float, by: int) -> None:
        self._area += self._in_parallel * (now_s - self._area_s)
        self._area_s = now_s
        self._in_parallel += by

    def _least_loaded(self) -> Backend | None:
        best = None
        for backend in self.ready:
            if (best is None or backend.in_flight < best.in_flight) and backend.has_room():
                best = backend
        return best
