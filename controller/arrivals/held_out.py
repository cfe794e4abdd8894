"""The arrival process that predicts arrivals it has not seen: the thorough fit, in seconds where `selection` takes ms.

`tidegate fit` calls it. The control loop and the published baselines call `selection`, which knows Poisson and two
phases by moments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.expectation_maximisation import with_rates
from controller.arrivals.fit_diagnosis import (
    LEAST_ARRIVALS,
    LEAST_SWITCHES,
    PARTS,
    Diagnostics,
    Fit,
    changes_of_phase,
    drift,
    gap_intervals,
    rate_error,
    rate_interval,
)
from controller.arrivals.fit_mmpp import fit_mmpp
from controller.arrivals.halves import MOST_BINS, MOST_PER_BIN, edges_of, halve_counts, halve_gaps
from controller.arrivals.instants import coarse_tick, spread_equal
from controller.arrivals.ladder import Among, Evidence, Verdict, climb
from controller.arrivals.likelihood import log_likelihood
from controller.arrivals.map_starts import two_phases
from controller.arrivals.moments import gap_statistics, idc_at, measure_counts
from controller.arrivals.selection import count_in_bins, observation
from controller.domain.arrival_map import Map
from controller.domain.arrival_process import PoissonProcess
from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LASTS_BINS = 3.0
"""Bins that phases must last on average for bins to be fitted; quicker ones are fitted to gaps."""
NEGLIGIBLE = 3e-7
"""Rates below this multiple of the arrival rate are 0: the search keeps them at its lower bound."""
SLOWEST_PER_S = 1e-9


FEW = "insufficient data, {} arrivals tell a rate only"
SCATTERED = "insufficient data, {} arrivals in so few parts of the observation tell a rate only"
EVEN = "the cautious choice: gaps are more even (squared coefficient of variation {:.3g}) than {} phases can make them"


@dataclass(frozen=True, slots=True)
class RateOnly:
    """Nothing was tried, since nothing could be found."""

    why: str
    is_insufficient: bool


def fit_instants(
    times_s: NDArray[np.float64],
    *,
    from_s: float | None = None,
    until_s: float | None = None,
    among: Among | None = None,
) -> Fit:
    """Fit instants, ascending; those in [from_s, until_s] count, see `selection.fit_times`.

    Raises:
        BadInputError: instants that do not ascend from 0 on, fewer than two are left, or no time between them.
    """
    inside, start, end = observation(times_s, from_s, until_s)
    tick = coarse_tick(inside)
    if tick is not None:
        n_bins = max(1, round((end - start) / tick))
        counts, _ = np.histogram(inside, bins=n_bins, range=(start, end))
        fit = fit_bins(counts.astype(np.float64), (end - start) / n_bins, among=among)
        return _with_reason(fit, f"instants are rounded to {tick:.3g} s and were taken for counts")
    times, among = spread_equal(inside), among or Among()
    counts, bin_s = count_in_bins(times, start, end, MOST_BINS)
    edges = edges_of(times.size, start, end)
    verdict = _judge_gaps(times, edges, (counts, bin_s), among)
    return _fit(counts, bin_s, verdict, (times, edges))


def fit_bins(counts: NDArray[np.float64], bin_s: float, *, among: Among | None = None) -> Fit:
    """Fit counts in equal bins.

    Raises:
        BadInputError: counts that are negative or not whole, or no arrival at all.
    """
    bad = np.flatnonzero(~((counts >= 0) & (counts == np.floor(counts)) & np.isfinite(counts)))
    if bad.size:
        raise BadInputError(f"fit: counts must be whole and at least 0, got {counts[bad[0]]:g} in bin {bad[0]}")
    if counts.size == 0 or counts.sum() <= 0:
        raise BadInputError("fit: needs at least one arrival, got none; record longer")
    if counts.max() > MOST_PER_BIN:
        raise BadInputError(
            f"fit: needs bins with at most {MOST_PER_BIN} arrivals, got {counts.max():g}; count in shorter bins"
        )
    unit = counts.size * bin_s / counts.sum()
    n, halves = int(counts.sum()), halve_counts(counts, bin_s / unit)
    if n < LEAST_ARRIVALS or halves is None:
        verdict = RateOnly((FEW if n < LEAST_ARRIVALS else SCATTERED).format(n), is_insufficient=True)
    else:
        evidence = Evidence(halves, halves, _modulated(counts, bin_s / unit), None)
        verdict = climb(evidence, among or Among())
    return _fit(counts, bin_s, verdict, None)


def _judge_gaps(
    times: NDArray[np.float64], edges: NDArray[np.float64], bins: tuple[NDArray[np.float64], float], among: Among
) -> Verdict | RateOnly:
    unit = float(edges[-1] - edges[0]) / times.size
    fine = halve_gaps(times / unit, edges / unit)
    if times.size < LEAST_ARRIVALS or fine is None:
        why = (FEW if times.size < LEAST_ARRIVALS else SCATTERED).format(times.size)
        return RateOnly(why, is_insufficient=True)
    intervals = gap_intervals(times, edges)
    if among.kind == "any" and intervals is not None and intervals[0][1] < 1 / among.most_phases:
        return RateOnly(EVEN.format(gap_statistics(times)[0], among.most_phases), is_insufficient=False)
    counts, bin_units = bins[0], bins[1] / unit
    slow, modulated = halve_counts(counts, bin_units), _modulated(counts, bin_units)
    lasts_bins = 0.0 if modulated is None else -2 / (np.trace(modulated.D0 + modulated.D1) * bin_units)
    if slow is None or lasts_bins < LASTS_BINS:
        slow = fine
    return climb(Evidence(fine, slow, modulated, two_phases(times / unit)), among)


def _modulated(counts: NDArray[np.float64], bin_units: float) -> Map | None:
    moments = measure_counts(counts, bin_units)
    return fit_mmpp(moments) if moments.idc.min() > 0 else None


def _fit(
    counts: NDArray[np.float64],
    bin_s: float,
    verdict: Verdict | RateOnly,
    instants: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> Fit:
    n, duration = int(counts.sum()), counts.size * bin_s
    rate = n / duration
    is_tried = isinstance(verdict, Verdict)
    process = _in_seconds(verdict.chosen.refitted(), rate) if is_tried else PoissonProcess(rate)
    parts = np.array([part.sum() for part in np.array_split(counts, min(PARTS, counts.size))])
    excess = drift(process, parts, duration) if parts.size == PARTS else 1.0
    # What the process does not explain is known from the parts alone.
    changes = changes_of_phase(process, duration) if excess == 1 else (PARTS - 1) / 2
    error = rate_error(process, rate, duration) * math.sqrt(excess)
    why, is_insufficient = _sufficiency(process, duration, verdict, is_drifting=excess > 1)
    scv = lag1 = likelihood = intervals = None
    if instants is not None and instants[0].size > 3:
        scv, lag1 = gap_statistics(instants[0])
        likelihood = log_likelihood(process, np.diff(instants[0]))
        intervals = gap_intervals(*instants)
    diagnostics = Diagnostics(
        n=n,
        duration_s=duration,
        rate_rps=rate,
        rate_error_rps=error,
        scv=scv,
        lag1=lag1,
        idc={f"{scale:g}": idc_at(counts, bin_s, scale) for scale in (1.0, 10.0, 60.0)},
        log_likelihood=likelihood,
        why=why,
        is_insufficient=is_insufficient,
        rate_interval_rps=rate_interval(rate, error, changes),
        scv_interval=None if intervals is None else intervals[0],
        lag1_interval=None if intervals is None else intervals[1],
        candidates=verdict.candidates if is_tried else (),
    )
    return Fit(process, diagnostics)


def _sufficiency(
    process: PoissonProcess | Map, duration_s: float, verdict: Verdict | RateOnly, *, is_drifting: bool
) -> tuple[str, bool]:
    """Return the reason, and whether the data are insufficient."""
    if isinstance(verdict, RateOnly):
        return f"poisson: {verdict.why}", verdict.is_insufficient
    switches = changes_of_phase(process, duration_s)
    if switches < LEAST_SWITCHES:
        return f"{verdict.why}; insufficient data, about {switches:.0f} changes of phase were seen", True
    if is_drifting:
        return f"{verdict.why}; insufficient data, the rate moves more between tenths than this process lets it", True
    return verdict.why, False


def _in_seconds(process: Map, rate_rps: float) -> PoissonProcess | Map:
    """Return the process with this rate; time was in mean gaps."""
    if len(process.D0) == 1:
        return PoissonProcess(rate_rps)
    factor = rate_rps / process.rate_rps
    for least in (NEGLIGIBLE, 0.0):
        hidden, D1 = (
            np.where(each > least, np.maximum(each * factor, SLOWEST_PER_S), 0.0) for each in (process.D0, process.D1)
        )
        try:
            found = with_rates(hidden, D1)
        except BadInputError:
            continue  # a rate that is next to nothing is the only way to some phase
        return Map(found.D0 * (rate_rps / found.rate_rps), found.D1 * (rate_rps / found.rate_rps))
    return Map(process.D0 * factor, process.D1 * factor)


def _with_reason(fit: Fit, reason: str) -> Fit:
    return Fit(fit.process, replace(fit.diagnostics, why=f"{fit.diagnostics.why}; {reason}"))
