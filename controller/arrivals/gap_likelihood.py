"""The likelihood of gaps between arrivals under a Map, and its slopes in D0 and D1.

The factor of a gap x is exp(D0 x) D1. With D0 = V diag(d) V⁻¹ the factors of all gaps are one matrix product, and the
slope in D0, the integral of exp(D0 u) E exp(D0 (x - u)) over u, is in that basis an entry times
(e^{d_i x} - e^{d_j x}) / (d_i - d_j). The slopes are the expected times and numbers of an expectation step
(Buchholz 2003; Breuer 2002): the time in phase i is the slope in D0[i, i], the number of changes i to j is the entry
times its slope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.forward_backward import lay_out, pass_both_ways

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map

APART = 3e-4
"""Relative distance that the eigenvalues of D0 are given where they coincide: with four alike, less loses the basis."""
ALIKE, LARGEST_CONDITION = 1e-8, 1e8


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """A log-likelihood and its slopes.

    Attributes:
        log_likelihoods: of each chain, shape (n_chains,).
        hidden: slope in each entry of D0, its diagonal included, shape (m, m).
        arriving: slope in each entry of D1, shape (m, m).
    """

    log_likelihoods: NDArray[np.float64]
    hidden: NDArray[np.float64]
    arriving: NDArray[np.float64]

    @property
    def log_likelihood(self) -> float:
        """Sum over chains."""
        return float(self.log_likelihoods.sum())


class GapLikelihood:
    """Gaps in s of separate stretches of arrivals.

    Args:
        stretches: gaps of each stretch, at least one of them not empty.
    """

    def __init__(self, stretches: list[NDArray[np.float64]]) -> None:
        self.n_chains = len(stretches)
        self.sizes = np.array([each.size for each in stretches])
        self._lengths_s = np.array([each.sum() for each in stretches])
        self._gaps_s, self._is_there = lay_out(stretches)

    @property
    def n(self) -> int:
        """Gaps in all stretches."""
        return int(self.sizes.sum())

    @staticmethod
    def start_law(process: Map) -> NDArray[np.float64]:
        """Return the law of the phase after the first arrival that an observer sees who comes at any time, (m,)."""
        return process.stationary @ np.linalg.solve(-process.D0, process.D1)

    def __call__(self, D0: NDArray[np.float64], D1: NDArray[np.float64], start: NDArray[np.float64]) -> Slopes:
        """Return the likelihood of the gaps and its slopes; a stretch begins in the phase law `start`, (m,)."""
        m = len(D0)
        values, basis, arrivals = _moved_apart(D0, D1)
        inverse = np.linalg.inv(basis)
        # The slowest decay is taken out, or a long silence would be impossible in every phase.
        slowest = float(values.real.max())
        decay = np.exp((values - slowest)[:, None] * self._gaps_s[:, None, :])  # (B, m, S R)
        parts = np.einsum("ip,pj->ijp", basis, inverse @ arrivals).reshape(m * m, m)
        factors = np.maximum((parts @ decay).real, 0.0).reshape(len(decay), m, m, -1)
        factors.transpose(0, 3, 1, 2)[~self._is_there] = np.eye(m)
        passes = pass_both_ways(factors, start, self.n_chains)
        alpha = basis.T @ np.where(self._is_there[:, None], passes.before, 0.0)
        after = passes.after
        beta = inverse @ arrivals @ after
        later = _sum_outer(alpha * decay, after)
        mixed = _sum_outer(alpha * decay, beta) - _sum_outer(alpha, decay * beta)
        apart = values[:, None] - values[None, :] + np.eye(m)
        mixed /= apart
        mixed[np.diag_indices(m)] = (alpha * decay * beta * self._gaps_s[:, None]).sum(axis=(0, 2))
        hidden, arriving = inverse.T @ mixed @ basis.T, inverse.T @ later
        log_likelihoods = passes.log_likelihoods + slowest * self._lengths_s
        return Slopes(log_likelihoods, np.maximum(hidden.real, 0.0), np.maximum(arriving.real, 0.0))


def _sum_outer(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of outer products over steps and pieces, shape (m, m), of two arrays (B, m, S R)."""
    return (left @ right.transpose(0, 2, 1)).sum(axis=0)


def _moved_apart(
    D0: NDArray[np.float64], D1: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return eigenvalues and eigenvectors of D0, real where they are, and D1.

    Where eigenvalues or eigenvectors coincide, each phase gets a pace of its own, a little from that of the others.
    """
    values, basis = np.linalg.eig(D0)
    distance = np.abs(values[:, None] - values[None, :]) + np.eye(len(D0)) * np.abs(values).max()
    if distance.min() >= ALIKE * np.abs(values).max() and np.linalg.cond(basis) <= LARGEST_CONDITION:
        return values, basis, D1
    pace = 1 + APART * np.arange(len(D0))[:, None]
    values, basis = np.linalg.eig(D0 * pace)
    return values, basis, D1 * pace
