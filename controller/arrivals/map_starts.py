"""Where the search for a Map begins: two phases from moments of gaps, more by splitting one.

Symbols: r_k = E[X^k] / k! of a gap X; the mean times u1, u2 of a mixture of two exponentials are the roots of
u² - s u + q = 0 with s = (r3 - r1 r2) / (r2 - r1²) and q = s r1 - r2 (Prony). After an arrival the next phase is the
present one with weight γ, else drawn from the mixture w: P = γ I + (1 - γ) 1 w, and the correlation of gaps at lag k is
γ^k (c² - 1) / (2 c²) with c² the squared coefficient of variation: mean, c², skewness and lag-1 correlation give the
canonical two-phase Map with diagonal D0 (Bodrog, Heindl, Horváth and Telek 2008).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.expectation_maximisation import with_rates
from controller.arrivals.moments import gap_statistics
from controller.domain.arrival_map import mmpp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map

STIR = 0.1
"""Share of the changes of phase given to those that a start does not ask for: a rate of 0 could not grow."""
LEAST_SPREAD = 1.05
"""Squared coefficient of variation below which a mixture of two exponentials is not taken from moments."""


def two_phases(times_s: NDArray[np.float64]) -> Map:
    """Return two phases with about the mean, variability, skewness and lag-1 correlation of gaps between instants."""
    gaps = np.diff(times_s)
    mean = float(gaps.mean())
    spread, lag1 = gap_statistics(times_s)
    if spread < 1 / LEAST_SPREAD:
        return in_turn(2, 1 / mean)
    times, weight = _mixture(gaps / mean, spread)
    stay = float(np.clip(lag1 * 2 * spread / max(spread - 1, 0.01), -0.95, 0.98))
    weights = np.array([weight, 1 - weight])
    # P has no negative entry only while γ + (1 - γ) w >= 0.
    stay = max(stay, -float(weights.min() / (1 - weights.min())))
    embedded = np.maximum(stay * np.eye(2) + (1 - stay) * weights, 0.02)
    embedded /= embedded.sum(axis=1, keepdims=True)
    return stirred(np.zeros((2, 2)), embedded / (times * mean)[:, None])


def in_turn(n_phases: int, rate_rps: float) -> Map:
    """Return gaps of n exponential steps each: the evenest that so many phases allow."""
    steps = np.diag(np.full(n_phases - 1, n_phases * rate_rps), 1)
    arrivals = np.zeros((n_phases, n_phases))
    arrivals[-1, 0] = n_phases * rate_rps
    return stirred(steps, arrivals)


def splits(process: Map) -> list[Map]:
    """Return starts with one phase more: that with most arrivals in two, which change at each arrival or slowly."""
    start, share = stirred(process.D0, process.D1), process.stationary * process.D1.sum(axis=1)
    at, m = int(np.argmax(share)), len(process.D0)
    copies = [*range(m), at]
    into, pace = np.ones(m + 1), np.ones(m + 1)
    into[[at, m]], pace[at], pace[m] = 0.5, 0.6, 1.6
    hidden, D1 = (each[np.ix_(copies, copies)] * into * pace[:, None] for each in (start.D0, start.D1))
    hidden[at, m] = hidden[m, at] = (start.D0 * (1 - np.eye(m)))[at].sum()
    slowly = D1.copy()
    for here, there in ((at, m), (m, at)):
        slowly[here, here] += 0.95 * slowly[here, there]
        slowly[here, there] *= 0.05
    return [with_rates(hidden, D1), with_rates(hidden, slowly)]


def split_mmpp(process: Map) -> Map:
    """Return a start with one level more: the phase with most arrivals in a quieter and a busier one."""
    rates = np.diag(process.D1)
    at, m = int(np.argmax(process.stationary * rates)), len(rates)
    copies = [*range(m), at]
    into, pace = np.ones(m + 1), np.ones(m + 1)
    into[[at, m]], pace[at], pace[m] = 0.5, 0.75, 1.25
    switching = (process.D0 * (1 - np.eye(m)))[np.ix_(copies, copies)] * into
    switching[at, m] = switching[m, at] = switching[at].sum()
    return mmpp(rates[copies] * pace, switching)


def stirred(hidden: NDArray[np.float64], D1: NDArray[np.float64]) -> Map:
    """Return a Map with these rates in which every change is possible; the diagonal of `hidden` is ignored."""
    m = len(hidden)
    hidden = hidden * (1 - np.eye(m))
    changes = (hidden + D1 * (1 - np.eye(m))).sum(axis=1)
    least = STIR * changes[:, None] / (2 * m)
    return with_rates(np.maximum(hidden, least), np.maximum(D1, least))


def _mixture(gaps: NDArray[np.float64], spread: float) -> tuple[NDArray[np.float64], float]:
    """Return mean times u (2,) and the weight of the first, for gaps of mean 1 and variability above 1/LEAST_SPREAD."""
    spread = max(spread, LEAST_SPREAD)
    r2, r3 = (spread + 1) / 2, float((gaps**3).mean()) / 6
    s = (r3 - r2) / (r2 - 1)
    q = s - r2
    if r3 > 1.001 * r2**2 and q > 0 and s * s > 4 * q:
        root = np.sqrt(s * s - 4 * q)
        times = np.array([(s - root) / 2, (s + root) / 2])
        weight = (times[1] - 1) / (times[1] - times[0])
        if 0.001 < weight < 0.999 and times[0] > 1e-3:
            return times, float(weight)
    # No such mixture has this skewness: the one with balanced means has the variability.
    weight = 0.5 * (1 + np.sqrt((spread - 1) / (spread + 1)))
    return np.array([0.5 / weight, 0.5 / (1 - weight)]), float(weight)
