"""Measured service times: a table by memory and batch size, without holes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST_S = 1e6
"""Eleven days; a longer service time is a unit gone wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class TableServiceTimes:
    """Measured times without holes.

    Attributes:
        memory_mb: memories, ascending, or () where memory does not matter.
        table_s: shape (max(1, n_memories), n_batch_sizes), read-only; column i is batch size i + 1.
    """

    memory_mb: tuple[int, ...]
    table_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        table = np.array(self.table_s, dtype=np.float64)
        if table.ndim != 2 or table.shape[0] != max(1, len(self.memory_mb)) or table.size == 0:
            raise BadInputError(
                f"service times: seconds needs one list per memory ({len(self.memory_mb)}), got {table.shape}"
            )
        check_service_times(table)
        if list(self.memory_mb) != sorted(set(self.memory_mb)) or any(m < 1 for m in self.memory_mb):
            raise BadInputError(f"service times: memory_mb must be positive and ascend, got {list(self.memory_mb)}")
        table.flags.writeable = False
        object.__setattr__(self, "table_s", table)

    @property
    def memories_mb(self) -> tuple[int, ...]:
        """The memories of the table."""
        return self.memory_mb

    def seconds(self, batch_size: int, *, memory_mb: int | None = None, padded_length: int | None = None) -> float:
        """See `ServiceTimes.seconds`; the memory may be left out when there is one."""
        del padded_length
        if not 1 <= batch_size <= self.table_s.shape[1]:
            raise BadInputError(
                f"service times: the table ends at batch size {self.table_s.shape[1]}, {batch_size} is needed; "
                "lower the batch size or measure more"
            )
        return float(self.table_s[self._row(memory_mb), batch_size - 1])

    def _row(self, memory_mb: int | None) -> int:
        if len(self.memory_mb) <= 1 and memory_mb is None:
            return 0
        if memory_mb not in self.memory_mb:
            listed = ", ".join(map(str, self.memory_mb)) or "none"
            raise BadInputError(f"memory: needs one of the memories of the service times ({listed}), got {memory_mb}")
        return self.memory_mb.index(memory_mb)

    def to_document(self) -> dict[str, object]:
        """Return the service-times document."""
        sizes = list(range(1, self.table_s.shape[1] + 1))
        return {
            "kind": "table",
            "memory_mb": list(self.memory_mb),
            "batch_size": sizes,
            "seconds": self.table_s.tolist(),
        }


def check_service_times(table_s: NDArray[np.float64]) -> None:
    """Check rows of service times by rising batch size.

    Raises:
        BadInputError: a time that is not positive, or a larger batch that takes less time.
    """
    is_time = (table_s > 0) & (table_s <= LONGEST_S)
    if not is_time.all():
        row, column = np.argwhere(~is_time)[0]
        raise BadInputError(
            f"service times: must be positive and at most {LONGEST_S:g} s, got {table_s[row, column]:g} s for batch "
            f"size {column + 1}"
        )
    falls = np.argwhere(np.diff(table_s, axis=1) < 0)
    if falls.size:
        row, column = falls[0]
        raise BadInputError(
            "service times: a larger batch must not take less time, got "
            f"{table_s[row, column + 1]:g} s for {column + 2} after {table_s[row, column]:g} s for {column + 1}"
        )
