"""Online detection of a change of rate: a generalised likelihood ratio of over-dispersed counts.

For many splits of the remembered bins into an older and a recent part, the likelihood of two rates is compared with
that of one, counts being negative binomial with a common shape r = m / (phi - 1), so that their Fano factor at the
pooled mean m is phi. Poisson counts are the limit phi = 1. The shape makes the ratio depend on sums alone:

    n0 KL(m0 | m) + n1 KL(m1 | m),   KL(a | b) = a ln(a / b) - (a + r) ln((a + r) / (b + r)).

Dividing a Poisson ratio by phi, as is often done, underestimates the tail of bursty counts.
"""

from __future__ import annotations

import math

from controller.arrivals.alarm import Alarm
from controller.arrivals.window import CountWindow

THRESHOLD = 7.6
"""Alarm level in nats; false alarms become rarer by a factor e per nat, and the delay grows in proportion."""
REMEMBERED_BINS = 600
"""Bins of the present law that are compared with the most recent ones."""
LEAST_BEFORE = 12
"""Bins the older part must have."""
RECENT = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 120)
"""Lengths of the recent part that are tried; a single bin is never a change of rate."""
CAUTION = {2: 1.2, 3: 1.2, **dict.fromkeys((32, 40, 48, 56, 64, 80, 96, 120), 0.8)}
"""Nats added to the threshold: where two or three outliers would do, and where there are many splits to choose from."""
SHORT_BEFORE, SHORT_CAUTION = 60, 1.5
"""An older part shorter than this says little of the Fano factor; its splits need this many nats more."""
BURSTY_FANO, BURSTY_CAUTION, MOST_BURSTY_CAUTION = 5.0, 0.2, 0.6
"""Nats more per unit of Fano factor above five, at most 0.6: the tail is then known from few outliers."""
PRIOR_FANO = 2.0
PRIOR_BINS = 20.0
"""Weight, in bins, of the prior Fano factor; the estimate of few bursty bins is far too low otherwise."""
RECENT_PRIOR_BINS = 20.0
"""Weight, in bins, of the older part's Fano factor in that of the recent part."""
LEAST_MEAN = 0.05
"""Counts per bin below which a mean is not resolved."""
SCREEN = 0.5
"""A split is computed in full when a quick upper estimate of its score is above this share of the threshold."""


