"""Laws of the exact buffer model that hold for every arrival process, batch size and delay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain.arrival_map import Map, mmpp
from controller.domain.arrival_process import PoissonProcess
from controller.domain.service_time import AffineServiceTimes
from controller.errors import BadInputError
from controller.performance_model.batch_queue import BatchQueue
from controller.performance_model.latency import LatencyLaw
from controller.performance_model.service_law import service_law

RATES = st.floats(0.5, 150)
SWITCHING = st.floats(0.01, 20)
SIZES = st.integers(1, 12)
DELAYS = st.sampled_from([0.0, 0.003, 0.02, 0.1, 0.4])
quick = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def maps(draw):
    """Any Map with two phases: hidden and visible changes of phase."""
    rates = [draw(RATES) for _ in range(4)]
    hidden = [draw(SWITCHING) for _ in range(2)]
    D1 = np.array([[rates[0], rates[1]], [rates[2], rates[3]]])
    off = np.array([[0, hidden[0]], [hidden[1], 0]])
    return Map(off - np.diag(off.sum(axis=1) + D1.sum(axis=1)), D1)


def solve(process, size, delay):
    return BatchQueue.solve(process, max_batch_size=size, max_queue_delay_s=delay)


@quick
@given(maps(), SIZES, DELAYS)
def test_probabilities_sum_to_one_and_requests_are_conserved(process, size, delay):
    law = solve(process, size, delay)
    assert law.batch_size_pmf.sum() == pytest.approx(1)
    assert law.batch_size_pmf.min() >= 0
    assert law.batches_per_s * law.mean_batch_size == pytest.approx(process.rate_rps)


@quick
@given(maps(), SIZES, DELAYS)
def test_waiting_laws_rise_and_stay_below_the_requests_in_such_batches(process, size, delay):
    law = solve(process, size, delay)
    most = law.batch_size_pmf * np.arange(1, size + 1)
    assert (np.diff(law.waiting, axis=1) >= -1e-9).all()
    assert (law.waiting <= most[:, None] + 1e-9).all()
    # The first request of a batch that timed out has waited exactly T: an atom of the size of the batch's share.
    if delay > 0:
        jumps = most - law.waiting[:, -1]
        assert jumps[:-1] == pytest.approx(law.batch_size_pmf[:-1], abs=1e-9)
        assert law.waiting[-1, 0] == pytest.approx(law.batch_size_pmf[-1], abs=1e-9)


@quick
@given(maps(), st.integers(2, 10), st.sampled_from([0.003, 0.02, 0.1]))
def test_the_mean_wait_obeys_littles_law(process, size, delay):
    # Mean number waiting = rate x mean wait; by renewal at the first request of a batch it is also the expected
    # integral of the number in the buffer over a batch, times batches per second.
    law = solve(process, size, delay)
    queue = BatchQueue.tabulate(process, max_batch_size=size, delay_step_s=delay, n_delays=1)
    start = queue.slice_at(queue.counts.n_steps).start_phase[size - 1]
    inside = np.einsum("a,abk->k", start, queue.counts.integral[:, :, : size - 1, -1])
    waiting = float(inside @ np.arange(1, size)) * law.batches_per_s
    assert law.mean_wait_s * process.rate_rps == pytest.approx(waiting, rel=1e-4)


@quick
@given(maps(), SIZES, DELAYS, st.sampled_from([0.1, 7.0]))
def test_scaling_time_scales_latency(process, size, delay, factor):
    slower = Map(process.D0 / factor, process.D1 / factor)
    service, slow_service = AffineServiceTimes(0.01, 0.02), AffineServiceTimes(0.01 * factor, 0.02 * factor)
    latency = LatencyLaw(solve(process, size, delay), service_law(service, size))
    scaled = LatencyLaw(solve(slower, size, delay * factor), service_law(slow_service, size))
    for q in (0.3, 0.95):
        assert scaled.quantile(q) == pytest.approx(factor * latency.quantile(q), rel=1e-6)


@quick
@given(maps(), SIZES, DELAYS)
def test_relabelling_phases_changes_nothing(process, size, delay):
    swapped = Map(process.D0[::-1, ::-1], process.D1[::-1, ::-1])
    assert solve(swapped, size, delay).waiting == pytest.approx(solve(process, size, delay).waiting, abs=1e-9)


@quick
@given(maps(), SIZES, DELAYS, st.floats(0.1, 0.9), SWITCHING)
def test_splitting_a_phase_in_two_changes_nothing(process, size, delay, share, switching):
    # Phase 1 becomes two that behave alike: whatever enters it goes to the first with this share.
    into = np.array([[1, 0, 0], [0, share, 1 - share]])
    D0, D1 = (matrix[[0, 1, 1]] @ into for matrix in (process.D0 - np.diag(np.diag(process.D0)), process.D1))
    D0[1, 2] += switching
    D0[2, 1] += 2 * switching
    D0 -= np.diag(D0.sum(axis=1) + D1.sum(axis=1))
    law, split = solve(process, size, delay), solve(Map(D0, D1), size, delay)
    assert split.batch_size_pmf == pytest.approx(law.batch_size_pmf, abs=1e-7)
    # The grids of the two differ with their fastest phases, so waiting is compared where both are exact.
    assert split.mean_wait_s == pytest.approx(law.mean_wait_s, rel=1e-3, abs=1e-9)


@quick
@given(RATES, SWITCHING, SIZES, DELAYS)
def test_phases_with_equal_rates_are_poisson(rate, switching, size, delay):
    split = mmpp(np.array([rate, rate]), np.array([[0, switching], [2 * switching, 0]]))
    law, poisson = solve(split, size, delay), solve(PoissonProcess(rate), size, delay)
    assert law.batch_size_pmf == pytest.approx(poisson.batch_size_pmf, abs=1e-9)
    assert law.mean_wait_s == pytest.approx(poisson.mean_wait_s, rel=1e-3, abs=1e-9)


@quick
@given(maps(), st.integers(2, 8))
def test_a_vanishing_delay_sends_single_requests_and_an_endless_one_full_batches(process, size):
    assert solve(process, size, 1e-9).batch_size_pmf[0] == pytest.approx(1, abs=1e-5)
    patient = solve(process, size, 60 * size / process.rate_rps)
    assert patient.batch_size_pmf[-1] == pytest.approx(1, abs=1e-3)


@quick
@given(maps(), SIZES, DELAYS, st.floats(0.01, 0.99))
def test_a_quantile_is_the_least_latency_that_reaches_it(process, size, delay, q):
    latency = LatencyLaw(solve(process, size, delay), service_law(AffineServiceTimes(0.01, 0.02), size))
    found = latency.quantile(q)
    assert latency.cdf(found) >= q - 1e-9
    assert latency.cdf(found * (1 - 1e-9) - 1e-12) <= q + 1e-9
    assert 0.03 <= found <= 0.01 + 0.02 * size + delay


def test_an_endless_delay_gives_full_batches_with_the_mean_wait_of_a_full_batch():
    # The i-th of 20 waits for 20 - i more arrivals: (B - 1) / (2 rate) on average.
    law = solve(PoissonProcess(20), 20, 3600.0)
    assert law.mean_batch_size == pytest.approx(20)
    assert law.mean_wait_s == pytest.approx(19 / 40, rel=1e-6)
    assert law.span_s < 20


def test_more_arrivals_than_the_exact_model_takes_are_declined():
    rare = mmpp(np.array([0.0, 5000.0]), np.array([[0, 0.001], [1, 0]]))
    with pytest.raises(BadInputError, match=r"too many for the exact model; lower it below 2 s"):
        solve(rare, 20, 60.0)
    with pytest.raises(BadInputError, match="at most 512, got 513"):
        solve(rare, 513, 0.1)


def test_one_request_a_batch_waits_for_nothing():
    for size, delay in ((1, 0.3), (5, 0.0)):
        law = solve(PoissonProcess(9), size, delay)
        assert law.batch_size_pmf[0] == 1
        assert law.mean_wait_s == 0
        assert LatencyLaw(law, service_law(AffineServiceTimes(0.01, 0.02), size)).quantile(0.99) == pytest.approx(0.03)
