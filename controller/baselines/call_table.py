"""Seconds and price of one call by memory and batch size: all that policies and their judge know of a service."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    from controller.performance_model.poisson_calls import CallTimes


@dataclass(frozen=True, slots=True, eq=False)
class MadeCalls:
    """What became of calls; arrays have shape (n_calls,).

    Attributes:
        seconds: of each; infinite where it failed.
        usd: price of each; one that fails is not priced.
    """

    seconds: NDArray[np.float64]
    usd: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CallNoise:
    """What makes equal calls differ.

    Attributes:
        factors: on the time of a call, each as likely as the others, shape (n,).
        prices: of a call, which change with its time.
    """

    factors: NDArray[np.float64]
    prices: LambdaPrices


@dataclass(frozen=True, slots=True, eq=False)
class CallTable:
    """Calls by memory, processes and batch size.

    Without `noise`, equal batches take equal time, as BATCH measured (CV below 0.1).

    Attributes:
        memories_mb: ascending.
        seconds: shape (n_processes n_memories, B); one row after the other for each memory, first those of one process;
            column k - 1 is a batch of k.
        usd: same shape; the price of one call.
        noise: of the calls; None for calls without.
    """

    memories_mb: tuple[int, ...]
    seconds: NDArray[np.float64]
    usd: NDArray[np.float64]
    noise: CallNoise | None = None

    @property
    def max_batch_size(self) -> int:
        """Largest batch that is known."""
        return self.seconds.shape[1]

    @property
    def unbatched(self) -> TimerSetting:
        """No batching at the largest memory: what is in force before anything is known."""
        return TimerSetting(max_batch_size=1, max_queue_delay_s=0.0, memory_mb=self.memories_mb[-1])

    def row(self, setting: TimerSetting) -> int:
        """Return the row of a setting's memory and processes.

        Raises:
            BadInputError: a memory, processes or a batch size that the table does not have.
        """
        n_memories = len(self.memories_mb)
        n_processes = len(self.seconds) // n_memories
        is_known = setting.memory_mb in self.memories_mb and 1 <= setting.processes <= n_processes
        if not is_known or not 1 <= setting.max_batch_size <= self.max_batch_size:
            raise BadInputError(
                f"setting: needs one of {n_memories} memories from {self.memories_mb[0]} to "
                f"{self.memories_mb[-1]} MB, 1 to {n_processes} processes and batches of 1 to {self.max_batch_size}, "
                f"got {setting.memory_mb} MB, {setting.processes} and {setting.max_batch_size}"
            )
        return (setting.processes - 1) * n_memories + self.memories_mb.index(setting.memory_mb)

    def make(self, rows: NDArray[np.int64], sizes: NDArray[np.int64], rng: np.random.Generator) -> MadeCalls:
        """Return what calls take and cost.

        Args:
            rows: of the table, shape (n_calls,).
            sizes: requests in each call, same shape.
            rng: noise of the calls.
        """
        seconds = self.seconds[rows, sizes - 1]
        if self.noise is None:
            return MadeCalls(seconds, self.usd[rows, sizes - 1])
        seconds = seconds * rng.choice(self.noise.factors, sizes.size)
        memory_mb = np.array(self.memories_mb, dtype=np.float64)[rows % len(self.memories_mb)]
        usd = call_cost_usd(seconds, memory_mb=memory_mb, prices=self.noise.prices)
        return MadeCalls(seconds, np.where(np.isfinite(seconds), usd, 0.0))


def tabulate_calls(
    service: ServiceTimes, memories_mb: tuple[int, ...], *, max_batch_size: int, prices: LambdaPrices
) -> CallTable:
    """Return the mean time and the price of a call for every memory and batch size.

    Raises:
        BadInputError: times that are not known, not positive, or shorter for a larger batch.
    """
    seconds = np.stack([service_law(service, max_batch_size, memory_mb=memory).mean_s for memory in memories_mb])
    return CallTable(memories_mb, seconds, _priced(seconds, memories_mb, prices))


def reloading(calls: CallTable, prices: LambdaPrices) -> CallTable:
    """Return the same calls by a function that loads its model anew for each: the naive way.

    Loading takes as long as one request: keeping the graph of the model in memory "halves" the delay of an invocation
    (Ali et al. 2020).
    """
    seconds = calls.seconds + calls.seconds[:, :1]
    return replace(calls, seconds=seconds, usd=_priced(seconds, calls.memories_mb, prices))


def tabulate_function(calls: CallTimes, prices: LambdaPrices) -> CallTable:
    """Return the calls of a function with several processes: k requests take what ceil(k / c) of them on each take."""
    grid = calls.grid
    fills = range(1, grid.most_per_process * grid.most_processes + 1)
    # Of all requests per process, the largest lets every fill be asked for: what a call carries decides, not its room.
    seconds = np.stack([grid.by_fill(calls.seconds, fill)[-1] for fill in fills], axis=-1)
    for c in range(1, grid.most_processes + 1):
        seconds[c - 1, :, grid.most_per_process * c :] = np.inf
    rows = seconds.reshape(-1, len(fills))
    memories = grid.memories_mb * grid.most_processes
    return CallTable(grid.memories_mb, rows, _priced(rows, memories, prices), CallNoise(calls.noise, prices))


def _priced(seconds: NDArray[np.float64], memories_mb: tuple[int, ...], prices: LambdaPrices) -> NDArray[np.float64]:
    return call_cost_usd(seconds, memory_mb=np.array(memories_mb, dtype=np.float64)[:, None], prices=prices)
