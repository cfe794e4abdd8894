"""How BATCH (Ali et al., SC 2020, section IV) predicts a batch buffer: a closed form where the exact law is available.

Kept as it was published, faults included, because it is what ours is compared with: the start phase is a heuristic,
waiting is taken for uniform over [0, T], no request waits exactly T, and the waits of different batch sizes are taken
not to overlap. The exact law is `performance_model/batch_queue.py`.

Symbols: `l` (m,) rates of the phases, `w` (m,) rates of leaving them, `tau` time to fill a batch; p_k share of batches
with k requests, rho_k share of requests that sit in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from controller.domain.arrival_process import as_map
from controller.performance_model.markov_chain import tabulate_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map
    from controller.domain.arrival_process import PoissonProcess

Variant = Literal["published", "released"]
"""What the paper says, or what the released solver does; they differ in the start phase's floor, cost and grid."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchSizes:
    """The predicted batch sizes of all delays and B = 1..n.

    Attributes:
        delays_s: shape (n_delays,).
        pmf: shape (n_delays, n, n); [j, B - 1, k - 1] is p_k, 0 for k > B.
        spread_s: same shape; the width of the uniform wait of a batch of k: T, and min(tau, T) for k = B.
    """

    delays_s: NDArray[np.float64]
    pmf: NDArray[np.float64]
    spread_s: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Requests per batch, shape (n_delays, n)."""
        return self.pmf @ np.arange(1, self.pmf.shape[2] + 1)

    @property
    def request_share(self) -> NDArray[np.float64]:
        """rho_k, shape (n_delays, n, n)."""
        return self.pmf * np.arange(1, self.pmf.shape[2] + 1) / self.mean[..., None]

    def quantile_s(self, quantile: float, call_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the latency quantile by eq. 9, inverted without the released solver's tolerance of 10 ms.

        Where waits overlap, the distribution jumps at the start of the next batch size to all smaller ones together,
        as in the released solver, so that the quantile is the least over the pieces that reach it.

        Args:
            quantile: q.
            call_s: shape (n,), seconds of a call by batch size.

        Returns:
            Shape (n_delays, n).
        """
        share = self.request_share
        below = np.cumsum(share, axis=2) - share
        portion = np.divide(quantile - below, share, out=np.zeros_like(share), where=share > 0)
        reached = below + share >= quantile - 1e-12
        times = call_s + self.spread_s * np.clip(portion, 0.0, 1.0)
        exists = np.tri(share.shape[2], dtype=np.bool_)
        return np.asarray(np.where(reached & exists, times, np.inf).min(axis=2), dtype=np.float64)

    def mean_cost_usd(self, call_usd: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return E[price of a call] / E[requests in it], the paper's cost; shape (n_delays, n)."""
        return self.pmf @ call_usd / self.mean

    def tail_cost_usd(self, call_usd: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cost at the 95th percentile of the batch size, the released solver's; shape (n_delays, n).

        Larger batches are cheaper a request, so this is below the mean by up to a fifth.
        """
        size = np.argmax(np.cumsum(self.pmf, axis=2) >= 0.95 - 1e-12, axis=2)
        return call_usd[size] / (size + 1)


def predict_sizes(
    process: Map | PoissonProcess, *, max_batch_size: int, delay_step_s: float, n_delays: int, variant: Variant
) -> BatchSizes:
    """Return the predicted batch sizes for T = delay_step_s, 2 delay_step_s, … and B = 1..max_batch_size.

    Args:
        process: arrivals.
        max_batch_size: largest B.
        delay_step_s: step between delays.
        n_delays: how many.
        variant: the released solver rounds l T + 1 down.
    """
    arrivals, n = as_map(process), max_batch_size
    delays = np.arange(1, n_delays + 1, dtype=np.float64) * delay_step_s
    rates, leaving = phase_rates(arrivals)
    counts = tabulate_counts(arrivals, max_count=n, step_s=delay_step_s, n_steps=n_delays).probability
    # Shape (m, n_delays, n): k more arrivals within T of the first request, from each phase.
    more = counts.sum(axis=1)[:, :n, 1:].transpose(0, 2, 1)
    start = _start_phases(rates, leaving, delays, n, is_floored=variant == "released")
    pmf = np.tril(np.einsum("jbm,mjk->jbk", start, more), k=-1)
    full = np.arange(n)
    pmf[:, full, full] = np.maximum(1 - pmf.sum(axis=2), 0.0)
    spread = np.broadcast_to(delays[:, None, None], pmf.shape).copy()
    spread[:, full, full] = np.minimum(_fill_time_s(rates, leaving, n), delays[:, None])
    return BatchSizes(delays, pmf, spread)


def phase_rates(process: Map) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return l and w, both shape (m,).

    The paper's formulas are for an MMPP. Where phases change on arrivals only (D0 diagonal, as in most of the fitted
    processes that were published with BATCH) they are 0/0; the released solver then takes the off-diagonal rates of D1
    for w and so forgets up to half of the arrivals. That is kept.
    """
    hidden = (process.D0 - np.diag(np.diag(process.D0))).sum(axis=1)
    at_arrivals = (process.D1 - np.diag(np.diag(process.D1))).sum(axis=1)
    return np.diag(process.D1), hidden if hidden.any() else at_arrivals


def _start_phases(
    rates: NDArray[np.float64], leaving: NDArray[np.float64], delays_s: NDArray[np.float64], n: int, *, is_floored: bool
) -> NDArray[np.float64]:
    """Return a_m proportional to (l_m / w_m) / min(B, l_m T + 1), shape (n_delays, n, m)."""
    if rates.size == 1:
        return np.ones((delays_s.size, n, 1))
    expected = rates * delays_s[:, None, None] + 1
    if is_floored:
        expected = np.floor(expected)
    batches = rates / leaving / np.minimum(np.arange(1, n + 1)[:, None], expected)
    return batches / batches.sum(axis=2, keepdims=True)


def _fill_time_s(rates: NDArray[np.float64], leaving: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return tau for B = 1..n; beyond two phases it is not defined, and T takes its place as in the released solver."""
    more = np.arange(n)
    if rates.size == 1:
        return more / rates[0]
    if rates.size > 2:
        return np.full(n, np.inf)
    return more * leaving.sum() / (rates[0] * leaving[1] + rates[1] * leaving[0])
