"""The exact law of a batch buffer in front of servers without queue: batch sizes and waiting times.

A batch leaves with its B-th request, or T after its first, whichever comes first; the next batch begins with the next
arrival. Exact for every Markovian arrival process (docs/performance-model.md has the derivation; it replaces the
approximations of Ali et al. 2020, section IV).

Symbols: `a` (m,) phase just after the first request of a batch; `P`, `I` as in `markov_chain.py`; `C_n(x)` expected
requests per batch that sit in a batch of n and have waited at most x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.arrival_process import as_map
from controller.errors import BadInputError
from controller.performance_model.markov_chain import (
    CountTable,
    arrival_phases,
    stationary_row,
    tabulate_counts,
    time_until,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map
    from controller.domain.arrival_process import PoissonProcess

ARRIVALS_PER_STEP = 0.1
"""Arrivals expected in one step of the grid; cubic interpolation between its points is then good to about 1e-6."""
MOST_ARRIVALS_PER_STEP = 0.5
"""Where the grid would be longer than `MOST_STEPS`, steps may widen so far; beyond, the model declines."""
LEAST_STEPS = 16
MOST_STEPS = 5000
"""Longest grid of a table with many delays; one delay alone may have four times as many."""
LARGEST_BATCH = 512
"""Larger batches would need matrices that take minutes."""
MOST_PER_BATCH = 4096
"""Of any setting, also of those that are simulated: arrays grow with it, and no server takes more."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchLaw:
    """What one setting (B, T) does to a stream of requests.

    Attributes:
        max_batch_size: B.
        max_queue_delay_s: T.
        batch_size_pmf: shape (B,); entry i is the share of batches with i + 1 requests.
        mean_batch_size: requests per batch.
        batches_per_s: batches that leave per second.
        span_s: T, or less where every batch is full long before: nobody waits longer.
        waiting: shape (B, n_steps + 1); [n - 1, j] is C_n(j span_s / n_steps). The last column is the limit from below:
            at T itself C_n jumps to n times the share of batches of n, because the first request has waited T.
    """

    max_batch_size: int
    max_queue_delay_s: float
    batch_size_pmf: NDArray[np.float64]
    mean_batch_size: float
    batches_per_s: float
    span_s: float
    waiting: NDArray[np.float64]

    @property
    def mean_wait_s(self) -> float:
        """Mean time a request waits in the buffer, by integrating the share that has waited longer (Simpson)."""
        total = self.batch_size_pmf * np.arange(1, self.max_batch_size + 1)
        longer = (total[:, None] - self.waiting).sum(axis=0)
        weights = np.ones(longer.size)
        weights[1:-1:2], weights[2:-1:2] = 4, 2
        step = self.span_s / (longer.size - 1)
        return float(weights @ longer) * step / 3 / self.mean_batch_size


