"""Exhaustive exact search over batch size, queue delay and memory: 27,000 settings in well under a second.

Cost comes from the batch sizes alone; whether a setting meets an objective is one look at its distribution function.
Both are computed for all batch sizes and memories of one delay at once. The least quantile over a set of settings is
found by bisection on the latency for the whole set together, dropping what the rest beats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.arrival_process import as_map
from controller.domain.cost import call_cost_usd
from controller.errors import BadInputError
from controller.performance_model.batch_queue import BatchQueue, DelaySlice, check_setting
from controller.performance_model.latency import PROBABILITY_TOLERANCE, interpolate
from controller.performance_model.markov_chain import time_until

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map
    from controller.domain.arrival_process import PoissonProcess
    from controller.domain.prices import LambdaPrices
    from controller.performance_model.service_law import ServiceLaws

RELATIVE_TIE = 1e-9
"""Costs or quantiles closer than this, relatively, are equal: above rounding, far below any price."""
MOST_SETTINGS = 2_000_000
"""Largest grid taken on; beyond it memory would run out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Settings to search: B = 1 with T = 0, and B = 2..max with T = step..max."""

    max_batch_size: int = 20
    max_queue_delay_s: float = 0.5
    delay_step_s: float = 0.01

    def __post_init__(self) -> None:
        check_setting(self.max_batch_size, self.max_queue_delay_s)
        if not (math.isfinite(self.delay_step_s) and self.delay_step_s > 0):
            raise BadInputError(f"delay step: needs a positive number of seconds, got {self.delay_step_s}")
        if self.n_delays * self.max_batch_size > MOST_SETTINGS:
            raise BadInputError(
                f"grid: {self.n_delays} delays x {self.max_batch_size} batch sizes are too many (at most "
                f"{MOST_SETTINGS}); widen the step or lower a bound"
            )

    @property
    def n_delays(self) -> int:
        """Positive delays; none when only B = 1 is asked for."""
        # 1e-9: 0.5 / 0.01 must be 50 whatever the rounding.
        return math.floor(self.max_queue_delay_s / self.delay_step_s + 1e-9) if self.max_batch_size > 1 else 0

    def delay_s(self, index: int) -> float:
        """Return the delay of an index; index 0 is T = 0. Rounded, so that 30 steps of 0.01 print as 0.3."""
        return round(index * self.delay_step_s, 12)

    def exists(self, n_memories: int) -> NDArray[np.bool_]:
        """Return which of (delay index, memory, batch size - 1) are settings: T = 0 goes with B = 1 and no other."""
        exists = np.ones((self.n_delays + 1, n_memories, self.max_batch_size), dtype=np.bool_)
        exists[1:, :, 0], exists[0, :, 1:] = False, False
        return exists


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of a grid: B, T and the index of the memory."""

    max_batch_size: int
    max_queue_delay_s: float
    memory_index: int


