"""Log-likelihood of arrival instants under a Poisson process or a Map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.domain.arrival_map import Map
from controller.domain.arrival_statistics import exponential

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_process import PoissonProcess


def log_likelihood(process: PoissonProcess | Map, gaps_s: NDArray[np.float64]) -> float:
    """Return ln of the density of gaps, shape (n,), starting in the phase just after an arrival.

    For a Map it is ln(a exp(D0 x1) D1 exp(D0 x2) D1 … 1); neighbours are multiplied pairwise, so n gaps take about
    log2 n array operations, and each product is scaled to keep it in range.
    """
    if not isinstance(process, Map):
        return float(gaps_s.size * np.log(process.rate_rps) - process.rate_rps * gaps_s.sum())
    start = process.stationary @ process.D1 / process.rate_rps
    factors = _exponentials(process.D0, gaps_s) @ process.D1
    logs = np.zeros(len(factors))
    while len(factors) > 1:
        if len(factors) % 2:
            factors = np.concatenate([factors, np.eye(len(start))[None]])
            logs = np.append(logs, 0.0)
        factors = factors[::2] @ factors[1::2]
        scale = np.maximum(factors.max(axis=(1, 2)), np.finfo(float).tiny)
        factors /= scale[:, None, None]
        logs = logs[::2] + logs[1::2] + np.log(scale)
    return float(logs[0] + np.log(max(float(start @ factors[0].sum(axis=1)), np.finfo(float).tiny)))


def _exponentials(D0: NDArray[np.float64], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return exp(D0 t) for each time, shape (n, m, m)."""
    values, vectors = np.linalg.eig(D0)
    if np.linalg.cond(vectors) > 1e8:  # phases with equal rates: no basis of eigenvectors
        return np.array([exponential(D0 * t) for t in times_s])
    inverse = np.linalg.inv(vectors)
    product = (vectors * np.exp(values * times_s[:, None])[:, None, :]) @ inverse
    return np.maximum(product.real, 0.0)