@dataclass(frozen=True, slots=True, eq=False)
class DelaySlice:
    """All batch sizes B = 1..n at one delay T > 0; everything is linear in the start phase of B.

    Attributes:
        max_queue_delay_s: T.
        start_phase: shape (n, m); row B - 1 is `a` for B.
        batch_size_pmf: shape (n, n); row B - 1 is the law for B, zero beyond B.
        by_timeout: shape (m, n, n_steps + 1); `a` times [:, k - 1] is C_k for any B > k.
        by_size: shape (m, n, n_steps + 1); `a` times [:, B - 1] is C_B for B.
    """

    max_queue_delay_s: float
    start_phase: NDArray[np.float64]
    batch_size_pmf: NDArray[np.float64]
    by_timeout: NDArray[np.float64]
    by_size: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BatchQueue:
    """The buffer under one arrival process; count probabilities are tabulated once for all batch sizes and delays."""

    process: Map
    counts: CountTable

    @classmethod
    def tabulate(
        cls, process: Map | PoissonProcess, *, max_batch_size: int, delay_step_s: float, n_delays: int
    ) -> BatchQueue:
        """Prepare delays delay_step_s, 2 delay_step_s, …, n_delays delay_step_s for B = 1..max_batch_size.

        Raises:
            BadInputError: a batch too large, or too many arrivals in a delay, for the exact model.
        """
        if max_batch_size > LARGEST_BATCH:
            raise BadInputError(
                f"max batch size: the exact model takes at most {LARGEST_BATCH}, got {max_batch_size}; simulate instead"
            )
        arrivals = as_map(process)
        fastest = float(np.max(-np.diag(arrivals.D0)))
        wanted = max(math.ceil(fastest * delay_step_s / ARRIVALS_PER_STEP), math.ceil(LEAST_STEPS / n_delays), 8)
        most_steps = MOST_STEPS if n_delays > 1 else 4 * MOST_STEPS
        per_delay = min(wanted, max(8, most_steps // n_delays))
        per_delay += per_delay % 2
        if fastest * delay_step_s > per_delay * MOST_ARRIVALS_PER_STEP:
            raise BadInputError(
                f"max queue delay: {fastest * delay_step_s * n_delays:.3g} arrivals may come in one, too many for the "
                f"exact model; lower it below {most_steps * MOST_ARRIVALS_PER_STEP / fastest:.3g} s or simulate instead"
            )
        counts = tabulate_counts(
            arrivals, max_count=max_batch_size - 1, step_s=delay_step_s / per_delay, n_steps=per_delay * n_delays
        )
        return cls(arrivals, counts)

    @classmethod
    def solve(cls, process: Map | PoissonProcess, *, max_batch_size: int, max_queue_delay_s: float) -> BatchLaw:
        """Return the exact law of one setting.

        Raises:
            BadInputError: a batch size below 1, a negative or infinite delay, a process without arrivals, or more
                requests in a batch or a delay than the exact model takes.
        """
        check_setting(max_batch_size, max_queue_delay_s)
        rate = process.rate_rps
        if rate <= 0:
            raise BadInputError("arrivals: rate is 0, so no batch is ever formed; give a positive rate")
        if max_batch_size == 1 or max_queue_delay_s == 0:
            pmf = np.eye(1, max_batch_size)[0]
            waiting = np.repeat(pmf[:, None], 3, axis=1)
            return BatchLaw(max_batch_size, max_queue_delay_s, pmf, 1.0, rate, max_queue_delay_s, waiting)
        span_s = time_until(as_map(process), max_batch_size - 1, longest_s=max_queue_delay_s)
        queue = cls.tabulate(process, max_batch_size=max_batch_size, delay_step_s=span_s, n_delays=1)
        law = queue.law(queue.slice_at(queue.counts.n_steps), max_batch_size)
        return replace(law, max_queue_delay_s=max_queue_delay_s)

    def law(self, delay: DelaySlice, max_batch_size: int) -> BatchLaw:
        """Return the law of one B out of a slice."""
        row = max_batch_size - 1
        a, pmf = delay.start_phase[row], delay.batch_size_pmf[row, :max_batch_size]
        kernels = np.concatenate([delay.by_timeout[:, :row], delay.by_size[:, row : row + 1]], axis=1)
        waiting = np.tensordot(a, kernels, axes=1)
        mean = float(pmf @ np.arange(1, max_batch_size + 1))
        rate = self.process.rate_rps / mean
        return BatchLaw(max_batch_size, delay.max_queue_delay_s, pmf, mean, rate, delay.max_queue_delay_s, waiting)

    def slice_at(self, step: int) -> DelaySlice:
        """Return all batch sizes at T = step · step_s, step >= 1."""
        start_phase, pmf = self._batch_sizes(step)
        by_timeout, by_size = self._waiting_kernels(step)
        # Adding the requests of a full batch whose B-th came within x of the first: they have all waited at most x.
        full = np.einsum("abkj,b->akj", self.counts.integral[..., : step + 1], self.process.D1.sum(axis=1))
        sizes = np.arange(2, full.shape[1] + 1)
        by_size[:, 1:] += sizes[:, None] * full[:, :-1]
        by_size[:, 0] = 1.0
        return DelaySlice(step * self.counts.step_s, start_phase, pmf, by_timeout, by_size)

    def _batch_sizes(self, step: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return start phases (n, m) and size laws (n, n) of B = 1..n."""
        P = self.counts.probability[..., step].transpose(2, 0, 1)
        I = self.counts.integral[..., step].transpose(2, 0, 1)  # noqa: E741  the integral's symbol
        n, m = len(P), P.shape[-1]
        closing = np.empty((n, m, m))
        closing[0] = np.eye(m)
        # B = 2..n: fewer than B - 1 more arrivals until T, or the (B-1)-th of them before.
        closing[1:] = np.cumsum(P, axis=0)[:-1] + I[:-1] @ self.process.D1
        start_phase = stationary_row(closing @ arrival_phases(self.process))
        timed_out = np.einsum("ba,kac->bk", start_phase, P)
        pmf = np.tril(timed_out, k=-1)
        # Rounding may leave -1e-16 where full batches never occur.
        pmf[np.arange(n), np.arange(n)] = np.maximum(1 - pmf.sum(axis=1), 0.0)
        return start_phase, pmf

    def _waiting_kernels(self, step: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sums over k of P(k, T-x) (n-1-k) P(n-1-k, x) 1 and of I(k, T-x) (n-1-k) P(n-2-k, x) D1 1."""
        P, I = self.counts.probability[..., : step + 1], self.counts.integral[..., : step + 1]  # noqa: E741
        m, n = P.shape[0], P.shape[2]
        place = np.arange(n)[:, None]
        later = place * P.sum(axis=1)
        closing = np.zeros((m, n, step + 1))
        closing[:, 1:] = place[1:] * np.einsum("abkj,b->akj", P[:, :, :-1], self.process.D1.sum(axis=1))
        by_timeout, by_size = np.zeros((m, n, step + 1)), np.zeros((m, n, step + 1))
        # Plain products of long rows: ten times as fast as contracting the small phase axes.
        for a, b, k in np.ndindex(m, m, n - 1):
            by_timeout[a, k:] += P[a, b, k, ::-1] * later[b, : n - k]
            by_size[a, k:] += I[a, b, k, ::-1] * closing[b, : n - k]
        return by_timeout, by_size


def check_setting(max_batch_size: int, max_queue_delay_s: float) -> None:
    """Check B and T.

    Raises:
        BadInputError: a batch size below 1 or beyond any server's, a negative or infinite delay.
    """
    if max_batch_size < 1:
        raise BadInputError(f"max batch size: needs a whole number of at least 1, got {max_batch_size!r:.40}")
    if max_batch_size > MOST_PER_BATCH:
        raise BadInputError(f"max batch size: needs at most {MOST_PER_BATCH} requests, got {max_batch_size!r:.40}")
    if not (math.isfinite(max_queue_delay_s) and max_queue_delay_s >= 0):
        raise BadInputError(f"max queue delay: needs a number of seconds of at least 0, got {max_queue_delay_s}")
