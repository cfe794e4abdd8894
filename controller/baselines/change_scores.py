"""How well named changes agree with the true ones: the scores of the Turing change point data set, delay, false alarms.

Van den Burg and Williams 2020, with one annotator, the truth. A named bin is right if it lies at most five bins from
the true one; each true change takes the nearest right bin that is left. The first bin counts as a change that all
know, so that naming none has a score. Every distinct bin counts once, however often it was named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN_BINS = 5
NOTICED_BINS = 300
"""Bins after a change within which an alarm is about it; any other is false."""


@dataclass(frozen=True, slots=True)
class Named:
    """A change that a method names; in hindsight `alarm_bin` is the last bin of the series."""

    alarm_bin: int
    change_bin: int


@dataclass(frozen=True, slots=True)
class Score:
    """What a method was worth on a series.

    Attributes:
        f1: harmonic mean of precision and recall of the named bins, the first bin included.
        cover: mean over bins of the overlap (Jaccard) of their true stretch with the best named one.
        delays_bins: bins seen of the new law until the first alarm, for each change that was noticed.
        missed: changes that were not noticed.
        false_alarms: alarms that no change preceded by `NOTICED_BINS` at most.
    """

    f1: float
    cover: float
    delays_bins: tuple[int, ...]
    missed: int
    false_alarms: int


def score(named: Sequence[Named], changes: Sequence[int], bins: int) -> Score:
    """Return the scores of what was named in a series of so many bins."""
    places = sorted({each.change_bin for each in named} | {0})
    alarms = sorted({each.alarm_bin for each in named})
    delays = [
        next((alarm - change + 1 for alarm in alarms if 0 <= alarm - change < NOTICED_BINS), 0) for change in changes
    ]
    false = sum(not any(0 <= alarm - change < NOTICED_BINS for change in changes) for alarm in alarms)
    return Score(
        f1=f1(places, [0, *changes]),
        cover=covering(places, [0, *changes], bins),
        delays_bins=tuple(delay for delay in delays if delay),
        missed=delays.count(0),
        false_alarms=false,
    )


def f1(named: Sequence[int], true: Sequence[int]) -> float:
    """Return the F1 score of distinct named bins; 1 if each true bin is named and no other."""
    left, right = set(named), 0
    for change in true:
        near = min(left, key=lambda place: abs(place - change), default=None)
        if near is not None and abs(near - change) <= MARGIN_BINS:
            left.remove(near)
            right += 1
    precision, recall = right / len(named), right / len(true)
    return 2 * precision * recall / (precision + recall) if right else 0.0


def covering(named: Sequence[int], true: Sequence[int], bins: int) -> float:
    """Return the mean over bins of the best Jaccard index of their true stretch with a named one."""
    starts = np.array(named)
    ends = np.append(starts[1:], bins)
    total = 0.0
    for first, end in zip(true, [*true[1:], bins], strict=True):
        shared = np.clip(np.minimum(ends, end) - np.maximum(starts, first), 0, None)
        total += (end - first) * float((shared / (np.maximum(ends, end) - np.minimum(starts, first))).max())
    return total / bins
