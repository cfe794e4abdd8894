"""Settings of a function that answers batches with several processes, and the grid they are searched on.

A call carries up to b x c requests; c processes take b of them each, or fewer, as evenly as can be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FunctionSetting:
    """One point: requests per process (b), processes (c) and memory."""

    per_process: int
    processes: int
    memory_mb: int

    @property
    def max_batch_size(self) -> int:
        """Requests of a full call."""
        return self.per_process * self.processes


@dataclass(frozen=True, slots=True)
class FunctionGrid:
    """All settings up to a largest b and c, at the memories given; arrays over it have shape (b, c, memory).

    The defaults are the ranges of JBMP's main tuner (research/parallel_and_jbmp.md, section 2.3).
    """

    most_per_process: int = 16
    most_processes: int = 2
    memories_mb: tuple[int, ...] = tuple(range(128, 3073, 32))

    def __post_init__(self) -> None:
        if self.most_per_process < 1 or self.most_processes < 1:
            raise BadInputError("grid: needs at least one request per process and one process")
        rising = all(a < b for a, b in zip(self.memories_mb, self.memories_mb[1:], strict=False))
        if not self.memories_mb or self.memories_mb[0] < 1 or not rising:
            raise BadInputError(f"grid: memories must be positive and rise, got {self.memories_mb}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of arrays over the grid."""
        return self.most_per_process, self.most_processes, len(self.memories_mb)

    @property
    def axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Values of b, c and memory, shapes (b, 1, 1), (1, c, 1) and (1, 1, memory)."""
        b, c = np.arange(1.0, self.most_per_process + 1), np.arange(1.0, self.most_processes + 1)
        return b[:, None, None], c[None, :, None], np.array(self.memories_mb, dtype=np.float64)[None, None, :]

    def setting(self, place: int) -> FunctionSetting:
        """Return the setting at a place of the flattened grid."""
        b, c, memory = np.unravel_index(place, self.shape)
        return FunctionSetting(int(b) + 1, int(c) + 1, self.memories_mb[int(memory)])

    def place(self, setting: FunctionSetting) -> int:
        """Return the place of a setting on the flattened grid; its memory is taken to the nearest of the grid."""
        memory = int(np.argmin(np.abs(np.array(self.memories_mb) - setting.memory_mb)))
        b, c = setting.per_process - 1, setting.processes - 1
        if not (0 <= b < self.most_per_process and 0 <= c < self.most_processes):
            raise BadInputError(f"grid: {setting} is outside")
        return (b * self.most_processes + c) * len(self.memories_mb) + memory

    def by_fill(self, seconds: NDArray[np.float64], fill: int) -> NDArray[np.float64]:
        """Return the times of calls with `fill` requests, shape (b, c, memory); full calls where `fill` is more.

        Args:
            seconds: of full calls, shape (b, c, memory).
            fill: requests that a call carries.
        """
        return seconds.ravel()[self.places_by_fill[fill - 1]].reshape(self.shape)

    @property
    def places_by_fill(self) -> NDArray[np.int64]:
        """Where the time of a call with 1, 2, … requests stands among those of full calls, shape (fills, settings)."""
        return _places_by_fill(self)


@lru_cache(maxsize=8)
def _places_by_fill(grid: FunctionGrid) -> NDArray[np.int64]:
    b, c, memory = (axis.ravel() for axis in np.indices(grid.shape))
    fills = np.arange(1, grid.most_per_process * grid.most_processes + 1)[:, None]
    # k requests on c processes: the slowest has ceil(k / c) of them, and no more than k processes are started.
    used_b, used_c = np.minimum(b, -(-fills // (c + 1)) - 1), np.minimum(c, fills - 1)
    places = (used_b * grid.most_processes + used_c) * len(grid.memories_mb) + memory
    places.setflags(write=False)
    return places
