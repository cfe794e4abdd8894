"""Arrivals cut into segments of time, taken in turn for fitting and for judging, so that both see the whole hour."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.count_likelihood import CountLikelihood
from controller.arrivals.gap_likelihood import GapLikelihood

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.arrivals.expectation_maximisation import Likelihood

MOST_SEGMENTS, LEAST_SEGMENTS = 32, 8
ARRIVALS_PER_SEGMENT = 50
MOST_GAPS = 20_000
"""Gaps of a half that are looked at, the first of each segment: what is quick shows in them, what is slow in counts."""
MOST_GAPS_TOGETHER = 120_000
"""The same for both halves: the chosen process is fitted to them from where it is, in few steps."""
MOST_BINS = 8192
"""Bins of the whole observation."""
MOST_PER_BIN = 4096
"""Arrivals in a bin beyond which the law of their number costs too much."""


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """One kind of observation, of the half that is fitted, the half that judges, and both."""

    fitted: Likelihood
    judging: Likelihood
    both: Likelihood


def edges_of(n: int, start_s: float, end_s: float) -> NDArray[np.float64]:
    """Return the ends of an even number of equal segments for n arrivals, shape (n_segments + 1,)."""
    n_segments = int(np.clip(n // ARRIVALS_PER_SEGMENT, LEAST_SEGMENTS, MOST_SEGMENTS)) // 2 * 2
    return np.linspace(start_s, end_s, n_segments + 1)


def halve_gaps(times_s: NDArray[np.float64], edges_s: NDArray[np.float64]) -> Halves | None:
    """Return the gaps inside segments; None where a half has none."""
    few, many = _inside(times_s, edges_s, 2 * MOST_GAPS), _inside(times_s, edges_s, MOST_GAPS_TOGETHER)
    if not any(each.size for each in few[::2]) or not any(each.size for each in few[1::2]):
        return None
    return Halves(GapLikelihood(few[::2]), GapLikelihood(few[1::2]), GapLikelihood(many))


def _inside(times_s: NDArray[np.float64], edges_s: NDArray[np.float64], most: int) -> list[NDArray[np.float64]]:
    """Return the first gaps of each segment, about `most` of them in all at most."""
    begins = np.searchsorted(times_s, edges_s)
    per_segment = max(1, most // (edges_s.size - 1))
    pairs = itertools.pairwise(begins.tolist())
    return [np.diff(times_s[begin : min(end, begin + per_segment + 1)]) for begin, end in pairs]


def halve_counts(counts: NDArray[np.float64], bin_s: float) -> Halves | None:
    """Return counts in bins by segment; None where a half has no arrival, or a bin too many."""
    n_segments = edges_of(int(counts.sum()), 0.0, 1.0).size - 1
    if counts.size < 2 * n_segments or counts.max() > MOST_PER_BIN:
        return None
    segments = np.array_split(counts, n_segments)
    halves = Halves(
        CountLikelihood(segments[::2], bin_s), CountLikelihood(segments[1::2], bin_s), CountLikelihood(segments, bin_s)
    )
    return halves if halves.fitted.n and halves.judging.n else None
