"""Likelihoods of gaps and counts with their slopes, against plain products and differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.arrivals.count_likelihood import CountLikelihood
from controller.arrivals.expectation_maximisation import maximise
from controller.arrivals.gap_likelihood import GapLikelihood
from controller.arrivals.likelihood import log_likelihood
from controller.arrivals.map_starts import in_turn, split_mmpp, splits, two_phases
from controller.domain.arrival_map import Map, mmpp
from controller.domain.arrival_process import PoissonProcess, as_map, sample_arrivals
from controller.domain.arrival_statistics import exponential, lag1, scv

RATES = st.floats(0.05, 20)
quick = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def maps(draw):
    """Any Map with one to four phases, hardly one with equal phases."""
    m = draw(st.integers(1, 4))
    D1 = np.array([[draw(RATES) for _ in range(m)] for _ in range(m)]) + np.diag(np.arange(m) * 0.37)
    off = np.array([[draw(RATES) for _ in range(m)] for _ in range(m)]) * (1 - np.eye(m))
    return Map(off - np.diag(off.sum(axis=1) + D1.sum(axis=1)), D1)


def at_arrivals(process):
    return process.stationary @ process.D1 / process.rate_rps


@quick
@given(maps(), st.lists(st.floats(0, 3), min_size=1, max_size=60), st.integers(0, 60))
def test_chains_cut_in_pieces_are_as_likely_as_plain_products(process, gaps, cut):
    stretches = [each for each in np.split(np.array(gaps), [min(cut, len(gaps))]) if each.size]
    found = GapLikelihood(stretches)(process.D0, process.D1, at_arrivals(process)).log_likelihoods
    assert found == pytest.approx([log_likelihood(process, each) for each in stretches], rel=1e-7, abs=1e-7)


@quick
@given(maps(), st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_counts_are_as_likely_as_the_blocks_of_one_large_exponential(process, counts):
    bin_s, n, m = 0.2, max(counts) + 1, len(process.D0)
    whole = np.kron(np.eye(n), process.D0) + np.kron(np.eye(n, k=1), process.D1)
    row = exponential(whole * bin_s)[:m].reshape(m, n, m)
    state, expected = process.stationary, 0.0
    for count in counts:
        state = state @ row[:, count]
        expected += np.log(state.sum())
        state = state / state.sum()
    found = CountLikelihood([np.array(counts, dtype=float)], bin_s)(process.D0, process.D1, process.stationary)
    assert found.log_likelihood == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("observe", ["gaps", "counts"])
def test_slopes_are_those_of_small_steps(observe):
    rng = np.random.default_rng(1)
    D1 = np.array([[3.0, 1, 0.5], [0.2, 20, 1], [1, 2, 8]])
    off = np.array([[0, 0.3, 0.1], [0.2, 0, 0.7], [0.4, 0.1, 0]])
    process = Map(off - np.diag(off.sum(axis=1) + D1.sum(axis=1)), D1)
    times = sample_arrivals(process, duration_s=60, rng=rng)
    stretches = [np.diff(times)[:200], np.diff(times)[210:]]
    counts = np.bincount((times / 0.25).astype(int), minlength=240).astype(float)
    likelihood = GapLikelihood(stretches) if observe == "gaps" else CountLikelihood([counts[:90], counts[90:]], 0.25)
    start = likelihood.start_law(process)
    slopes = likelihood(process.D0, process.D1, start)
    for i, j in np.ndindex(3, 3):
        step = np.zeros((3, 3))
        step[i, j] = 1e-5
        up, down = (likelihood(process.D0 + s * step, process.D1, start).log_likelihood for s in (1, -1))
        assert slopes.hidden[i, j] == pytest.approx((up - down) / 2e-5, rel=1e-4)
        up, down = (likelihood(process.D0, process.D1 + s * step, start).log_likelihood for s in (1, -1))
        assert slopes.arriving[i, j] == pytest.approx((up - down) / 2e-5, rel=1e-4)


def test_coinciding_eigenvalues_are_no_obstacle():
    process = in_turn(4, 3.0)
    defective = Map(np.array([[-6.0, 6, 0], [0, -6, 6], [0, 0, -6]]), np.array([[0, 0, 0], [0, 0, 0], [6.0, 0, 0]]))
    gaps = np.random.default_rng(2).gamma(3, 1 / 6, 300)
    for each in (process, defective):
        found = GapLikelihood([gaps])(each.D0, each.D1, at_arrivals(each)).log_likelihood
        assert found == pytest.approx(log_likelihood(each, gaps), abs=0.05)


def test_a_long_silence_is_unlikely_and_not_impossible():
    process = mmpp(np.array([5.0, 50.0]), np.array([[0, 1.0], [1.0, 0]]))
    found = GapLikelihood([np.array([0.1, 500.0, 0.1])])(process.D0, process.D1, process.stationary)
    slowest = np.linalg.eigvals(process.D0).real.max()
    assert found.log_likelihood == pytest.approx(500 * slowest, abs=12)
    assert np.isfinite(found.hidden).all()


def test_each_expectation_step_makes_the_data_likelier_and_keeps_zeros():
    truth = mmpp(np.array([0.3, 3.0]), np.array([[0, 0.05], [0.1, 0]]))
    times = sample_arrivals(truth, duration_s=3000, rng=np.random.default_rng(3))
    likelihood = GapLikelihood([np.diff(times)])
    start = mmpp(np.array([0.8, 1.5]), np.array([[0, 0.3], [0.3, 0]]))
    likely = [maximise(likelihood, start, expectation_steps=k, most_evaluations=1)[1] for k in (1, 3, 10)]
    found, best = maximise(likelihood, start)
    assert np.all(np.diff(likely) > 0)
    assert best == pytest.approx(likely[-1], abs=0.2)
    assert (np.diag(np.diag(found.D1)) == found.D1).all()
    assert np.diag(found.D1) == pytest.approx([0.3, 3.0], rel=0.2)


def test_two_phases_have_the_moments_of_the_gaps():
    truth = Map(np.diag([-10.1, -202.0]), np.array([[0.1, 10], [200, 2]]))
    start = two_phases(sample_arrivals(truth, duration_s=3600, rng=np.random.default_rng(4)))
    assert start.rate_rps == pytest.approx(truth.rate_rps, rel=0.05)
    assert scv(start) == pytest.approx(scv(truth), rel=0.05)
    assert lag1(start) == pytest.approx(lag1(truth), rel=0.15)


@pytest.mark.parametrize("shape", [1, 2, 30])
def test_gaps_as_even_as_they_may_be_have_a_start(shape):
    times = np.cumsum(np.random.default_rng(5).gamma(shape, 1 / shape, 5000))
    assert two_phases(times).rate_rps == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("split", [split_mmpp, lambda process: splits(process)[0], lambda process: splits(process)[1]])
def test_a_split_phase_keeps_the_rate_about(split):
    process = mmpp(np.array([10.0, 120.0]), np.array([[0, 0.05], [0.05, 0]]))
    larger = split(process)
    assert len(larger.D0) == 3
    assert larger.rate_rps == pytest.approx(process.rate_rps, rel=0.5)


def test_poisson_counts_have_their_known_likelihood():
    one = as_map(PoissonProcess(4.0))
    found = CountLikelihood([np.array([0.0, 1, 2, 8])], 0.5)(one.D0, one.D1, np.ones(1)).log_likelihood
    factorials = np.log([1, 1, 2, 40320]).sum()
    assert found == pytest.approx(11 * np.log(2.0) - 8 - factorials, rel=1e-9)
