"""Ours and published detectors of changes over counts by the second, each with fixed parameters for every series.

Online methods name a change when they alarm and see no later bin; those in hindsight see the whole series. BOCPD is
Adams and MacKay 2007 with Gamma-Poisson counts; ADWIN is Bifet and Gavaldà 2007, its test over every split of the
window (their first form; the histogram of the second saves time, not alarms). PELT and BinSeg are ruptures'. JBMP's
detector looks at the gaps of the last 300 s every 300 s; instants are spread evenly over their second.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import ruptures
from ruptures.costs import CostNormal
from scipy.special import gammaln

from controller.arrivals.change_points import find_segments, local_fano
from controller.arrivals.change_tracker import ChangeTracker
from controller.arrivals.detector import Detector
from controller.arrivals.hindsight import find_changes
from controller.baselines.change_scores import Named
from controller.baselines.jbmp_detector import PERIOD_S, detect_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

HAZARD = 1 / 900
"""Prior probability of a change in a bin."""
PRIOR_MEAN = 20.0
"""Counts a bin that the prior of a rate expects, with the weight of one exponential observation."""
IMPOSSIBLE = 1e-9
"""Runs of a smaller probability are dropped."""
LEAST_PROBABILITY = 0.9
"""Posterior probability of a change since the last one named that makes BOCPD alarm."""
SAME_BINS = 5
"""A change so near the last one named is the same."""
FANO_PRIOR_PAIRS = 10
"""Pairs of a Fano factor of 1 with which the estimate of the scaled BOCPD begins."""
CONFIDENCE = 0.002
"""ADWIN's delta, its usual value."""
LEAST_PART = 5
"""Bins each part of ADWIN's window must have, its usual value."""


def nothing(_counts: NDArray[np.int64]) -> list[Named]:
    """Name no change: what every method must beat."""
    return []


def our_changes(counts: NDArray[np.int64]) -> list[Named]:
    """Name what the tracker names: changes beyond doubt, online."""
    tracker = ChangeTracker()
    found = [change for count in counts.tolist() if (change := tracker.update(count)) is not None]
    return [Named(change.named_bin, change.change_bin) for change in found]


def our_alarms(counts: NDArray[np.int64]) -> list[Named]:
    """Name what `tidegate detect` alarms at."""
    detector = Detector()
    return [Named(alarm.alarm_bin, alarm.change_bin) for n in counts.tolist() for alarm in detector.update(n)]


def our_stretches(counts: NDArray[np.int64]) -> list[Named]:
    """Changes of rate or dispersion in hindsight, by ruptures with our likelihood."""
    return [Named(counts.size - 1, each.first_bin) for each in find_changes(counts.astype(np.float64))[1:]]


def our_levels(counts: NDArray[np.int64]) -> list[Named]:
    """Levels of the rate in hindsight, those by which the loop confirms a regime."""
    return [Named(counts.size - 1, each.first_bin) for each in find_segments(counts.astype(np.float64))[1:]]


def bocpd(counts: NDArray[np.int64]) -> list[Named]:
    """Bayesian online detection of Poisson counts."""
    return _bocpd(counts.astype(np.float64), np.ones(counts.size))


