"""Fits of an hour of known processes, and what the diagnostics say of them."""

import numpy as np
import pytest

from controller.arrivals.fit_mmpp import fit_mmpp, saturation
from controller.arrivals.moments import CountMoments
from controller.arrivals.selection import fit_counts, fit_times
from controller.domain.arrival_map import Map, mmpp, on_off
from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.domain.arrival_statistics import idc, lag1, scv
from controller.errors import BadInputError

FAST = mmpp(np.array([5.0, 50.0]), np.array([[0, 0.5], [1.0, 0]]))
RARE = mmpp(np.array([4.0, 60.0]), np.array([[0, 0.1], [1.0, 0]]))
SLOW = mmpp(np.array([10.0, 120.0]), np.array([[0, 0.05], [0.05, 0]]))


def sample(process, duration_s, seed):
    return sample_arrivals(process, duration_s=duration_s, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("rate", [0.5, 8, 100])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_poisson_is_not_rejected(rate, seed):
    fit = fit_times(sample(PoissonProcess(rate), 1000, seed))
    assert isinstance(fit.process, PoissonProcess)
    assert abs(fit.process.rate_rps - rate) < 4 * fit.diagnostics.rate_error_rps


@pytest.mark.parametrize("truth", [FAST, RARE], ids=["fast", "rare"])
@pytest.mark.parametrize("seed", [1, 2])
def test_bursts_are_fitted_with_their_variability(truth, seed):
    fit = fit_times(sample(truth, 3600, seed))
    assert isinstance(fit.process, Map)
    assert scv(fit.process) == pytest.approx(scv(truth), rel=0.15)
    assert lag1(fit.process) == pytest.approx(lag1(truth), rel=0.15)
    assert fit.process.D1.diagonal() == pytest.approx(truth.D1.diagonal(), rel=0.15)
    assert not fit.diagnostics.is_insufficient


def test_counts_of_a_second_suffice_for_slow_phases():
    counts = np.bincount(sample(SLOW, 3600, 3).astype(int), minlength=3600)
    fit = fit_counts(counts, 1.0)
    assert isinstance(fit.process, Map)
    assert fit.process.D1.diagonal() == pytest.approx([10, 120], rel=0.1)
    assert 1 / fit.process.D0[0, 1] == pytest.approx(20, rel=0.4)
    assert fit.diagnostics.log_likelihood is None


def test_silent_phases_give_no_negative_rate():
    fit = fit_times(sample(on_off(on_rps=40, on_s=5, off_s=15), 1800, 4))
    assert isinstance(fit.process, Map)
    assert fit.process.D1.min() >= 0
    assert fit.process.D1.max() == pytest.approx(40, rel=0.1)


@pytest.mark.parametrize("bursts", [9, 11, 22, 34, 42])
def test_a_silent_phase_has_no_rate_by_rounding(bursts):
    scales_s = np.array([1.0, 2, 4, 8, 16, 32])
    dispersion = 1 + 50 * saturation(0.2 * scales_s) * bursts / 3
    process = fit_mmpp(CountMoments(100 * bursts + 37, 300.0, scales_s, dispersion, np.zeros(6)))
    assert process is not None
    assert process.D1.diagonal().min() == 0


def test_the_rate_error_covers_the_truth():
    errors = []
    for seed in range(20):
        seen = fit_times(sample(FAST, 900, seed)).diagnostics
        errors.append(abs(seen.rate_rps - FAST.rate_rps) / seen.rate_error_rps)
    assert np.mean(np.array(errors) < 2) >= 0.85


def test_diagnostics_report_dispersion_by_scale():
    seen = fit_times(sample(SLOW, 1800, 5)).diagnostics
    assert seen.idc["1"] == pytest.approx(idc(SLOW, 1), rel=0.4)
    assert seen.idc["60"] is not None
    assert "rejects Poisson" in seen.why


def test_too_little_data_is_said_to_be_too_little():
    few = fit_times(sample(FAST, 4, 6))
    assert few.diagnostics.is_insufficient
    assert isinstance(few.process, PoissonProcess)
    short = fit_times(sample(SLOW, 200, 7))
    assert short.diagnostics.is_insufficient
    assert "insufficient" in short.diagnostics.why


def test_a_clock_is_no_burst():
    fit = fit_times(np.arange(0, 500, 0.1))
    assert isinstance(fit.process, PoissonProcess)
    assert "more even" in fit.diagnostics.why
    assert fit.diagnostics.scv == pytest.approx(0, abs=1e-9)


def test_only_the_window_counts():
    times = np.concatenate([np.arange(0, 100, 1.0), np.arange(100, 200, 0.1)])
    assert fit_times(times, from_s=100, until_s=200).process.rate_rps == pytest.approx(10, rel=0.01)
    assert fit_times(times, until_s=99.5).process.rate_rps == pytest.approx(1, rel=0.02)


def test_no_arrivals_is_bad_input():
    with pytest.raises(BadInputError, match="record longer"):
        fit_counts(np.zeros(100), 1.0)
    with pytest.raises(BadInputError, match="widen --from-s"):
        fit_times(np.array([1.0, 2.0]), from_s=5)
