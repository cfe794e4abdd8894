"""The simplest process the data do not reject: Poisson, else a Markov-modulated Poisson process with two phases."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.fit_diagnosis import (
    LEAST_ARRIVALS,
    LEAST_SWITCHES,
    Diagnostics,
    Fit,
    changes_of_phase,
    rate_error,
    rate_interval,
)
from controller.arrivals.fit_mmpp import fit_mmpp
from controller.arrivals.instants import check_instants
from controller.arrivals.likelihood import log_likelihood
from controller.arrivals.moments import CountMoments, gap_statistics, idc_at, measure_counts
from controller.domain.arrival_process import PoissonProcess
from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map

REJECT_AT = 3.5
"""Standard errors by which the dispersion of one time scale must exceed Poisson's; about 1 in 300 over ten scales."""
MOST_BINS = 200_000
ARRIVALS_PER_BIN = 2.0


def fit_times(times_s: NDArray[np.float64], *, from_s: float | None = None, until_s: float | None = None) -> Fit:
    """Fit instants, ascending; those in [from_s, until_s] count.

    Without bounds the observation goes from the first instant, which then is its origin and not counted, to the last.

    Raises:
        BadInputError: instants that do not ascend from 0 on, fewer than two are left, or no time between them.
    """
    inside, start, end = observation(times_s, from_s, until_s)
    counts, bin_s = count_in_bins(inside, start, end)
    return _fit(counts, bin_s, inside)


def observation(
    times_s: NDArray[np.float64], from_s: float | None, until_s: float | None
) -> tuple[NDArray[np.float64], float, float]:
    """Return the instants that count, see `fit_times`, and the first and last second of the observation."""
    check_instants(times_s)
    start = float(times_s[0]) if from_s is None else from_s
    end = float(times_s[-1]) if until_s is None else until_s
    inside = times_s[(times_s > start if from_s is None else times_s >= start) & (times_s <= end)]
    if inside.size < 2 or end <= start:
        raise BadInputError(
            f"fit: needs at least three instants between {start:g} and {end:g} s, got {inside.size}; "
            "widen --from-s and --until-s or record longer"
        )
    return inside, start, end


def count_in_bins(
    inside: NDArray[np.float64], start: float, end: float, most_bins: int = MOST_BINS
) -> tuple[NDArray[np.float64], float]:
    """Return counts in equal bins of about two arrivals, at most a second or a thousandth, and their width in s."""
    duration = end - start
    bin_s = min(max(ARRIVALS_PER_BIN * duration / inside.size, duration / most_bins), max(1.0, duration / 1000))
    n_bins = max(1, int(duration / bin_s))
    counts, _ = np.histogram(inside, bins=n_bins, range=(start, end))
    return counts.astype(np.float64), duration / n_bins


def fit_counts(counts: NDArray[np.float64], bin_s: float) -> Fit:
    """Fit counts in equal bins.

    Raises:
        BadInputError: no arrival at all.
    """
    if counts.size == 0 or counts.sum() <= 0:
        raise BadInputError("fit: needs at least one arrival, got none; record longer")
    return _fit(counts.astype(np.float64), bin_s, None)


def _fit(counts: NDArray[np.float64], bin_s: float, times_s: NDArray[np.float64] | None) -> Fit:
    moments = measure_counts(counts, bin_s)
    process, why, is_insufficient = _select(moments, times_s)
    gaps = gap_statistics(times_s) if times_s is not None and times_s.size > 3 else (None, None)
    likelihood = None if times_s is None else log_likelihood(process, _positive_gaps(times_s))
    error = rate_error(process, moments.rate_rps, moments.duration_s)
    diagnostics = Diagnostics(
        n=moments.n,
        duration_s=moments.duration_s,
        rate_rps=moments.rate_rps,
        rate_error_rps=error,
        scv=gaps[0],
        lag1=gaps[1],
        idc={f"{scale:g}": idc_at(counts, bin_s, scale) for scale in (1.0, 10.0, 60.0)},
        log_likelihood=likelihood,
        why=why,
        is_insufficient=is_insufficient,
        rate_interval_rps=rate_interval(moments.rate_rps, error, changes_of_phase(process, moments.duration_s)),
    )
    return Fit(process, diagnostics)


def _select(moments: CountMoments, times_s: NDArray[np.float64] | None) -> tuple[PoissonProcess | Map, str, bool]:
    """Return the process, the reason, and whether the data are insufficient for it."""
    poisson = PoissonProcess(moments.rate_rps)
    if moments.n < LEAST_ARRIVALS:
        return poisson, f"poisson: insufficient data, {moments.n} arrivals tell a rate only", True
    # For Poisson counts an estimate of the dispersion from k windows has a standard error of about sqrt(2 / k).
    errors = (moments.idc - 1) / np.sqrt(2 * moments.scales_s / moments.duration_s)
    worst = int(np.argmax(errors))
    found = f"counts in {moments.scales_s[worst]:.3g} s windows have dispersion {moments.idc[worst]:.3g}"
    if errors[worst] < REJECT_AT:
        is_even = errors.min() < -REJECT_AT
        why = (
            "counts are more even than Poisson's, which is the cautious choice" if is_even else f"not rejected; {found}"
        )
        return poisson, f"poisson: {why}", False
    process = fit_mmpp(moments)
    if process is None or (times_s is not None and not _is_likelier(process, poisson, times_s)):
        return poisson, f"poisson: {found}, but two phases do not make the arrivals likelier", process is None
    switches = changes_of_phase(process, moments.duration_s)
    if switches < LEAST_SWITCHES:
        return process, f"mmpp: {found}; insufficient data, about {switches:.0f} changes of phase were seen", True
    return process, f"mmpp: {found}, which rejects Poisson by {errors[worst]:.0f} standard errors", False


def _is_likelier(process: Map, poisson: PoissonProcess, times_s: NDArray[np.float64]) -> bool:
    """Say whether three more parameters are worth it, by the Bayesian information criterion."""
    gaps = _positive_gaps(times_s)
    gain = log_likelihood(process, gaps) - log_likelihood(poisson, gaps)
    return 2 * gain > 3 * math.log(gaps.size)


def _positive_gaps(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gaps; equal instants, which come from rounded clocks, are a nanosecond apart."""
    return np.maximum(np.diff(times_s), 1e-9)