def bocpd_scaled(counts: NDArray[np.int64]) -> list[Named]:
    """Bayesian online detection of counts divided by the Fano factor of all bins so far, by differences."""
    pairs = counts[: counts.size // 2 * 2].reshape(-1, 2).astype(np.float64)
    squares = np.cumsum((pairs[:, 1] - pairs[:, 0]) ** 2) + FANO_PRIOR_PAIRS
    sums = np.cumsum(pairs.sum(axis=1)) + FANO_PRIOR_PAIRS
    seen = np.maximum(squares / sums, 1.0)
    fano = np.concatenate([[1.0], np.repeat(seen, 2), seen[-1:]])[: counts.size]
    return _bocpd(counts.astype(np.float64), fano)


def adwin(counts: NDArray[np.int64]) -> list[Named]:
    """Adaptive windowing of ln(1 + count), tested at each bin: drop the older part while two means differ."""
    sums = np.concatenate([[0.0], np.cumsum(np.log1p(counts))])
    squares = np.concatenate([[0.0], np.cumsum(np.log1p(counts) ** 2)])
    first, named = 0, list[Named]()
    for end in range(1, counts.size + 1):
        began = first
        while end - first >= 2 * LEAST_PART:
            cuts = np.arange(first + LEAST_PART, end - LEAST_PART + 1)
            n = end - first
            n0 = cuts - first
            gap = np.abs((sums[cuts] - sums[first]) / n0 - (sums[end] - sums[cuts]) / (n - n0))
            variance = max((squares[end] - squares[first]) / n - ((sums[end] - sums[first]) / n) ** 2, 0.0)
            harmonic = 1 / (1 / n0 + 1 / (n - n0))
            doubt = math.log(2 * math.log(n) / CONFIDENCE)
            excess = gap - np.sqrt(2 / harmonic * variance * doubt) - 2 / 3 / harmonic * doubt
            if excess.max() < 0:
                break
            first = int(cuts[excess.argmax()])
        if first > began:
            named.append(Named(end - 1, first))
    return named


def jbmp(counts: NDArray[np.int64]) -> list[Named]:
    """JBMP's detector, at each of its polls the last change in the window if it was not named before."""
    within_s = np.concatenate([(np.arange(n) + 0.5) / n for n in counts.tolist()])
    arrival_s = np.repeat(np.arange(counts.size, dtype=np.float64), counts) + within_s
    named, last = list[Named](), 0
    for now in np.arange(PERIOD_S, counts.size + 1, PERIOD_S).tolist():
        seen = detect_rate(arrival_s, float(now))
        if seen is not None and seen.change_s is not None and round(seen.change_s) > last + SAME_BINS:
            last = round(seen.change_s)
            named.append(Named(int(now) - 1, last))
    return named


def pelt(counts: NDArray[np.int64]) -> list[Named]:
    """PELT, squared error, ruptures' least segment of two bins, BIC penalty with the variance by differences."""
    search = ruptures.KernelCPD(kernel="linear", min_size=2).fit(counts[:, None].astype(np.float64))
    return _in_hindsight(search.predict(pen=_bic(counts)), counts.size)


def pelt_normal(counts: NDArray[np.int64]) -> list[Named]:
    """PELT, normal counts of one mean and variance a stretch of ten bins at least, ruptures' grid of five, BIC penalty.

    The cost is minus twice the log likelihood, and a change has three numbers more, so the penalty is 3 ln n.
    """
    with warnings.catch_warnings():
        # It tells of what it does against stretches without any variance since some version.
        warnings.simplefilter("ignore", UserWarning)
        cost = CostNormal()
    search = ruptures.Pelt(custom_cost=cost, min_size=10, jump=5).fit(counts[:, None].astype(np.float64))
    return _in_hindsight(search.predict(pen=3 * math.log(counts.size)), counts.size)


def binseg(counts: NDArray[np.int64]) -> list[Named]:
    """Binary segmentation, squared error, ruptures' defaults, BIC penalty with the variance by differences."""
    search = ruptures.Binseg(model="l2").fit(counts[:, None].astype(np.float64))
    return _in_hindsight(search.predict(pen=_bic(counts)), counts.size)


def _bic(counts: NDArray[np.int64]) -> float:
    variance = local_fano(counts.astype(np.float64)) * max(float(counts.mean()), 1e-9)
    return 2 * variance * math.log(counts.size)


def _in_hindsight(ends: list[int] | None, bins: int) -> list[Named]:
    return [Named(bins - 1, end) for end in (ends or [])[:-1]]


def _bocpd(counts: NDArray[np.float64], fano: NDArray[np.float64]) -> list[Named]:
    """Run the recursion over all runs that are not next to impossible; alarm when the last change named is outlived.

    A count over the Fano factor is Poisson with the rate over the Fano factor: a bin counts for a fraction of one.
    """
    began, probability = np.empty(0, np.int64), np.empty(0)
    shape, rate = np.empty(0), np.empty(0)
    named, last = list[Named](), 0
    for place, (value, seen) in enumerate(zip((counts / fano).tolist(), (1 / fano).tolist(), strict=True)):
        prior = np.append((1 - HAZARD) * probability, HAZARD if place else 1.0)
        began, shape, rate = np.append(began, place), np.append(shape, 1.0), np.append(rate, 1 / PRIOR_MEAN)
        likelihood = gammaln(shape + value) - gammaln(shape) - shape * np.log1p(seen / rate)
        likelihood -= value * np.log1p(rate / seen)
        joint = np.log(prior) + likelihood
        probability = np.exp(joint - joint.max())
        probability /= probability.sum()
        kept = probability > IMPOSSIBLE
        began, probability, shape, rate = began[kept], probability[kept], shape[kept] + value, rate[kept] + seen
        newer = np.where(began > last + SAME_BINS, probability, 0.0)
        if newer.sum() > LEAST_PROBABILITY:
            last = int(began[newer.argmax()])
            named.append(Named(place, last))
    return named


Method = Callable[["NDArray[np.int64]"], list[Named]]
ONLINE: dict[str, Method] = {
    "ours, changes": our_changes,
    "ours, alarms": our_alarms,
    "ZERO": nothing,
    "BOCPD": bocpd,
    "BOCPD, over the Fano factor": bocpd_scaled,
    "ADWIN": adwin,
    "JBMP": jbmp,
}
IN_HINDSIGHT: dict[str, Method] = {
    "ours, stretches": our_stretches,
    "ours, levels": our_levels,
    "BinSeg": binseg,
    "PELT": pelt,
    "PELT, normal": pelt_normal,
}
