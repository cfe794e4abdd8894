"""Cuts arrivals into the batches of a buffer with a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.performance_model.compiled import kernels_for

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
    kernels = kernels_for(arrival_s.size)
    room = kernels.tables.numbers(np.zeros(arrival_s.size, dtype=np.int64))
    instants = kernels.tables.numbers(np.asarray(arrival_s, dtype=np.float64))
    batches = kernels.cut(instants, int(max_batch_size), float(max_queue_delay_s), room)
    starts = np.array(room[:batches], dtype=np.int64)
    stops = np.append(starts[1:], arrival_s.size)[: starts.size]
    is_full = stops - starts == max_batch_size
    leaves_s = np.where(is_full, arrival_s[stops - 1], arrival_s[starts] + max_queue_delay_s)
    return starts, leaves_s
