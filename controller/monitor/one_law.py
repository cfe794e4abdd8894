"""Whether one law explains counts as well as two laws, one after the other, do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import expm

from controller.arrivals.selection import fit_counts
from controller.domain.arrival_process import Map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_process import PoissonProcess

RETURNS = 8.0
"""Changes of phase from which one law is a rival at all: a single step looks like a law with one or two of them."""
PARAMETERS = 5
"""What two laws have more: two rates, two rates of switching, and when the second began."""


def is_one_law(counts: NDArray[np.float64], edge: int) -> bool:
    """Return whether two laws are not worth their parameters, by the Bayesian information criterion (Schwarz 1978).

    Args:
        counts: a second each, shape (n,).
        edge: where the second law would begin; silence on one side of it is no law to compare.
    """
    before, after = counts[:edge], counts[edge:]
    if not before.any() or not after.any():
        return False
    whole = fit_counts(counts, 1.0).process
    if _phase_changes(whole, counts.size) < RETURNS:
        return False
    two = sum(log_likelihood(fit_counts(each, 1.0).process, each) for each in (before, after))
    return two - log_likelihood(whole, counts) < PARAMETERS / 2 * math.log(counts.size)


def log_likelihood(law: PoissonProcess | Map, counts: NDArray[np.float64]) -> float:
    """Return ln of the likelihood of counts a second, but for the term that all laws share.

    A phase is taken to last for whole seconds, so that counts are those of a hidden Markov chain (Baum et al. 1970).
    """
    if not isinstance(law, Map):
        return float((counts * math.log(law.rate_rps) - law.rate_rps).sum()) if law.rate_rps else 0.0
    rates = np.maximum(law.D1.sum(axis=1), 1e-9)
    step = expm(law.D0 + law.D1)
    seen = counts[:, None] * np.log(rates) - rates
    highest = seen.max(axis=1)
    total, state = float(highest.sum()), law.stationary
    for each in np.exp(seen - highest[:, None]):
        state = (state @ step) * each
        norm = float(state.sum())
        total, state = total + math.log(max(norm, 1e-300)), state / max(norm, 1e-300)
    return total


def _phase_changes(law: PoissonProcess | Map, bins: int) -> float:
    """Return how many changes of phase a law expects in so many seconds; 0 without phases."""
    if not isinstance(law, Map):
        return 0.0
    leaves = (law.D0 + law.D1).diagonal()
    return -bins * float(law.stationary @ leaves)