class RateDetector:
    """Raises an alarm when the rate has changed. Feed one count per bin.

    Args:
        bin_s: width of a bin.
        threshold: alarm level in nats.
    """

    def __init__(self, *, bin_s: float = 1.0, threshold: float = THRESHOLD) -> None:
        self._bin_s, self._threshold = bin_s, threshold
        self._window = CountWindow(REMEMBERED_BINS)
        self._prior_fano = PRIOR_FANO

    @property
    def rate_rps(self) -> float:
        """Mean rate since the last change; 0 before the first bin."""
        return self._window.mean / self._bin_s

    @property
    def since_bin(self) -> int:
        """First bin that is taken for the present law."""
        return self._window.first_bin

    def update(self, count: float) -> Alarm | None:
        """Take the next bin's count; return an alarm if the rate has changed."""
        self._window.append(count)
        score, recent, fano = self._best_split()
        if score < self._threshold:
            return None
        window = self._window
        n0 = len(window) - recent
        before = (window.sums[-1 - recent] - window.sum_before) / n0
        after = (window.sums[-1] - window.sums[-1 - recent]) / recent
        change_bin = self._most_likely_change(fano, recent)
        alarm = Alarm(window.next_bin - 1, change_bin, "rate", before / self._bin_s, after / self._bin_s)
        self._prior_fano = fano
        window.forget_before(change_bin)
        return alarm

    def adopt_fano(self, fano: float, *, since_bin: int) -> None:
        """Compare only with bins from `since_bin` on, when counts began to have this Fano factor."""
        self._prior_fano = fano
        self._window.forget_before(max(since_bin, self._window.first_bin))

    def _best_split(self) -> tuple[float, int, float]:
        """Return the highest score less its caution, the length of the recent part and the Fano factor used."""
        window, best = self._window, (-math.inf, 0, 1.0)
        n, sums, start = len(window), window.sums, window.sum_before
        total = sums[-1] - start
        rough = SCREEN * self._threshold * 2 * max(1.0, 0.7 * self._fano_of(total, window.squares[-1], n))
        for recent in RECENT:
            n0 = n - recent
            if n0 < LEAST_BEFORE:
                break
            sum1 = sums[-1] - sums[-1 - recent]
            m0, m1 = (total - sum1) / n0, sum1 / recent
            # Normal approximation with the smaller variance: never below the score but for a small factor.
            if (m1 - m0) ** 2 * recent * n0 < rough * n * min(m0, m1):
                continue
            fano = self._fano_of_split(recent)
            score = log_ratio(m0, n0, m1, recent, fano) - caution(n0, recent, fano)
            best = max(best, (score, recent, fano))
        return best

    def _fano_of(self, total: float, squares_end: float, n: int) -> float:
        """Return the Fano factor of all bins, drawn toward the prior."""
        mean = total / n
        excess = (squares_end - self._window.squares_before - n * mean * mean) / max(mean, LEAST_MEAN)
        return (excess + PRIOR_BINS * self._prior_fano) / (n - 1 + PRIOR_BINS)

    def _fano_of_split(self, recent: int) -> float:
        """Return the larger Fano factor of the two parts, that of the recent one drawn toward the older one's."""
        window = self._window
        n0 = len(window) - recent
        fano0 = self._fano_of(window.sums[-1 - recent] - window.sum_before, window.squares[-1 - recent], n0)
        mean1 = (window.sums[-1] - window.sums[-1 - recent]) / recent
        squares1 = window.squares[-1] - window.squares[-1 - recent]
        excess1 = (squares1 - recent * mean1 * mean1) / max(mean1, LEAST_MEAN)
        fano1 = (excess1 + RECENT_PRIOR_BINS * fano0) / (recent - 1 + RECENT_PRIOR_BINS)
        return max(fano0, fano1, 1.0)

    def _most_likely_change(self, fano: float, around: int) -> int:
        """Return the bin where the likelihood of a change is greatest, among all splits up to twice the best one."""
        window, best = self._window, (-math.inf, 1)
        n, total = len(window), window.sums[-1] - window.sum_before
        for recent in range(1, min(2 * around + 2, n - 1)):
            sum1 = window.sums[-1] - window.sums[-1 - recent]
            score = log_ratio((total - sum1) / (n - recent), n - recent, sum1 / recent, recent, fano)
            best = max(best, (score, recent))
        return window.next_bin - best[1]


def caution(n0: int, recent: int, fano: float) -> float:
    """Return the nats a split needs above the threshold."""
    bursty = min(max(fano - BURSTY_FANO, 0.0) * BURSTY_CAUTION, MOST_BURSTY_CAUTION)
    return CAUTION.get(recent, 0.0) + bursty + (SHORT_CAUTION if n0 < SHORT_BEFORE else 0.0)


def log_ratio(m0: float, n0: int, m1: float, n1: int, fano: float) -> float:
    """Return ln of the likelihood of two means over that of one, in nats."""
    m0, m1 = max(m0, 1e-9), max(m1, 1e-9)
    pooled = (n0 * m0 + n1 * m1) / (n0 + n1)
    # 1e-3: a Fano factor of 1 would make the shape infinite; 1.001 is Poisson to three digits.
    shape = pooled / max(fano - 1, 1e-3)
    old = m0 * math.log(m0 / pooled) - (m0 + shape) * math.log((m0 + shape) / (pooled + shape))
    new = m1 * math.log(m1 / pooled) - (m1 + shape) * math.log((m1 + shape) / (pooled + shape))
    return n0 * old + n1 * new
