"""The likelihood of counts in equal bins under a Map, and its slopes in D0 and D1.

The factor of a bin with n arrivals is P(n), the coefficient of zⁿ in exp((D0 + z D1) t) (Neuts 1979). Evaluated at the
N-th roots of unity, the matrices come from a Fourier transform (Abate and Whitt 1992), whose error of about 1e-16 is
covered by `LEAST`. The slopes come by the same way back, as the upper right block of an exponential of twice the size
(Van Loan 1978).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.forward_backward import lay_out, pass_both_ways
from controller.arrivals.gap_likelihood import Slopes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map

LEAST = 1e-13
"""Probability below which a count is an outlier to the law; all such count alike, and do not bend a fit."""


class CountLikelihood:
    """Counts in bins of `bin_s` seconds, in separate stretches of time.

    Args:
        stretches: whole counts of each stretch, at least one bin in all.
        bin_s: width of a bin.
    """

    def __init__(self, stretches: list[NDArray[np.float64]], bin_s: float) -> None:
        self.n_chains = len(stretches)
        self.sizes = np.array([each.sum() for each in stretches])
        counts, self._is_there = lay_out(stretches)
        self._counts = counts.astype(np.int64)
        self._bin_s = bin_s

    @property
    def n(self) -> int:
        """Arrivals in all stretches."""
        return int(self.sizes.sum())

    @staticmethod
    def start_law(process: Map) -> NDArray[np.float64]:
        """Return the law of the phase at any time, shape (m,)."""
        return process.stationary

    def __call__(self, D0: NDArray[np.float64], D1: NDArray[np.float64], start: NDArray[np.float64]) -> Slopes:
        """Return the likelihood of the counts and its slopes; a stretch begins in the phase law `start`, (m,)."""
        m = len(D0)
        z = self._roots(D1)
        generators = (D0 + z[:, None, None] * D1) * self._bin_s
        n_roots = 2 * (z.size - 1)
        by_count = np.fft.irfft(exponentials(generators), n_roots, axis=0)
        is_usual = by_count > LEAST
        by_count = np.maximum(by_count, LEAST)
        factors = np.ascontiguousarray(by_count.transpose(1, 2, 0)[:, :, self._counts].transpose(2, 0, 1, 3))
        factors.transpose(0, 3, 1, 2)[~self._is_there] = np.eye(m)
        passes = pass_both_ways(factors, start, self.n_chains)
        weights = self._weights(passes.before, passes.after, n_roots) * is_usual
        hidden, arriving = _slopes(generators, weights, z)
        return Slopes(
            passes.log_likelihoods, np.maximum(hidden * self._bin_s, 0), np.maximum(arriving * self._bin_s, 0)
        )

    def _roots(self, D1: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the roots of unity in the upper half plane, enough of them that no count is taken for another."""
        mean = float(D1.sum(axis=1).max()) * self._bin_s
        needed = max(float(self._counts.max()), mean + 9 * np.sqrt(mean + 9)) + 8
        n_roots = 2 ** int(np.ceil(np.log2(needed)))
        return np.exp(-2j * np.pi * np.arange(n_roots // 2 + 1) / n_roots)

    def _weights(self, before: NDArray[np.float64], after: NDArray[np.float64], n_roots: int) -> NDArray[np.float64]:
        """Return the slope of the log-likelihood in each entry of each P(n), shape (n_roots, m, m)."""
        m = before.shape[1]
        at = self._counts[self._is_there]
        past, future = before.transpose(1, 0, 2)[:, self._is_there], after.transpose(1, 0, 2)[:, self._is_there]
        weights = np.empty((n_roots, m, m))
        for i in range(m):
            for j in range(m):
                weights[:, i, j] = np.bincount(at, past[i] * future[j], minlength=n_roots)
        return weights


def exponentials(matrices: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the exponential of each of many small matrices, (…, m, m): Taylor series of a fraction, squared."""
    size = float(np.abs(matrices).sum(axis=-1).max())
    halvings = max(0, int(np.ceil(np.log2(max(size, 1e-9)))) + 2)
    fraction = matrices / 2.0**halvings
    result = np.eye(matrices.shape[-1]) + fraction / 12
    for k in range(11, 0, -1):  # Horner: the remainder is below (1/4)^13 / 13! < 1e-17
        result = np.eye(matrices.shape[-1]) + fraction @ result / k
    for _ in range(halvings):
        result = result @ result
    return result


def _slopes(
    generators: NDArray[np.complex128], weights: NDArray[np.float64], z: NDArray[np.complex128]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the slopes in D0 t and D1 t from those in P(n)."""
    m = generators.shape[-1]
    transposed = generators.transpose(0, 2, 1)
    blocks = np.zeros((z.size, 2 * m, 2 * m), dtype=np.complex128)
    blocks[:, :m, :m] = blocks[:, m:, m:] = transposed
    n_roots = 2 * (z.size - 1)
    # P(n) is the mean over roots of z⁻ⁿ exp(…): the weights go the same way, conjugated.
    blocks[:, :m, m:] = np.conj(np.fft.rfft(weights, axis=0)) / n_roots
    inner = exponentials(blocks)[:, :m, m:]
    twice = np.full(z.size, 2.0)
    twice[0] = twice[-1] = 1.0
    inner = inner * twice[:, None, None]
    return inner.sum(axis=0).real, (inner * z[:, None, None]).sum(axis=0).real
