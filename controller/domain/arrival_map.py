"""Markovian arrival processes, among them Markov-modulated Poisson and on-off processes.

Symbols, with n phases: `D0` (n, n) rates of phase changes without an arrival, with the negative total rates on the
diagonal; `D1` (n, n) rates of phase changes with an arrival; D0 + D1 is the generator of the phase. Both are per
second. A Markov-modulated Poisson process is a Map whose D1 is diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROW_SUM_TOLERANCE = 1e-5
"""Largest row sum of D0 + D1 taken for zero, as a share of the row's total rate: files carry about six digits."""


SLOWEST_PER_S, FASTEST_PER_S = 1e-9, 1e9
"""Rates outside (but for 0) are a unit gone wrong, and would overflow what is computed from them."""


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """Markovian arrival process.

    A row sum of D0 + D1 within `ROW_SUM_TOLERANCE` of zero is made exactly zero on the diagonal of D0.

    Attributes:
        D0: shape (n, n), per second, read-only.
        D1: shape (n, n), per second, read-only.
    """

    D0: NDArray[np.float64]
    D1: NDArray[np.float64]

    def __post_init__(self) -> None:
        D0, D1 = np.array(self.D0, dtype=np.float64), np.array(self.D1, dtype=np.float64)
        _check_generator(D0, D1)
        off_diagonal = D0 - np.diag(np.diag(D0))
        exact_D0 = off_diagonal - np.diag(off_diagonal.sum(axis=1) + D1.sum(axis=1))
        for name, matrix in (("D0", exact_D0), ("D1", D1)):
            matrix.flags.writeable = False
            object.__setattr__(self, name, matrix)

    @property
    def stationary(self) -> NDArray[np.float64]:
        """Long-run share of time in each phase, shape (n,)."""
        n = len(self.D0)
        # The last balance equation follows from the others; the sum of probabilities takes its place.
        balance = (self.D0 + self.D1).T.copy()
        balance[-1] = 1.0
        return np.linalg.solve(balance, np.eye(n)[-1])

    @property
    def rate_rps(self) -> float:
        """Arrivals per second in the long run."""
        return float(self.stationary @ self.D1.sum(axis=1))


def mmpp(rates_rps: NDArray[np.float64], switching_per_s: NDArray[np.float64]) -> Map:
    """Return the Markov-modulated Poisson process with these rates and switching rates (diagonal ignored)."""
    rates, switching = np.asarray(rates_rps, dtype=np.float64), np.array(switching_per_s, dtype=np.float64)
    if rates.ndim != 1 or switching.shape != (rates.size, rates.size):
        raise BadInputError(
            f"mmpp: {rates.size} rates_rps need a {rates.size} x {rates.size} matrix switching_per_s, "
            f"got {' x '.join(map(str, switching.shape))}"
        )
    np.fill_diagonal(switching, 0.0)
    if (switching < 0).any() or (rates < 0).any():
        raise BadInputError(f"mmpp: rates must not be negative, got {min(rates.min(), switching.min()):g}")
    return Map(switching - np.diag(switching.sum(axis=1) + rates), np.diag(rates))


def on_off(*, on_rps: float, on_s: float, off_s: float) -> Map:
    """Return Poisson bursts of mean length `on_s` with silences of mean length `off_s` between, both exponential."""
    if min(on_rps, on_s, off_s) <= 0:
        raise BadInputError(f"on_off: on_rps, on_s and off_s must be positive, got {on_rps:g}, {on_s:g}, {off_s:g}")
    return mmpp(np.array([on_rps, 0.0]), np.array([[0.0, 1 / on_s], [1 / off_s, 0.0]]))


def _check_generator(D0: NDArray[np.float64], D1: NDArray[np.float64]) -> None:
    n = len(D0)
    if D0.shape != (n, n) or D1.shape != (n, n) or n == 0:
        raise BadInputError(f"map: D0 and D1 need the same square shape, got {D0.shape} and {D1.shape}")
    if not (np.isfinite(D0).all() and np.isfinite(D1).all()):
        raise BadInputError("map: D0 and D1 need finite numbers")
    off_diagonal = D0 - np.diag(np.diag(D0))
    rates = np.concatenate([off_diagonal.ravel(), D1.ravel()])
    if rates.min() < 0:
        raise BadInputError(f"map: rates off the diagonal of D0 and in D1 must not be negative, got {rates.min():g}")
    strange = rates[(rates > 0) & ((rates < SLOWEST_PER_S) | (rates > FASTEST_PER_S))]
    if strange.size:
        raise BadInputError(
            f"map: rates must be 0 or from {SLOWEST_PER_S:g} to {FASTEST_PER_S:g} per second, got {strange[0]:g}"
        )
    if D1.max() == 0:
        raise BadInputError("map: has no arrivals, every entry of D1 is 0; give at least one positive rate")
    sums, totals = (D0 + D1).sum(axis=1), off_diagonal.sum(axis=1) + D1.sum(axis=1)
    worst = int(np.argmax(np.abs(sums) - ROW_SUM_TOLERANCE * totals))
    if abs(sums[worst]) > ROW_SUM_TOLERANCE * totals[worst]:
        raise BadInputError(
            f"map: every row of D0 + D1 must sum to 0, row {worst} sums to {sums[worst]:g}; "
            "set the diagonal of D0 to minus the other rates of the row"
        )
    reach = np.linalg.matrix_power(np.eye(n) + (off_diagonal + D1 > 0), n) > 0
    if not reach.all():
        start, missed = (int(each) for each in np.argwhere(~reach)[0])
        raise BadInputError(
            "map: must be irreducible, every phase reachable from every other, but phase "
            f"{missed} is not from phase {start}; remove phases that never recur"
        )
