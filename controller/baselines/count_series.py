"""Series of counts whose changes are known, drawn by a seed: what detectors of changes are compared on.

One seed gives thirty series of an hour in bins of one second: rates of 1 to 200 a second, steps to 0.5 to 4 times the
rate, Fano factors of 1 to 8 and changes of the factor alone, some series without a change. Over-dispersion is of two
kinds, never mixed in a series: independent counts are negative binomial, modulated ones are those of a Poisson process
whose rate switches between two levels every few seconds, so that neighbouring bins go together.

    Fano factor of a modulated bin of 1 s - 1 = 2 s²/(g m) (1 - (1 - e^-g)/g)

with m the mean rate, s² the variance of the rate and g the total rate of switching (Heffes and Lucantoni 1986).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["steps", "dispersion", "both", "unchanged"]
BINS = 3600
APART_BINS = 300
"""Bins between changes, and between a change and either end."""
RATES = (1.0, 200.0)
FANOS = (1.0, 8.0)
STEPS = (0.5, 4.0)
LEAST_STEP = 1.5
"""Smallest step drawn, up or down."""
LEAST_FANO_RATIO = 3.0
"""Smallest change of the Fano factor drawn."""
MOST_CHANGES = 3
SOJOURN_S = (1.0, 4.0)
"""Mean time at a level of the modulation, from the shortest to the longest."""
MOST_AMPLITUDE = 0.95
"""Largest departure of a level from the mean, relative. Low rates cannot reach every Fano factor with it."""
GRID_PER_BIN = 10
"""Steps a second in which the modulation is drawn."""
PLAN: tuple[tuple[Kind, bool, int], ...] = (
    ("steps", False, 9),
    ("dispersion", False, 4),
    ("both", False, 3),
    ("unchanged", False, 4),
    ("steps", True, 7),
    ("unchanged", True, 3),
)
"""Kind, whether modulated, and how many of the thirty."""


@dataclass(frozen=True, slots=True)
class CountSeries:
    """Counts by the second with the bins where their law changes, each the first of a new law."""

    kind: Kind
    is_modulated: bool
    counts: NDArray[np.int64]
    changes: tuple[int, ...]
    levels: tuple[tuple[float, float], ...]
    """Rate per second and Fano factor asked for of each stretch."""


def draw_series(seed: int) -> list[CountSeries]:
    """Return the thirty series of this seed, in the order of `PLAN`."""
    kinds = [plan[:2] for plan in PLAN for _ in range(plan[2])]
    return [
        _draw(kind, np.random.default_rng([seed, place]), is_modulated=is_modulated)
        for place, (kind, is_modulated) in enumerate(kinds)
    ]


def independent_counts(rate_rps: float, fano: float, bins: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return negative binomial counts, Poisson at a Fano factor of 1; shape (bins,)."""
    if fano <= 1:
        return rng.poisson(rate_rps, bins)
    shape = rate_rps / (fano - 1)
    return rng.poisson(rng.gamma(shape, fano - 1, bins))


def modulated_counts(
    rate_rps: float, fano: float, bins: int, rng: np.random.Generator, *, sojourn_s: float
) -> NDArray[np.int64]:
    """Return counts of a Poisson process that stays this long, on average, at either of two levels; shape (bins,)."""
    switching = 2 / sojourn_s
    share = 2 / switching * (1 - (1 - math.exp(-switching)) / switching)
    amplitude = min(math.sqrt((fano - 1) / (rate_rps * share)), MOST_AMPLITUDE)
    flips = rng.random(bins * GRID_PER_BIN) < 1 / (sojourn_s * GRID_PER_BIN)
    level = np.where((np.cumsum(flips) + rng.integers(2)) % 2 == 1, 1 + amplitude, 1 - amplitude)
    return rng.poisson(rate_rps * level.reshape(bins, GRID_PER_BIN).mean(axis=1))


def _draw(kind: Kind, rng: np.random.Generator, *, is_modulated: bool) -> CountSeries:
    changes = () if kind == "unchanged" else _draw_places(rng)
    levels = [(_log_uniform(rng, *RATES), _log_uniform(rng, *FANOS))]
    for _ in changes:
        rate, fano = levels[-1]
        is_step = kind == "steps" or (kind == "both" and rng.random() < 0.5)
        levels.append((_step(rate, rng), fano) if is_step else (rate, _other_fano(fano, rng)))
    sojourn_s = _log_uniform(rng, *SOJOURN_S)
    lengths = np.diff([0, *changes, BINS]).tolist()
    parts = [
        modulated_counts(*level, length, rng, sojourn_s=sojourn_s)
        if is_modulated
        else independent_counts(*level, length, rng)
        for level, length in zip(levels, lengths, strict=True)
    ]
    return CountSeries(kind, is_modulated, np.concatenate(parts), changes, tuple(levels))


def _draw_places(rng: np.random.Generator) -> tuple[int, ...]:
    number = int(rng.integers(1, MOST_CHANGES + 1))
    free = np.sort(rng.integers(0, BINS - (number + 1) * APART_BINS, number, endpoint=True))
    return tuple((free + APART_BINS * np.arange(1, number + 1)).tolist())


def _step(rate: float, rng: np.random.Generator) -> float:
    while True:
        low, high = (STEPS[0], 1 / LEAST_STEP) if rng.random() < 0.5 else (LEAST_STEP, STEPS[1])
        after = rate * _log_uniform(rng, low, high)
        if RATES[0] <= after <= RATES[1]:
            return after


def _other_fano(fano: float, rng: np.random.Generator) -> float:
    while True:
        after = _log_uniform(rng, *FANOS)
        if max(after / fano, fano / after) >= LEAST_FANO_RATIO:
            return after
        # From the middle of the range no factor is far enough: draw from its ends.
        if max(FANOS[1] / fano, fano / FANOS[0]) < LEAST_FANO_RATIO:
            return FANOS[1] if FANOS[1] / fano > fano / FANOS[0] else FANOS[0]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))
