"""Every request of a simulation, by its place in order of arrival, and how many are inside at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.performance_model.simulation_result import CLASSES

if TYPE_CHECKING:
    from controller.domain.request_log import RequestClass

OK, COLD_START, REJECTED, EXPIRED, ERROR = (
    CLASSES.index(name) for name in ("ok", "cold_start", "rejected", "expired", "error")
)


class RequestLedger:
    """Columns as plain lists: the simulator touches one cell at a time, where lists beat arrays."""

    __slots__ = ("_area", "_area_s", "_read_s", "arrival_s", "inside", "joined_s", "latency_s", "status", "tokens")

    def __init__(self) -> None:
        self.arrival_s: list[float] = []
        self.tokens: list[int] = []
        self.joined_s: list[float] = []
        """When each reached a pod; NaN before."""
        self.latency_s: list[float] = []
        """NaN while inside, infinite without a right answer."""
        self.status: list[int] = []
        """Index into CLASSES; "error" until answered, but "cold_start" already tells what an answer would be."""
        self.inside = 0
        self._area = 0.0
        self._area_s = 0.0
        self._read_s = 0.0

    def extend(self, arrival_s: list[float], tokens: list[int]) -> None:
        """Add requests that have not arrived yet."""
        nothing = [math.nan] * len(arrival_s)
        self.arrival_s += arrival_s
        self.tokens += tokens
        self.joined_s += nothing
        self.latency_s += nothing
        self.status += [ERROR] * len(arrival_s)

    def enter(self, now_s: float) -> None:
        """Count one more request in parallel."""
        self._area += self.inside * (now_s - self._area_s)
        self._area_s = now_s
        self.inside += 1

    def answer(self, requests: list[int], now_s: float) -> None:
        """Note right answers."""
        self._area += self.inside * (now_s - self._area_s)
        self._area_s = now_s
        self.inside -= len(requests)
        for request in requests:
            self.latency_s[request] = now_s - self.arrival_s[request]
            if self.status[request] == ERROR:
                self.status[request] = OK

    def refuse(self, request: int, now_s: float, status: int) -> None:
        """Note that a request gets no right answer."""
        self._area += self.inside * (now_s - self._area_s)
        self._area_s = now_s
        self.inside -= 1
        self.latency_s[request] = math.inf
        self.status[request] = status

    def mean_inside(self, now_s: float) -> float:
        """Return the average number of requests in parallel since this was last asked."""
        self._area += self.inside * (now_s - self._area_s)
        self._area_s = now_s
        passed_s = now_s - self._read_s
        mean = self._area / passed_s if passed_s > 0 else float(self.inside)
        self._area, self._read_s = 0.0, now_s
        return mean

    def classes(self, size: int) -> list[RequestClass]:
        """Return the classes of the first `size` requests; one that is still inside counts as an error."""
        pairs = zip(self.status[:size], self.latency_s[:size], strict=True)
        return [CLASSES[ERROR if math.isnan(latency_s) else status] for status, latency_s in pairs]