@dataclass(frozen=True, slots=True, eq=False)
class GridSurface:
    """All settings of a grid: what each costs, and how to ask for latency.

    Axes of arrays are (delay index from 0, memory, batch size - 1); settings that do not exist are masked by `exists`.
    """

    grid: Grid
    service: ServiceLaws
    cost_usd: NDArray[np.float64]
    exists: NDArray[np.bool_]
    delays: tuple[_Delay, ...]

    @property
    def evaluated(self) -> int:
        """Number of settings."""
        return int(self.exists.sum())

    def attained(self, t_s: float) -> NDArray[np.float64]:
        """Return the share answered within t_s by every setting, same shape as the costs."""
        return np.stack([delay.cdf(t_s, self.service) for delay in self.delays])

    def within(self, t_s: float, quantile: float, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return those candidates that answer a share of at least `quantile` within t_s."""
        reached = np.zeros_like(candidates)
        for index in np.flatnonzero(candidates.any(axis=(1, 2))):
            reached[index] = self.delays[index].cdf(t_s, self.service) >= quantile - PROBABILITY_TOLERANCE
        return reached & candidates

    def fastest(self, quantile: float, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the candidates whose quantile is the least (ties together); candidates must not be empty."""
        low, high = 0.0, float(self.service.seconds.max()) + self.grid.max_queue_delay_s
        while high - low > RELATIVE_TIE * high:
            middle = (low + high) / 2
            reached = self.within(middle, quantile, candidates)
            if reached.any():
                candidates, high = reached, middle
            else:
                low = middle
        return candidates

    def cheapest(self, candidates: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the candidates whose cost is the least (ties together)."""
        least = self.cost_usd[candidates].min()
        return candidates & (self.cost_usd <= least * (1 + RELATIVE_TIE))

    def setting(self, candidates: NDArray[np.bool_]) -> Setting:
        """Return the candidate with the smallest delay, then the smallest batch size, then the smallest memory."""
        delay, memory, size = min(np.argwhere(candidates).tolist(), key=lambda found: (found[0], found[2], found[1]))
        return Setting(size + 1, self.grid.delay_s(delay), memory)


@dataclass(frozen=True, slots=True, eq=False)
class _Delay:
    """One delay of the grid; `exact` is None for T = 0, where every batch has one request."""

    max_queue_delay_s: float
    exact: DelaySlice | None
    timed_out: NDArray[np.float64]
    """Shape (n, m); row k - 1 times a start phase is the expected requests in timed-out batches of k."""

    def cdf(self, t_s: float, service: ServiceLaws) -> NDArray[np.float64]:
        """Return the share answered within t_s by memory and batch size, shape (n_memories, n)."""
        seconds, weights = service.seconds, service.weights
        n = seconds.shape[-1]
        if self.exact is None:
            return np.repeat(((seconds[..., :1] <= t_s) * weights[:, :1]).sum(axis=1), n, axis=1)
        shape, delay = seconds.shape, self.max_queue_delay_s
        sizes = np.broadcast_to(np.arange(n), shape)
        started, closed = (seconds <= t_s) * weights, seconds + delay <= t_s
        share = ((t_s - seconds) / delay).ravel()
        by_timeout = interpolate(self.exact.by_timeout.transpose(1, 2, 0), sizes.ravel(), share).reshape(*shape, -1)
        by_timeout = np.where(closed[..., None], self.timed_out, by_timeout) * started[..., None]
        by_timeout = by_timeout.sum(axis=1)
        smaller = np.cumsum(by_timeout, axis=1) - by_timeout
        by_size = interpolate(self.exact.by_size.transpose(1, 2, 0), sizes.ravel(), share).reshape(*shape, -1)
        start, pmf = self.exact.start_phase, self.exact.batch_size_pmf
        full = np.where(closed, np.arange(1, n + 1) * np.diag(pmf), np.einsum("bm,rkbm->rkb", start, by_size))
        total = np.einsum("bm,rbm->rb", start, smaller) + (full * started).sum(axis=1)
        return total / (pmf @ np.arange(1, n + 1))


def tabulate_grid(
    process: Map | PoissonProcess,
    service: ServiceLaws,
    memories_mb: tuple[int, ...],
    grid: Grid,
    prices: LambdaPrices,
) -> GridSurface:
    """Return costs and latency laws of every setting of a grid.

    Args:
        process: arrivals.
        service: law of service times by memory and batch size.
        memories_mb: of its first axis.
        grid: the other two dimensions.
        prices: of a call.
    """
    n = grid.max_batch_size
    delays = [_Delay(0.0, None, np.zeros((n, 1))), *_tabulate_delays(process, n, grid)]
    calls = np.stack(
        [
            (call_cost_usd(seconds, memory_mb=memory, prices=prices) * service.weights).sum(axis=0)
            for seconds, memory in zip(service.seconds, memories_mb, strict=True)
        ]
    )
    cost = np.stack([_costs(delay, calls) for delay in delays])
    return GridSurface(grid, service, cost, grid.exists(len(memories_mb)), tuple(delays))


def _tabulate_delays(process: Map | PoissonProcess, n: int, grid: Grid) -> list[_Delay]:
    """Return the positive delays; those after which every batch is full anyway share one law."""
    if not grid.n_delays:
        return []
    longest_s = time_until(as_map(process), n - 1, longest_s=grid.delay_s(grid.n_delays))
    n_open = min(grid.n_delays, math.ceil(longest_s / grid.delay_step_s - 1e-9))
    if longest_s < grid.delay_s(n_open):
        n_open -= 1
    delays: list[_Delay] = []
    if n_open:
        queue = BatchQueue.tabulate(process, max_batch_size=n, delay_step_s=grid.delay_step_s, n_delays=n_open)
        per_delay = queue.counts.n_steps // n_open
        delays += [_delay_of(queue, grid.delay_s(index), index * per_delay) for index in range(1, n_open + 1)]
    if n_open < grid.n_delays:
        queue = BatchQueue.tabulate(process, max_batch_size=n, delay_step_s=longest_s, n_delays=1)
        delays += [_delay_of(queue, longest_s, queue.counts.n_steps)] * (grid.n_delays - n_open)
    return delays


def _delay_of(queue: BatchQueue, delay_s: float, step: int) -> _Delay:
    counts = queue.counts.probability[..., step].sum(axis=1)
    return _Delay(delay_s, queue.slice_at(step), counts.T * np.arange(1, counts.shape[1] + 1)[:, None])


def _costs(delay: _Delay, calls_usd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean price of a request, shape (n_memories, n)."""
    n = calls_usd.shape[1]
    if delay.exact is None:
        return np.repeat(calls_usd[:, :1], n, axis=1)
    pmf = delay.exact.batch_size_pmf
    return calls_usd @ pmf.T / (pmf @ np.arange(1, n + 1))
