"""Changes of rate or dispersion in hindsight: PELT by ruptures with the joint likelihood of `joint_likelihood`.

Places of changes are first sought between at most `MOST_BLOCKS` blocks and then moved to the likeliest bin between
their neighbours, so that time is bounded whatever the length: the cost of every pair of blocks is in a table.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import ruptures
from ruptures.base import BaseCost

from controller.arrivals.change_points import Segment, local_fano
from controller.arrivals.joint_likelihood import BLOCK_BINS, CountSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BINS = 7200
"""Longer series are first summed into at most this many bins."""
MOST_BLOCKS = 240
LEAST_BINS = 15
"""Shortest stretch that is told apart, in bins."""
PENALTY_PER_LOG = 2.0
"""Nats of one more change per ln(bins); 1.5 is the Bayesian criterion for a rate, a shape and a place."""
MEDIAN_CHI2 = 0.4549
"""Median of a squared standard normal."""


class _Table(BaseCost):
    """A cost that has been computed for every pair of places: ruptures' view of the blocks."""

    model = "joint"  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    min_size = 1

    def __init__(self, costs: NDArray[np.float64]) -> None:
        self._costs = costs

    def fit(self, signal: NDArray[np.float64]) -> _Table:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.signal = signal
        return self

    def error(self, start: int, end: int) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        return float(self._costs[start, end])


def find_changes(counts: NDArray[np.float64], *, bin_s: float = 1.0) -> list[Segment]:
    """Return the stretches of one rate and one dispersion, oldest first; they cover all bins.

    Args:
        counts: shape (n,), n >= 1.
        bin_s: width of a bin.
    """
    width = math.ceil(counts.size / MOST_BINS)
    n = counts.size // width
    summed = counts[: n * width].reshape(n, width).sum(axis=1)
    sums = CountSums(n)
    for count in summed.tolist():
        sums.append(count)
    penalty = PENALTY_PER_LOG * clumping(summed) * math.log(n)
    places = [place * width for place in _settled(sums, _coarse(sums, penalty), penalty)]
    return [
        Segment(first, end, float(counts[first:end].mean()) / bin_s, local_fano(counts[first:end]))
        for first, end in zip([0, *places], [*places, counts.size], strict=True)
    ]


def clumping(counts: NDArray[np.float64]) -> float:
    """Return the ratio of the Fano factors of blocks and of bins, at least 1, by differences of neighbours.

    The median of the blocks' squared differences leaves out the few that hold a change.
    """
    blocks = np.convolve(counts, np.ones(BLOCK_BINS), mode="valid")
    if blocks.size <= BLOCK_BINS:
        return 1.0
    old, new = blocks[:-BLOCK_BINS], blocks[BLOCK_BINS:]
    squares = (new - old) ** 2 / np.maximum(new + old, 1.0)
    return max(1.0, float(np.median(squares)) / MEDIAN_CHI2 / local_fano(counts))


def _coarse(sums: CountSums, penalty: float) -> list[int]:
    """Return the changes of least cost among the edges of the blocks."""
    block = math.ceil(sums.bins / MOST_BLOCKS)
    edges = np.append(np.arange(0, max(sums.bins - LEAST_BINS, 1), block), sums.bins)
    first, end = np.triu_indices(edges.size, 1)
    costs = np.zeros((edges.size, edges.size))
    costs[first, end] = -sums.log_likelihood(edges[first], edges[end])
    least = math.ceil(LEAST_BINS / block)
    if edges.size - 1 < 2 * least:
        return []
    search = ruptures.Pelt(custom_cost=_Table(costs), min_size=least, jump=1).fit(np.zeros((edges.size - 1, 1)))
    # By ruptures' convention the last place is the length of the signal.
    return [int(edges[place]) for place in search.predict(pen=penalty)[:-1]]


def _settled(sums: CountSums, places: list[int], penalty: float) -> list[int]:
    """Return the places at their likeliest bins, without those that then gain less than the penalty.

    A block that holds a large step is taken for a stretch of its own until its edges may move.
    """
    placed = [0, *places, sums.bins]
    while len(placed) > 2:
        # Twice, because at first the neighbours are only known to a block.
        gains = [_settle(sums, placed) for _ in range(2)][-1]
        least = int(np.argmin(gains))
        if gains[least] >= penalty:
            break
        del placed[least + 1]
    return placed[1:-1]


def _settle(sums: CountSums, placed: list[int]) -> list[float]:
    """Move each place to the likeliest bin between its neighbours; return the nats that each gains."""
    gains: list[float] = []
    for number in range(1, len(placed) - 1):
        first, end = placed[number - 1], placed[number + 1]
        tried = np.arange(first + 1, end)
        two = sums.log_likelihood(first, tried) + sums.log_likelihood(tried, end)
        best = int(two.argmax())
        placed[number] = int(tried[best])
        gains.append(float(two[best] - sums.log_likelihood(first, end)))
    return gains
