"""The thorough fit of known processes: what is chosen, its statistics, what intervals cover, when it says too little.

The whole grid is in tests/benchmarks/fitting.py; here are a few of its processes, seeds fixed, bounds stated.
"""

import numpy as np
import pytest

from controller.arrivals.held_out import fit_bins, fit_instants
from controller.arrivals.ladder import Among
from controller.domain.arrival_map import Map, mmpp, on_off
from controller.domain.arrival_process import PoissonProcess, as_map, sample_arrivals
from controller.domain.arrival_statistics import idc, lag1, scv
from controller.errors import BadInputError

W14 = mmpp(np.array([10.0, 120.0]), np.array([[0, 0.05], [0.05, 0]]))
W21 = Map(np.diag([-10.1, -202.0]), np.array([[0.1, 10], [200, 2]]))
QUICK = mmpp(np.array([5.0, 60.0]), np.array([[0, 2.0], [2.0, 0]]))
THREE = Map(np.array([[-6, 1, 0], [0, -41, 1], [0.5, 0, -150.5]]), np.array([[3.0, 2, 0], [0, 30, 10], [50, 0, 100]]))


def sample(process, duration_s, seed):
    return sample_arrivals(process, duration_s=duration_s, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("rate", [0.5, 20])
def test_poisson_is_chosen_for_poisson(rate):
    fit = fit_instants(sample(PoissonProcess(rate), 900, 11))
    assert isinstance(fit.process, PoissonProcess)
    assert not fit.diagnostics.is_insufficient


@pytest.mark.parametrize(
    ("truth", "duration_s", "name"),
    [(W21, 600, "map(2)"), (QUICK, 900, "mmpp(2)"), (on_off(on_rps=40, on_s=2, off_s=6), 1800, "mmpp(2)")],
    ids=["changes at arrivals", "quick phases", "on-off"],
)
def test_variability_and_correlation_are_found(truth, duration_s, name):
    fit = fit_instants(sample(truth, duration_s, 12), among=Among(most_phases=2))
    assert fit.diagnostics.why.startswith(name)
    assert scv(as_map(fit.process)) == pytest.approx(scv(truth), rel=0.15)
    assert lag1(as_map(fit.process)) == pytest.approx(lag1(truth), rel=0.15, abs=0.01)
    assert not fit.diagnostics.is_insufficient


def test_three_phases_are_chosen_where_two_do_not_do():
    fit = fit_instants(sample(THREE, 900, 13), among=Among(most_phases=3))
    assert fit.diagnostics.why.startswith("map(3)")
    assert scv(as_map(fit.process)) == pytest.approx(scv(THREE), rel=0.15)
    assert fit.diagnostics.candidates[0].name == "poisson"
    assert fit.diagnostics.candidates[0].behind_best > 3


def test_intervals_of_the_rate_cover_it_with_slow_phases():
    covered, errors = 0, []
    for seed in range(20, 32):
        counts = np.bincount(sample(W14, 3600, seed).astype(int), minlength=3600).astype(float)
        seen = fit_bins(counts, 1.0, among=Among("mmpp", 2)).diagnostics
        low, high = seen.rate_interval_rps
        covered += low <= 65 <= high
        errors.append(abs(seen.rate_rps / 65 - 1))
    assert covered >= 10  # of 12: at 90 % each, fewer have a probability of 0.11; the seeds are fixed
    assert np.median(errors) <= 1.3 * np.sqrt(idc(W14, np.inf) / (65 * 3600))


def test_intervals_of_variability_and_correlation_cover_them():
    seen = fit_instants(sample(W21, 600, 14), among=Among("map", 2)).diagnostics
    assert seen.scv_interval[0] < scv(W21) < seen.scv_interval[1]
    assert seen.lag1_interval[0] < lag1(W21) < seen.lag1_interval[1]


def test_no_interval_of_the_correlation_where_a_handful_of_pairs_makes_its_error():
    bursts = on_off(on_rps=40, on_s=2, off_s=6)
    seen = fit_instants(sample(bursts, 1800, 14), among=Among("mmpp", 2)).diagnostics
    assert seen.scv_interval[0] < scv(bursts) < seen.scv_interval[1]
    assert seen.lag1_interval is None


def test_counts_of_a_second_suffice_for_slow_phases():
    counts = np.bincount(sample(W14, 3600, 3).astype(int), minlength=3600).astype(float)
    fit = fit_bins(counts, 1.0, among=Among(most_phases=2))
    assert fit.diagnostics.why.startswith("mmpp(2)")
    assert np.diag(fit.process.D1) == pytest.approx([10, 120], rel=0.05)
    assert scv(fit.process) == pytest.approx(scv(W14), rel=0.15)
    assert lag1(fit.process) == pytest.approx(lag1(W14), rel=0.15)
    assert fit.diagnostics.scv_interval is None


def test_one_kind_may_be_asked_for():
    times = sample(QUICK, 600, 15)
    only = fit_instants(times, among=Among("poisson"))
    assert isinstance(only.process, PoissonProcess)
    assert only.diagnostics.is_insufficient  # more drift between tenths than Poisson's
    assert [each.name for each in fit_instants(times, among=Among("mmpp", 2)).diagnostics.candidates] == ["mmpp(2)"]
    assert [each.name for each in fit_instants(times, among=Among("map", 2)).diagnostics.candidates] == ["map(2)"]


def test_a_step_of_the_rate_is_no_law():
    before, after = sample(PoissonProcess(10), 900, 16), 900 + sample(PoissonProcess(30), 900, 17)
    fit = fit_instants(np.concatenate([before, after]))
    assert fit.diagnostics.is_insufficient
    assert "insufficient data" in fit.diagnostics.why
    low, high = fit.diagnostics.rate_interval_rps
    assert low < 10
    assert high > 30


def test_too_few_changes_of_phase_are_said_to_be_too_few():
    seen = fit_instants(sample(W14, 200, 7), among=Among(most_phases=2)).diagnostics
    assert seen.is_insufficient
    assert "changes of phase were seen" in seen.why


def test_few_arrivals_tell_a_rate_only():
    seen = fit_instants(sample(PoissonProcess(1), 60, 8)).diagnostics
    assert seen.is_insufficient
    assert "tell a rate only" in seen.why
    assert seen.rate_interval_rps[0] < 1 < seen.rate_interval_rps[1]


def test_one_burst_in_a_long_silence_tells_a_rate_only():
    fit = fit_instants(500 + sample(PoissonProcess(100), 2, 9), from_s=0, until_s=1000)
    assert fit.diagnostics.is_insufficient
    assert isinstance(fit.process, PoissonProcess)


def test_a_clock_is_more_even_than_phases_can_be():
    fit = fit_instants(np.arange(0, 500, 0.1))
    assert isinstance(fit.process, PoissonProcess)
    assert "more even" in fit.diagnostics.why
    assert not fit.diagnostics.is_insufficient


def test_constant_counts_are_no_burst():
    fit = fit_bins(np.full(500, 7.0), 1.0, among=Among(most_phases=2))
    assert not fit.process.rate_rps > 7.001
    assert fit.diagnostics.rate_interval_rps[0] < 7 < fit.diagnostics.rate_interval_rps[1]


def test_a_silence_that_no_law_explains_widens_the_interval():
    times = np.append(sample(PoissonProcess(10), 300, 4), [5000.0, 5000.1])
    seen = fit_instants(times, from_s=0, among=Among("poisson")).diagnostics
    assert seen.is_insufficient
    assert seen.rate_interval_rps[0] == 0


def test_gaps_more_even_than_poisson_get_phases_in_turn():
    times = np.cumsum(np.random.default_rng(10).gamma(2, 0.5, 4000))
    fit = fit_instants(times, among=Among(most_phases=2))
    assert fit.diagnostics.why.startswith("map(2)")
    assert scv(fit.process) == pytest.approx(0.5, rel=0.1)


def test_rounded_instants_are_spread_or_counted():
    times = sample(QUICK, 600, 18)
    exact, fine, coarse = (
        fit_instants(each, among=Among("mmpp", 2)) for each in (times, np.round(times, 3), np.floor(times * 4) / 4)
    )
    assert scv(fine.process) == pytest.approx(scv(exact.process), rel=0.05)
    assert "taken for counts" in coarse.diagnostics.why
    assert scv(coarse.process) == pytest.approx(scv(exact.process), rel=0.15)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([], "at least one arrival instant, got none"),
        ([1.0, 3.0, 2.0], "must ascend, got 2 after 3"),
        ([-1.0, 2.0], "must not be negative, got -1"),
        ([1.0, np.nan], "must be finite, got nan"),
        ([1.0, 2.0], "at least three instants"),
        ([5.0] * 200, "at least three instants"),
    ],
)
def test_hostile_instants_are_named(times, words):
    with pytest.raises(BadInputError, match=words):
        fit_instants(np.array(times))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([], "at least one arrival"),
        ([0, 0], "at least one arrival"),
        ([1, -1], "whole and at least 0, got -1 in bin 1"),
        ([0.5], "got 0.5 in bin 0"),
        ([np.inf], "got inf in bin 0"),
        ([1e6], "at most 4096 arrivals, got 1e"),
    ],
)
def test_hostile_counts_are_named(counts, words):
    with pytest.raises(BadInputError, match=words):
        fit_bins(np.array(counts, dtype=float), 1.0)


@pytest.mark.parametrize("rate", [1e-6, 1e5])
def test_the_unit_of_time_does_not_matter(rate):
    times = sample(QUICK, 60, 19)
    plain, scaled = (fit_instants(each, among=Among("mmpp", 2)) for each in (times, times / rate))
    assert scv(scaled.process) == pytest.approx(scv(plain.process), rel=0.05)
