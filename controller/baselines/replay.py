"""Cut arrivals into batches while the setting changes.

A batch keeps the setting under which it was opened: its first request finds B and T in force, starts the timer with
them and names the function (the memory) that will be called. A change therefore never holds back, cuts or moves a
request that waits already; it holds from the first batch that is opened at or after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.performance_model.timer_batches import cut_timer_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.performance_model.prediction import TimerSetting


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Batches in the order in which they were opened; each array has shape (n_batches,).

    Attributes:
        first: index of the first request.
        size: requests.
        leaves_s: when the batch is sent.
        change: index of the change that it was opened under.
    """

    first: NDArray[np.int64]
    size: NDArray[np.int64]
    leaves_s: NDArray[np.float64]
    change: NDArray[np.int64]

    def latency_s(self, arrival_s: NDArray[np.float64], call_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the wait of each request and the time of its call together, shape (n,).

        Args:
            arrival_s: that the batches were cut from, shape (n,).
            call_s: time of each batch's call, shape (n_batches,).
        """
        return np.repeat(self.leaves_s + call_s, self.size) - arrival_s


def replay(arrival_s: NDArray[np.float64], changes: Sequence[tuple[float, TimerSetting]]) -> Batches:
    """Return the batches of all arrivals; the stream ends with them, so a last batch leaves by its timer.

    Args:
        arrival_s: shape (n,), ascending, none before the first change.
        changes: (when, setting), ascending, at least one.
    """
    ends = [*np.searchsorted(arrival_s, [at_s for at_s, _ in changes[1:]], side="left").tolist(), arrival_s.size]
    firsts: list[NDArray[np.int64]] = []
    leaves: list[NDArray[np.float64]] = []
    opened: list[int] = []
    begin = 0
    for (_, setting), end in zip(changes, ends, strict=True):
        opened.append(0)
        if begin >= end:
            continue
        most = setting.max_batch_size
        # A batch that is opened before `end` may take requests after it, B - 1 at most.
        piece = arrival_s[begin : end + most]
        starts, leaves_s = cut_timer_batches(piece, max_batch_size=most, max_queue_delay_s=setting.max_queue_delay_s)
        kept = int(np.searchsorted(starts, end - begin))
        opened[-1] = kept
        firsts.append(starts[:kept] + begin)
        leaves.append(leaves_s[:kept])
        begin += int(starts[kept]) if kept < starts.size else piece.size
    first = np.concatenate([*firsts, np.zeros(0, dtype=np.int64)])
    size = np.diff(np.append(first, arrival_s.size))
    return Batches(first, size, np.concatenate([*leaves, np.zeros(0)]), np.repeat(np.arange(len(changes)), opened))
