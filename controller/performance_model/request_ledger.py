"""How many requests are inside at once, and what became of each. Called plain or compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.performance_model.pod_state import ERROR, OK

if TYPE_CHECKING:
    from controller.performance_model.pod_state import Now, State


def count_inside(now: Now, change: int) -> None:
    """Add to the number of requests in parallel."""
    now.area += now.inside * (now.now_s - now.area_at_s)
    now.area_at_s = now.now_s
    now.inside += change


def answer(state: State, first: int, size: int) -> None:
    """Note right answers of a batch, which is a chain of requests."""
    now = state.now[0]
    count_inside(now, -size)
    row = first
    for _ in range(size):
        request = state.requests[row]
        request.latency_s = now.now_s - request.arrival_s
        if request.status == ERROR:
            request.status = OK
        row = request.following


def refuse(state: State, row: int, status: int) -> None:
    """Note that a request gets no right answer."""
    count_inside(state.now[0], -1)
    request = state.requests[row]
    request.latency_s = math.inf
    request.status = status


def mean_inside(now: Now) -> float:
    """Return the average number of requests in parallel since this was last asked."""
    count_inside(now, 0)
    passed_s = now.now_s - now.read_at_s
    mean = now.area / passed_s if passed_s > 0 else float(now.inside)
    now.area = 0.0
    now.read_at_s = now.now_s
    return mean
