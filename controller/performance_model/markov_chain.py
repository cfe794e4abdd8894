"""Count probabilities of Markovian arrival processes.

Symbols: `D0`, `D1` (m, m) as in `domain/arrival_map.py`; `R` = (-D0)⁻¹ D1 (m, m) phases at consecutive arrivals;
`P(n, t)` (m, m) probability of n arrivals in t with the change of phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import expm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map

NEVER = 1e-13
"""A probability that changes no digit of a result."""
STEPS_PER_BLOCK = 64
"""Steps taken one by one; after them whole blocks are carried forward in one product."""


@dataclass(frozen=True, slots=True, eq=False)
class CountTable:
    """Count probabilities on a grid of times.

    Attributes:
        step_s: distance of the grid.
        probability: shape (m, m, max_count + 1, n_steps + 1); [:, :, n, j] is P(n, j step_s). Time is the last axis,
            because sums over it are what takes time.
        integral: same shape; [:, :, n, j] is the integral of P(n, u) over u in [0, j step_s].
    """

    step_s: float
    probability: NDArray[np.float64]
    integral: NDArray[np.float64]

    @property
    def n_steps(self) -> int:
        """Steps from 0 to the end of the grid."""
        return self.probability.shape[-1] - 1


def tabulate_counts(process: Map, *, max_count: int, step_s: float, n_steps: int) -> CountTable:
    """Return P(n, t) and its integral for n = 0..max_count on t = 0, step_s, …, n_steps step_s.

    The block row [P(0,t) … P(max_count,t)] is the first of exp(G t), where G has D0 on the diagonal and D1 above it
    (research: Ali et al. 2020, eq. 5, without the absorbing last row). Integrating dP(n)/dt = P(n) D0 + P(n-1) D1
    gives the integrals exactly: I(n,t) = (1[n=0] + I(n-1,t) D1 - P(n,t)) (-D0)⁻¹.
    """
    m, blocks = len(process.D0), max_count + 1
    generator = np.kron(np.eye(blocks), process.D0) + np.kron(np.eye(blocks, k=1), process.D1)
    step = np.asarray(expm(generator * step_s), dtype=np.float64)
    rows = np.empty((n_steps + 1, m, blocks * m))
    rows[0] = np.eye(m, blocks * m)
    block = min(STEPS_PER_BLOCK, n_steps)
    for j in range(1, block + 1):
        rows[j] = rows[j - 1] @ step
    leap = np.linalg.matrix_power(step, block) if n_steps > block else step
    for start in range(block + 1, n_steps + 1, block):
        end = min(start + block, n_steps + 1)
        rows[start:end] = rows[start - block : end - block] @ leap
    by_time = rows.reshape(n_steps + 1, m, blocks, m)
    probability = np.ascontiguousarray(by_time.transpose(1, 3, 2, 0))
    return CountTable(step_s, probability, np.ascontiguousarray(_integrate(process, by_time).transpose(1, 3, 2, 0)))


def _integrate(process: Map, by_time: NDArray[np.float64]) -> NDArray[np.float64]:
    inverse = np.linalg.inv(-process.D0)
    integral = np.empty_like(by_time)
    previous: NDArray[np.float64] = np.zeros((len(by_time), *process.D0.shape))
    for n in range(by_time.shape[2]):
        start = np.eye(len(process.D0)) if n == 0 else 0.0
        previous = (start + previous @ process.D1 - by_time[:, :, n]) @ inverse
        integral[:, :, n] = previous
    return integral


def time_until(process: Map, arrivals: int, *, longest_s: float) -> float:
    """Return a time in which fewer arrivals than these are practically impossible, from any phase, or longest_s.

    "Practically" is a probability below `NEVER`. The time is found by doubling, P(n, 2t) = sum_k P(k, t) P(n-k, t), so
    it may be up to twice as long as needed.
    """
    at_least_s = arrivals / float(np.max(-np.diag(process.D0)))
    if arrivals < 1 or longest_s <= at_least_s:
        return longest_s
    few = tabulate_counts(process, max_count=arrivals - 1, step_s=at_least_s, n_steps=1).probability[..., 1]
    time_s = at_least_s
    while time_s < longest_s and few.sum(axis=(1, 2)).max() > NEVER:
        few = np.stack([np.einsum("abk,bck->ac", few[..., : n + 1], few[..., n::-1]) for n in range(arrivals)], axis=-1)
        time_s *= 2
    return min(time_s, longest_s)


def arrival_phases(process: Map) -> NDArray[np.float64]:
    """Return R = (-D0)⁻¹ D1: from the phase after one arrival to the phase after the next, shape (m, m)."""
    return np.asarray(np.linalg.solve(-process.D0, process.D1), dtype=np.float64)


def stationary_row(transition: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a = a · transition with sum 1 for stochastic matrices, shape (…, m, m) to (…, m)."""
    m = transition.shape[-1]
    balance = np.swapaxes(transition, -1, -2) - np.eye(m)
    balance[..., -1, :] = 1.0
    right = np.zeros((*balance.shape[:-1], 1))
    right[..., -1, 0] = 1.0
    return np.asarray(np.linalg.solve(balance, right)[..., 0], dtype=np.float64)
