"""Environments of a function: which call is cold, which is throttled, what it costs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.service_time import AffineServiceTimes
from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.performance_model.finite_servers import simulate
from controller.performance_model.function_environments import FunctionLimits, serve_calls, with_environments


def serve(leaves_s, call_s, **limits):
    leaves_s = np.array(leaves_s, dtype=float)
    return serve_calls(
        leaves_s, np.broadcast_to(np.array(call_s, dtype=float), leaves_s.shape), FunctionLimits(**limits)
    )


def buffered(rng, *, size=4, delay_s=0.1, rate_rps=20.0, n=2000):
    config = ServingConfig(max_batch_size=size, max_queue_delay_s=delay_s)
    arrivals = np.cumsum(rng.exponential(1 / rate_rps, n))
    return simulate("infinite_timer", arrivals, config=config, service=AffineServiceTimes(0.2, 0.05), rng=rng)


def test_a_call_is_cold_where_no_environment_is_idle():
    # The second comes while the first computes; the third finds both idle.
    assert serve([0.0, 0.5, 2.0], 1.0).is_cold.tolist() == [True, True, False]


def test_an_environment_serves_up_to_its_keep_alive_and_not_beyond():
    assert serve([0.0, 4.0], 1.0, keep_alive_s=3.0).is_cold.tolist() == [True, False]
    assert serve([0.0, 4.1], 1.0, keep_alive_s=3.0).is_cold.tolist() == [True, True]


def test_the_environment_that_was_idle_last_is_taken_so_that_the_other_ages():
    # Both are idle at 2.0; calls every 2 s keep one of them alone alive, and the burst at 9.0 misses the other.
    served = serve([0.0, 0.5, 3.0, 5.0, 7.0, 9.0, 9.1], 1.0, keep_alive_s=3.0)
    assert served.is_cold.tolist() == [True, True, False, False, False, False, True]
    assert served.lives == [(0.0, 1.0), (0.5, 10.0), (9.1, 10.1)]


def test_an_init_delays_the_call_and_is_billed():
    served = serve([0.0, 1.5, 4.0], 1.0, init_s=2.0)
    # At 1.5 the first environment still starts, so that a second one does too.
    assert served.is_cold.tolist() == [True, True, False]
    assert served.lives == [(0.0, 5.0), (1.5, 4.5)]


def test_an_init_beyond_ten_seconds_runs_twice():
    assert FunctionLimits(init_s=10.0).cold_s == 10.0
    assert FunctionLimits(init_s=12.0).cold_s == 22.0


def test_calls_beyond_the_concurrency_are_throttled():
    served = serve([0.0, 0.1, 0.2, 1.05], 1.0, concurrency=2)
    assert served.is_throttled.tolist() == [False, False, True, False]
    assert served.is_cold.tolist() == [True, True, False, False]


def test_environments_start_no_faster_than_the_platform_lets_them():
    # Five at once and then two a second: of 20 calls in 1.9 s, five and 1.9 x 2 starts.
    served = serve(np.arange(20) * 0.1, 100.0, starts=5, starts_per_s=2.0)
    assert (~served.is_throttled).sum() == 8
    assert (~served.is_throttled[:5]).all()


def test_unused_starts_do_not_add_up():
    served = serve(np.full(10, 1e6), 1.0, starts=5)
    assert served.is_throttled.sum() == 5


def test_without_age_and_limits_only_the_first_calls_are_cold(rng):
    plain = buffered(rng)
    seen = with_environments(plain, FunctionLimits(init_s=1.0), memory_mb=1769)
    last_cold = np.flatnonzero(seen.request_class == "cold_start").max()
    assert 0 < seen.count("cold_start") < 200
    assert last_cold < 1500
    assert seen.latency_s[last_cold + 1 :].tolist() == plain.latency_s[last_cold + 1 :].tolist()
    assert seen.batch_size.tolist() == plain.batch_size.tolist()
    assert seen.batch_s.sum() == pytest.approx(plain.batch_s.sum() + len(seen.instances))


def test_throttled_requests_are_rejected_and_cost_nothing(rng):
    plain = buffered(rng)
    seen = with_environments(plain, FunctionLimits(concurrency=2), memory_mb=1769)
    assert 0 < seen.count("rejected") == np.isinf(seen.latency_s).sum()
    assert seen.batch_size.sum() == plain.batch_size.sum() - seen.count("rejected")
    assert len(seen.instances) == 2


def test_environments_are_listed_from_their_start_until_they_are_gone(rng):
    seen = with_environments(
        buffered(rng, rate_rps=0.5, n=200), FunctionLimits(init_s=0.5, keep_alive_s=2.0), memory_mb=3538
    )
    assert all(row.ready_s == row.started_s + 0.5 for row in seen.instances)
    assert {row.vcpu for row in seen.instances} == {2.0}
    stopped = [row.stopped_s for row in seen.instances if not math.isnan(row.stopped_s)]
    assert stopped
    assert max(stopped) <= seen.until_s


def test_nothing_comes_of_nothing(rng):
    seen = with_environments(buffered(rng, n=0), FunctionLimits(), memory_mb=None)
    assert (seen.arrival_s.size, len(seen.instances), seen.until_s) == (0, 0, 0.0)


def reference_cold(leaves_s, call_s, keep_alive_s):
    """Every environment as an interval, looked through at every call: slow, and written another way."""
    ends, cold = [], []
    for now_s, seconds in zip(leaves_s, call_s, strict=True):
        usable = [end for end in ends if end <= now_s <= end + keep_alive_s]
        cold.append(not usable)
        if usable:
            ends.remove(max(usable))
        ends.append(now_s + seconds)
    return cold


@given(
    gaps=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60),
    call_s=st.floats(0.01, 5.0),
    keep_alive_s=st.floats(0.0, 10.0),
)
def test_cold_calls_are_those_of_the_slow_reference(gaps, call_s, keep_alive_s):
    leaves = np.cumsum(gaps)
    calls = np.full(leaves.size, call_s)
    served = serve_calls(leaves, calls, FunctionLimits(keep_alive_s=keep_alive_s))
    assert served.is_cold.tolist() == reference_cold(leaves.tolist(), calls.tolist(), keep_alive_s)


@given(gaps=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=80), concurrency=st.integers(1, 5))
def test_never_more_calls_in_parallel_than_allowed(gaps, concurrency):
    leaves = np.cumsum(gaps)
    served = serve_calls(leaves, np.full(leaves.size, 1.5), FunctionLimits(concurrency=concurrency, init_s=0.3))
    kept = ~served.is_throttled
    ends = leaves + 1.5 + served.is_cold * 0.3
    parallel = [(kept & (leaves <= at) & (ends > at)).sum() for at in leaves]
    assert max(parallel) <= concurrency


def test_rare_calls_are_cold_as_often_as_gaps_outlast_the_keep_alive(rng):
    # Poisson arrivals so rare that calls hardly overlap: the share of cold ones goes to exp(-rate x keep-alive).
    rate_rps, keep_alive_s, n = 1 / 600, 900.0, 20_000
    leaves = np.cumsum(rng.exponential(1 / rate_rps, n))
    cold = serve(leaves, 0.1, keep_alive_s=keep_alive_s).is_cold.mean()
    share = math.exp(-rate_rps * keep_alive_s)
    assert cold == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))


@pytest.mark.parametrize(
    "wrong", [{"init_s": -1.0}, {"init_s": math.inf}, {"keep_alive_s": math.nan}, {"concurrency": 0}, {"starts": 0}]
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadInputError, match="environments: needs"):
        FunctionLimits(**wrong)
