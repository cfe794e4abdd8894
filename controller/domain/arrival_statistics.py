"""Statistics of Markovian arrival processes: variability of gaps, correlation, dispersion of counts.

Symbols: `D0`, `D1` (m, m) as in `arrival_map.py`; `Q` = D0 + D1 (m, m) generator of the phase; `pi` (m,) its stationary
law.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map


def scv(process: Map) -> float:
    """Return the squared coefficient of variation of inter-arrival times: 2 λ π (-D0)⁻¹ 1 - 1."""
    mean_times = np.linalg.solve(-process.D0, np.ones(len(process.D0)))
    return float(2 * process.rate_rps * process.stationary @ mean_times - 1)


def lag1(process: Map) -> float:
    """Return the correlation of consecutive inter-arrival times; 0 for a renewal process."""
    rate, ones = process.rate_rps, np.ones(len(process.D0))
    at_arrival = process.stationary @ process.D1 / rate
    mean_times = np.linalg.solve(-process.D0, ones)
    product = at_arrival @ np.linalg.solve(-process.D0, np.linalg.solve(-process.D0, process.D1 @ mean_times))
    return float((product - rate**-2) / (scv(process) * rate**-2))


def idc(process: Map, t_s: float) -> float:
    """Return the index of dispersion for counts, Var N(t) / E N(t), of the stationary process.

    Var N(t) = (λ - 2λ² + 2 c D1 1) t - 2 c (I - e^{Qt}) (1π - Q)⁻¹ D1 1 with c = π D1 (1π - Q)⁻¹ (Neuts 1989, ch. 5).
    """
    Q, pi, rate = process.D0 + process.D1, process.stationary, process.rate_rps
    rates = process.D1.sum(axis=1)
    fundamental = np.linalg.inv(np.outer(np.ones(len(Q)), pi) - Q)
    c = pi @ process.D1 @ fundamental
    slope = 1 - 2 * rate + 2 * float(c @ rates) / rate
    if np.isinf(t_s):
        return slope
    bend = (np.eye(len(Q)) - exponential(Q * t_s)) @ fundamental @ rates
    return slope - 2 * float(c @ bend) / (rate * t_s)


def exponential(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the exponential of a small generator times a time, shape (m, m): Taylor series of a fraction, squared.

    scipy has a better one for general matrices, but the nouns of this folder need numpy alone.
    """
    halvings = max(0, int(np.ceil(np.log2(max(float(np.abs(matrix).sum(axis=1).max()), 1e-9)))) + 1)
    fraction = matrix / 2.0**halvings
    term, result = np.eye(len(matrix)), np.eye(len(matrix))
    for k in range(1, 18):
        term = term @ fraction / k
        result = result + term
    for _ in range(halvings):
        result = result @ result
    return result
