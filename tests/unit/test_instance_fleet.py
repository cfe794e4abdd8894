"""Rented instances: boot, billing, one queue, batches per type, overflow."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.service_time import AffineServiceTimes
from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.performance_model.finite_servers import simulate
from controller.performance_model.instance_fleet import InstanceFleet
from controller.performance_model.instance_group import InstanceType, Overflow

ONE = InstanceType("one", 3.6, (1.0,), boot_s=10.0)
"""A tenth of a cent a second."""
PAIRS = InstanceType("pairs", 3.6, (1.0, 1.5), max_queue_delay_s=0.5)


def run(arrivals, counts=(1,), *, types=(ONE,), until_s=100.0, changes=(), overflow=None):
    fleet = InstanceFleet(types, counts, np.array(arrivals, dtype=float), now_s=0.0, overflow=overflow)
    for at_s, to in changes:
        fleet.advance(at_s)
        fleet.resize(to)
    fleet.advance(until_s)
    return fleet.close()


def test_requests_wait_for_the_instance_that_is_free_first():
    assert run([0.0, 0.1, 0.2], (2,)).latency_s == pytest.approx([1.0, 1.0, 1.8])


def test_a_launched_instance_helps_after_its_boot():
    arrivals = [11.0, 11.1, 12.0, 12.1]
    assert run(arrivals, changes=[(2.0, (2,))]).latency_s == pytest.approx([1.0, 1.9, 1.0, 1.9])
    assert run(arrivals, changes=[(1.0, (2,))]).latency_s == pytest.approx([1.0, 1.0, 1.0, 1.0])


def test_a_request_may_wait_for_a_boot():
    assert run([1.0, 5.0], (0,), changes=[(0.5, (1,))]).latency_s == pytest.approx([10.5, 7.5])


def test_without_any_instance_a_request_is_never_answered():
    assert run([1.0], (0,)).latency_s.tolist() == [math.inf]


def test_boot_idle_time_and_at_least_a_minute_are_paid():
    # Of two that idle the one that was free first ends: it lived 50 s and a minute is billed. The other lives 180 s.
    found = run([0.5], until_s=200.0, changes=[(20.0, (2,)), (50.0, (1,))])
    assert found.instances_usd == pytest.approx((180 + 60) * 0.001)
    assert sorted(found.lives) == [("one", 0.0, 50.0), ("one", 20.0, 200.0)]


def test_what_still_boots_is_ended_before_what_serves():
    found = run([1.0, 1.0, 20.0], (1,), changes=[(2.0, (2,)), (5.0, (1,))])
    assert ("one", 2.0, 5.0) in found.lives
    assert found.latency_s == pytest.approx([1.0, 2.0, 1.0])


def test_an_instance_ends_after_the_batch_it_computes():
    found = run([1.0], (1,), changes=[(1.2, (0,))], until_s=300.0)
    assert found.latency_s == pytest.approx([1.0])
    assert found.lives == (("one", 0.0, 2.0),)


def test_batches_leave_when_full_or_by_their_timer():
    found = run([0.0, 0.2, 5.0], types=(PAIRS,))
    assert found.latency_s == pytest.approx([1.7, 1.5, 1.5])
    assert found.batches == 2


def test_a_batch_stays_open_across_a_change_of_the_fleet():
    found = run([0.9, 1.1], types=(PAIRS,), changes=[(1.0, (2,))])
    assert found.latency_s == pytest.approx([1.7, 1.5])


def test_a_request_that_would_be_late_goes_to_the_function():
    found = run([0.0, 0.1, 0.5], overflow=Overflow(1.5, 0.3, 0.01))
    assert found.is_overflow.tolist() == [False, True, False]
    assert found.latency_s == pytest.approx([1.0, 0.3, 1.5])
    assert (found.overflow_usd, found.batches) == (0.01, 3)


def test_without_instances_all_goes_to_the_function():
    found = run([0.0, 1.0], (0,), overflow=Overflow(1.5, 0.3, 0.01))
    assert found.latency_s == pytest.approx([0.3, 0.3])
    assert found.instances_usd == 0


def test_types_share_requests_by_their_capacity():
    slow = InstanceType("slow", 1.0, (3.0,))
    found = run(np.arange(4000) * 10.0, (1, 1), types=(ONE, slow), until_s=40_000)
    assert (found.latency_s == 1.0).mean() == pytest.approx(0.75, abs=0.005)


def test_answers_are_told_once_and_when_they_are_known():
    fleet = InstanceFleet((ONE,), (1,), np.array([0.0, 0.5]), now_s=0.0)
    told = []
    for at_s in (1.0, 1.5, 3.0, 4.0):
        fleet.advance(at_s)
        told.append(fleet.answered_s().tolist())
    assert told == [[1.0], [], [1.5], []]


def test_one_instance_is_the_server_of_the_other_simulator(rng):
    arrivals = np.cumsum(rng.exponential(1 / 0.7, 5000))
    config = ServingConfig(max_batch_size=1, max_queue_length=100_000)
    other = simulate("finite_work_conserving", arrivals, config=config, service=AffineServiceTimes(1.0, 0.0), rng=rng)
    answered = np.isfinite(other.latency_s)
    found = run(arrivals, until_s=float(arrivals[-1]) + 1)
    kept = np.cumsum(~answered) == 0
    assert kept.sum() > 100
    assert found.latency_s[kept] == pytest.approx(other.latency_s[kept])


@given(
    gaps=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60),
    counts=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    most=st.integers(1, 4),
    bound_s=st.floats(2.0, 6.0),
)
def test_every_request_is_answered_within_the_bound_or_by_the_function(gaps, counts, most, bound_s):
    kind = InstanceType("any", 1.0, tuple(1.0 + 0.2 * k for k in range(most)), max_queue_delay_s=0.3, boot_s=2.0)
    arrivals = np.cumsum(gaps)
    changes = [(5.0 * (k + 1), (count,)) for k, count in enumerate(counts)]
    found = run(arrivals, types=(kind,), changes=changes, overflow=Overflow(bound_s, 0.1, 1.0), until_s=1000.0)
    assert np.isfinite(found.latency_s).all()
    assert found.latency_s[found.is_overflow] == pytest.approx(np.full(found.is_overflow.sum(), 0.1))
    assert found.latency_s.min() >= 0.1 - 1e-9
    assert found.latency_s[~found.is_overflow].max(initial=0.0) <= bound_s + 2.0


@given(
    gaps=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60),
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=5),
)
def test_single_requests_in_turn_are_those_of_batches_of_one_one_after_the_other(gaps, counts):
    # Batches that never find company take the other way through the simulator. Boots do not end whole seconds apart: of
    # two instances that are free at the same instant either may serve next, and then the other one is to be paid.
    arrivals = np.cumsum(gaps) + np.arange(len(gaps)) * 1e-6
    pairs = InstanceType("pairs", 3.6, (1.0, 1.0), boot_s=2.0)
    ones = InstanceType("ones", 3.6, (1.0,), boot_s=2.0)
    changes = [(math.pi * (k + 1), (count,)) for k, count in enumerate(counts)]
    found, other = (run(arrivals, types=(kind,), changes=changes) for kind in (ones, pairs))
    assert found.latency_s == pytest.approx(other.latency_s, abs=1e-9)
    assert found.instances_usd == pytest.approx(other.instances_usd)


@pytest.mark.parametrize(
    "wrong",
    [{"seconds": ()}, {"seconds": (2.0, 1.0)}, {"seconds": (0.0,)}, {"boot_s": -1.0}, {"usd_per_hour": math.nan}],
)
def test_a_type_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(BadInputError, match="instance type x"):
        InstanceType(**{"name": "x", "usd_per_hour": 1.0, "seconds": (1.0,), **wrong})


def test_fewer_instances_than_none_are_refused():
    with pytest.raises(BadInputError, match="fleet: needs 1 counts"):
        run([1.0], changes=[(1.0, (-1,))])
