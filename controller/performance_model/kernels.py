"""Inner loops over arrivals: plain arrays in and out, so that they can be compiled without a change to callers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cut_timer_batches(
    arrival_s: NDArray[np.float64], *, max_batch_size: int, max_queue_delay_s: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cut arrivals into batches by the rule of BATCH: B requests, or T after the first of them.

    Args:
        arrival_s: shape (n,), ascending.
        max_batch_size: B.
        max_queue_delay_s: T.

    Returns:
        First request of each batch, shape (n_batches,), and when each batch leaves, shape (n_batches,). A request
        that arrives at the very end of the delay still joins.
    """
    size = arrival_s.size
    ends = np.searchsorted(arrival_s, arrival_s + max_queue_delay_s, side="right")
    ends = np.minimum(ends, np.arange(size) + max_batch_size).tolist()
    firsts: list[int] = []
    first = 0
    while first < size:
        firsts.append(first)
        first = ends[first]
    starts = np.array(firsts, dtype=np.int64)
    stops = np.append(starts[1:], size)[: starts.size]
    is_full = stops - starts == max_batch_size
    leaves_s = np.where(is_full, arrival_s[stops - 1], arrival_s[starts] + max_queue_delay_s)
    return starts, leaves_s
