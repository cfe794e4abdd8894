"""Whether one law explains counts as well as two laws, one after the other, do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.arrivals.count_likelihood import CountLikelihood
from controller.arrivals.fit_diagnosis import changes_of_phase
from controller.arrivals.selection import fit_counts
from controller.domain.arrival_process import PoissonProcess, as_map

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map

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
    if isinstance(whole, PoissonProcess) or changes_of_phase(whole, counts.size) < RETURNS:
        return False
    two = sum(_log_likelihood(fit_counts(each, 1.0).process, each) for each in (before, after))
    return two - _log_likelihood(whole, counts) < PARAMETERS / 2 * math.log(counts.size)


def _log_likelihood(law: PoissonProcess | Map, counts: NDArray[np.float64]) -> float:
    process = as_map(law)
    return CountLikelihood([counts], 1.0)(process.D0, process.D1, process.stationary).log_likelihood
