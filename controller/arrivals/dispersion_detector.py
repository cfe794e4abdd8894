"""Online detection of a change of dispersion at the scale of a bin, whatever the rate does.

Bins are taken in blocks of five. Given a block's total, negative binomial counts with a common Fano factor phi and mean
m are Dirichlet-multinomial with weight r = m / (phi - 1) for each bin: the likelihood of phi then hardly depends on the
rate, so a step of the rate is not mistaken for a change of dispersion. For every split of the remembered blocks the
likelihood of two factors, each the best on a grid, is compared with that of one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from controller.arrivals.alarm import Alarm

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BINS = 5
FANO_GRID = np.array([1.001, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0, 10.0, 13.0, 16.0, 20.0, 32.0, 64.0])
THRESHOLD = 11.0
"""Alarm level in nats; higher than for the rate, because the two channels share the allowed false alarms."""
MOST_PER_BLOCK = 3.0
"""Most nats by which one block may refuse a factor, so that the block in which the rate steps cannot alarm alone."""
REMEMBERED_BLOCKS = 120
LEAST_BEFORE = 6
"""Blocks the older part must have."""
LEAST_AFTER = 2
"""Blocks the recent part must have."""
LEAST_RATIO = 1.5
"""Smallest ratio of two Fano factors that is worth an alarm."""


class DispersionDetector:
    """Raises an alarm when the Fano factor of counts has changed. Feed one count per bin."""

    def __init__(self) -> None:
        self._block: list[float] = []
        self._next_bin = 0
        self._blocks: deque[tuple[float, ...]] = deque(maxlen=REMEMBERED_BLOCKS)
        # Row i: log-likelihoods of the remembered blocks up to the i-th, summed since some block before them.
        self._sums: NDArray[np.float64] = np.zeros((1, FANO_GRID.size))

    @property
    def fano(self) -> float:
        """Most likely Fano factor since the last change; 1 before the first block."""
        return float(FANO_GRID[np.argmax(self._sums[-1] - self._sums[0])]) if self._blocks else 1.0

    def update(self, count: float) -> Alarm | None:
        """Take the next bin's count; return an alarm if the dispersion has changed."""
        self._block.append(count)
        self._next_bin += 1
        if len(self._block) < BLOCK_BINS:
            return None
        self._blocks.append(tuple(self._block))
        last = self._sums[-1] + block_log_likelihood(np.array(self._block))
        self._sums = np.vstack([self._sums[-REMEMBERED_BLOCKS:], last])
        self._block = []
        return self._test() if len(self._blocks) >= LEAST_BEFORE + LEAST_AFTER else None

    def _test(self) -> Alarm | None:
        sums = self._sums - self._sums[0]
        before, total = sums[LEAST_BEFORE:-LEAST_AFTER], sums[-1]
        after = total - before
        old, new = before.argmax(axis=1), after.argmax(axis=1)
        score = before.max(axis=1) + after.max(axis=1) - total.max()
        score[np.maximum(FANO_GRID[old] / FANO_GRID[new], FANO_GRID[new] / FANO_GRID[old]) < LEAST_RATIO] = 0.0
        split = int(score.argmax())
        if score[split] < THRESHOLD:
            return None
        return self._alarm(split + LEAST_BEFORE, int(old[split]), int(new[split]))

    def _alarm(self, split: int, old: int, new: int) -> Alarm:
        blocks = list(self._blocks)
        around = np.array(blocks[split - 1] + blocks[split])
        first_bin = self._next_bin - (len(blocks) - split + 1) * BLOCK_BINS
        change_bin = first_bin + most_likely_change(around, float(FANO_GRID[old]), float(FANO_GRID[new]))
        self._blocks = deque(blocks[split:], maxlen=REMEMBERED_BLOCKS)
        self._sums = self._sums[split:]
        return Alarm(self._next_bin - 1, change_bin, "dispersion", float(FANO_GRID[old]), float(FANO_GRID[new]))


def block_log_likelihood(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln P(counts | their sum) for each Fano factor of the grid, up to a constant; shape (n_grid,).

    Dirichlet-multinomial with equal weights: ln Γ(n r) - ln Γ(n r + s) + sum_i (ln Γ(x_i + r) - ln Γ(r)). No value is
    more than `MOST_PER_BLOCK` below the best.
    """
    total = float(counts.sum())
    if total == 0:
        return np.zeros(FANO_GRID.size)
    weight = (total / counts.size) / (FANO_GRID - 1)
    singles = (gammaln(counts[:, None] + weight) - gammaln(weight)).sum(axis=0)
    likelihood = gammaln(counts.size * weight) - gammaln(counts.size * weight + total) + singles
    return np.maximum(likelihood, likelihood.max() - MOST_PER_BLOCK)


def most_likely_change(counts: NDArray[np.float64], old: float, new: float) -> int:
    """Return how many of these counts, all with their common mean, are most likely still of the old Fano factor."""
    fano = np.array([[old], [new]])
    shape = max(float(counts.mean()), 1e-9) / (fano - 1)
    each = gammaln(counts + shape) - gammaln(shape) - shape * np.log(fano) + counts * np.log1p(-1 / fano)
    gain = np.concatenate([np.cumsum((each[1] - each[0])[::-1])[::-1], [0.0]])
    return int(np.argmax(gain))
