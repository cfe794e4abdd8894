"""Seconds and price of one call by memory and batch size: all that policies and their judge know of a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.cost import call_cost_usd
from controller.errors import BadInputError
from controller.performance_model.prediction import TimerSetting
from controller.performance_model.service_law import service_law

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.prices import LambdaPrices
    from controller.domain.service_time import ServiceTimes


@dataclass(frozen=True, slots=True, eq=False)
class CallTable:
    """Deterministic calls: equal batches take equal time, as BATCH measured (CV below 0.1).

    Attributes:
        memories_mb: ascending.
        seconds: shape (n_memories, B); column k - 1 is a batch of k.
        usd: same shape; the price of one call.
    """

    memories_mb: tuple[int, ...]
    seconds: NDArray[np.float64]
    usd: NDArray[np.float64]

    @property
    def max_batch_size(self) -> int:
        """Largest batch that is known."""
        return self.seconds.shape[1]

    @property
    def unbatched(self) -> TimerSetting:
        """No batching at the largest memory: what is in force before anything is known."""
        return TimerSetting(max_batch_size=1, max_queue_delay_s=0.0, memory_mb=self.memories_mb[-1])

    def row(self, setting: TimerSetting) -> int:
        """Return the row of a setting's memory.

        Raises:
            BadInputError: a memory or a batch size that the table does not have.
        """
        if setting.memory_mb not in self.memories_mb or not 1 <= setting.max_batch_size <= self.max_batch_size:
            raise BadInputError(
                f"setting: needs one of {len(self.memories_mb)} memories from {self.memories_mb[0]} to "
                f"{self.memories_mb[-1]} MB and batches of 1 to {self.max_batch_size}, got {setting.memory_mb} MB and "
                f"{setting.max_batch_size}"
            )
        return self.memories_mb.index(setting.memory_mb)


def tabulate_calls(
    service: ServiceTimes, memories_mb: tuple[int, ...], *, max_batch_size: int, prices: LambdaPrices
) -> CallTable:
    """Return the mean time and the price of a call for every memory and batch size.

    Raises:
        BadInputError: times that are not known, not positive, or shorter for a larger batch.
    """
    seconds = np.stack([service_law(service, max_batch_size, memory_mb=memory).mean_s for memory in memories_mb])
    usd = np.stack(
        [call_cost_usd(row, memory_mb=memory, prices=prices) for row, memory in zip(seconds, memories_mb, strict=True)]
    )
    return CallTable(memories_mb, seconds, usd)
