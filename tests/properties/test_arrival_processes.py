"""Laws of arrival processes, their statistics and their sampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.arrivals.likelihood import log_likelihood
from controller.domain.arrival_map import Map, mmpp
from controller.domain.arrival_process import PoissonProcess, as_map, sample_arrivals
from controller.domain.arrival_statistics import exponential, idc, lag1, scv

RATES = st.floats(0.5, 100)
SWITCHING = st.floats(0.01, 10)
quick = settings(max_examples=30, deadline=None, derandomize=True)


@st.composite
def maps(draw):
    """Any Map with two phases."""
    D1 = np.array([[draw(RATES), draw(RATES)], [draw(RATES), draw(RATES)]])
    off = np.array([[0, draw(SWITCHING)], [draw(SWITCHING), 0]])
    return Map(off - np.diag(off.sum(axis=1) + D1.sum(axis=1)), D1)


@quick
@given(maps())
def test_the_stationary_law_is_one_and_balanced(process):
    pi = process.stationary
    assert pi.sum() == pytest.approx(1)
    assert pi @ (process.D0 + process.D1) == pytest.approx(np.zeros(2), abs=1e-9)
    assert pi.min() > 0


@quick
@given(RATES, st.floats(0.01, 100))
def test_poisson_has_no_memory(rate, t_s):
    process = as_map(PoissonProcess(rate))
    assert scv(process) == pytest.approx(1)
    assert lag1(process) == pytest.approx(0, abs=1e-9)
    assert idc(process, t_s) == pytest.approx(1)


@quick
@given(RATES, RATES, SWITCHING, SWITCHING, st.floats(0.01, 50))
def test_mmpp_dispersion_has_its_closed_form(low, high, up, down, t_s):
    process = mmpp(np.array([low, high]), np.array([[0, up], [down, 0]]))
    share, g = up / (up + down), up + down
    variance = share * (1 - share) * (high - low) ** 2
    expected = 1 + 2 * variance / (process.rate_rps * g) * (1 + np.expm1(-g * t_s) / (g * t_s))
    assert idc(process, t_s) == pytest.approx(expected, rel=1e-6)


@quick
@given(maps(), st.floats(0.0, 30.0))
def test_the_exponential_of_a_generator_is_stochastic_and_a_semigroup(process, t_s):
    Q = process.D0 + process.D1
    whole, half = exponential(Q * t_s), exponential(Q * t_s / 2)
    assert whole.sum(axis=1) == pytest.approx(np.ones(2))
    assert whole == pytest.approx(half @ half, abs=1e-9)


@quick
@given(maps(), st.integers(0, 2**31))
def test_samples_are_sorted_and_reproducible(process, seed):
    first, again = (sample_arrivals(process, duration_s=2.0, rng=np.random.default_rng(seed)) for _ in range(2))
    assert (np.diff(first) >= 0).all()
    assert ((first >= 0) & (first < 2)).all()
    assert first.tobytes() == again.tobytes()


@quick
@given(maps(), st.lists(st.floats(1e-4, 0.2), min_size=1, max_size=7))
def test_likelihood_by_pairs_equals_likelihood_step_by_step(process, gaps):
    state = process.stationary @ process.D1 / process.rate_rps
    for gap in gaps:
        state = state @ exponential(process.D0 * gap) @ process.D1
    assert log_likelihood(process, np.array(gaps)) == pytest.approx(np.log(state.sum()), rel=1e-6)


def test_statistics_of_published_processes():
    bursty = mmpp(np.array([10.0, 120]), np.array([[0, 0.05], [0.05, 0]]))
    assert (bursty.rate_rps, scv(bursty), lag1(bursty)) == pytest.approx((65, 6.0145, 0.41462), rel=1e-3)
    negative = Map(np.array([[-11.0, 0], [0, -202.0]]), np.array([[1.0, 10], [200, 2]]))
    assert (negative.rate_rps, scv(negative), lag1(negative)) == pytest.approx((20.1, 2.49, -0.269), rel=3e-3)
