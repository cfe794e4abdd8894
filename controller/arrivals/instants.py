"""What a list of arrival instants must be, and what the clock that wrote it did to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDED_SHARE = 0.2
"""Share of equal neighbours from which instants are taken for counts by tick of their clock."""
COARSEST_TICK = 0.1
"""Of the mean time between different instants: equal ones are no rounding where the clock is finer than that."""


def check_instants(times_s: NDArray[np.float64]) -> None:
    """Raise BadInputError unless instants are finite, at least 0, ascending and at least one."""
    if times_s.ndim != 1 or times_s.size == 0:
        raise BadInputError(f"fit: needs at least one arrival instant, got none (shape {times_s.shape})")
    bad = np.flatnonzero(~np.isfinite(times_s))
    if bad.size:
        raise BadInputError(f"fit: instants must be finite, got {times_s[bad[0]]} at place {bad[0]}")
    if times_s.min() < 0:
        raise BadInputError(f"fit: instants must not be negative, got {times_s.min():g}")
    falls = np.flatnonzero(np.diff(times_s) < 0)
    if falls.size:
        at = int(falls[0])
        raise BadInputError(f"fit: instants must ascend, got {times_s[at + 1]:g} after {times_s[at]:g}; sort them")


def coarse_tick(times_s: NDArray[np.float64]) -> float | None:
    """Return the tick of a clock so coarse that only counts are left of the instants, else None."""
    gaps = np.diff(times_s)
    apart = gaps[gaps > 0]
    if apart.size == 0 or 1 - apart.size / gaps.size < ROUNDED_SHARE:
        return None
    tick = float(apart.min())
    return tick if tick > COARSEST_TICK * apart.mean() else None


def spread_equal(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the instants with equal ones evenly apart within one tick, the smallest time between different ones."""
    gaps = np.diff(times_s)
    apart = gaps[gaps > 0]
    if apart.size in (0, gaps.size):
        return times_s
    starts = np.flatnonzero(np.append(True, gaps > 0))
    sizes = np.diff(np.append(starts, times_s.size))
    place = np.arange(times_s.size) - np.repeat(starts, sizes)
    return times_s + apart.min() * place / np.repeat(sizes, sizes)
