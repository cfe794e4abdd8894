"""Inner loops over arrivals: plain arrays in and out, called plain or compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence


def cut(arrival_s: Sequence[float], most: int, delay_s: float, starts: MutableSequence[int]) -> int:
    """Write the first request of each batch into `starts` and return how many batches there are.

    The rule of BATCH: a batch leaves with its B-th request, or T after its first. A request that arrives at the very
    end of the delay still joins.
    """
    size = len(arrival_s)
    batches = 0
    first = 0
    while first < size:
        starts[batches] = first
        batches += 1
        end_s = arrival_s[first] + delay_s
        stop = min(first + most, size)
        first += 1
        while first < stop and arrival_s[first] <= end_s:
            first += 1
    return batches
