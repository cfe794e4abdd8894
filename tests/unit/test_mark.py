"""MArk and SageMaker-like endpoints: their rules by hand, and their published figures."""

import math
from itertools import product

import numpy as np
import pytest

from controller.baselines.call_table import CallTable
from controller.baselines.fleet_judge import judge_fleet, overflow_of
from controller.baselines.judge import Trial
from controller.baselines.mark import HORIZON, Foresight, Mark, hold_last_minute
from controller.baselines.mark_plan import AHEAD, BatchRule, Cheapest, batching_rule, plan
from controller.baselines.protocol import FleetPast
from controller.baselines.sagemaker import SageMaker
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.performance_model.instance_group import InstanceType
from controller.reproduce import instance_facts as facts
from controller.reproduce.instance_rows import (
    ENDPOINTS,
    function_call_usd,
    instance_rows,
    run_inception,
    saturated_usd,
)
from controller.reproduce.traces import twitter

SMALL = InstanceType("small", 0.1, (0.5,), boot_s=120.0)
LARGE = InstanceType("large", 0.15, (0.25,), boot_s=120.0)
SLO = LatencySlo(0.95, 2.0)
CALLS = CallTable((1024,), np.array([[0.3]]), np.array([[1e-5]]))


def past(now_s=600.0, rate_rps=10.0, present=(1,), answered_s=None):
    return FleetPast(now_s, np.arange(0.0, now_s, 1 / rate_rps), present, answered_s)


# The batching rule.


def test_the_published_batches_come_out_of_times_they_fit():
    # N = 8 with W = 200 ms at RT_max = 600 ms (Inception-v3 on p2.xlarge): a batch of 8 takes 400 ms, and one of 16
    # more than the bound.
    seconds = [0.08 + 0.04 * b for b in range(1, 33)]
    assert batching_rule(seconds, 0.6) == BatchRule(8, pytest.approx(0.2))
    # N = 16 with W = 750 ms at 1000 ms (NASNet): 16 take 250 ms, 32 are slower than the bound.
    seconds = [0.15 + 0.1 * b / 16 for b in range(1, 17)] + [1.1] * 16
    assert batching_rule(seconds, 1.0) == BatchRule(16, pytest.approx(0.75))


def test_without_a_gain_from_batches_there_are_none():
    assert batching_rule([0.1 * b for b in range(1, 9)], 0.5).max_queue_delay_s == 0
    assert batching_rule([0.1, 0.3, 0.5, 0.7], 1.0) == BatchRule(1, 0.0)


def test_a_batch_is_in_time_and_no_slower_than_its_requests_one_by_one():
    seconds = [0.2 + 0.1 * b for b in range(1, 17)]
    for bound_s in (0.4, 0.7, 1.3, 3.0):
        rule = batching_rule(seconds, bound_s)
        total_s = rule.max_queue_delay_s + seconds[rule.max_batch_size - 1]
        assert total_s <= min(bound_s, rule.max_batch_size * seconds[0]) + 1e-12
        following = 2 * rule.max_batch_size
        assert following > len(seconds) or seconds[following - 1] > min(bound_s, following * seconds[0])


def test_a_bound_below_one_request_is_refused():
    with pytest.raises(BadInputError, match="batching rule: one request takes"):
        batching_rule([0.7], 0.6)


# The plan.


def test_the_cheapest_per_request_is_taken_until_all_is_covered():
    market = Cheapest.of((SMALL, LARGE))
    assert plan(market, np.full(HORIZON, 12.0), np.array([0, 0])).tolist() == [0, 3]
    # What is left, one a second, is less than either can bear, and the small one is the cheaper to keep.
    assert plan(market, np.full(HORIZON, 9.0), np.array([0, 0])).tolist() == [1, 2]


def test_a_running_instance_costs_no_launch():
    market = Cheapest.of((SMALL, LARGE))
    peak = np.where(np.arange(HORIZON) == AHEAD - 1, 2.0, 0.0)
    # For one minute alone: a launch is reckoned as three more.
    assert plan(market, peak, np.array([0, 0])).tolist() == [1, 0]
    assert plan(market, peak, np.array([0, 1])).tolist() == [0, 1]


def test_only_the_demand_in_five_minutes_is_planned_for():
    market = Cheapest.of((SMALL,))
    before = np.where(np.arange(HORIZON) < AHEAD - 1, 10.0, 0.0)
    assert plan(market, before, np.array([3])).tolist() == [0]


def test_a_plan_costs_little_more_than_the_least_that_covers(rng):
    types = (SMALL, LARGE, InstanceType("huge", 1.0, (0.05,)))
    market = Cheapest.of(types)
    for demand in rng.uniform(1, 60, 30):
        counts = plan(market, np.full(HORIZON, demand), np.zeros(3, dtype=int))
        assert counts @ market.capacity_rps >= demand
        options = product(range(31), range(16), range(4))
        covering = (each for each in options if np.dot(each, market.capacity_rps) >= demand)
        least = min(np.dot(each, market.usd_per_minute) for each in covering)
        # Greedy covers may be off by one instance.
        assert counts @ market.usd_per_minute <= least + market.usd_per_minute[1]


# The policy.


def test_the_released_forecast_is_the_largest_slot_of_the_last_minute_and_a_fifth():
    arrivals = np.sort(np.concatenate((np.arange(0, 600, 0.5), np.linspace(570, 574.9, 40))))
    assert hold_last_minute(FleetPast(600.0, arrivals, (1,))) == pytest.approx(np.full(HORIZON, 1.2 * 10))
    assert hold_last_minute(FleetPast(700.0, arrivals, (1,))).max() == 0


def test_foresight_is_what_comes():
    arrivals = np.concatenate((np.arange(0, 600, 0.5), np.arange(600, 1200, 0.1)))
    seen = Foresight(arrivals, 1200.0)(FleetPast(540.0, arrivals[arrivals < 540], (1,)))
    assert seen[0] == pytest.approx(2.0, abs=0.2)
    assert seen[1:] == pytest.approx(np.full(HORIZON - 1, 10.0), abs=0.2)
    at_the_end = Foresight(arrivals, 1200.0)(FleetPast(1200.0, arrivals, (1,)))
    assert at_the_end.max() == pytest.approx(10.0, abs=0.2)


def test_instances_are_launched_at_once_and_ended_after_six_plans():
    mark = Mark((SMALL,), SLO)
    first = mark.decide(past(rate_rps=10.0))
    later = [mark.decide(past(rate_rps=2.0, present=first)) for _ in range(6)]
    assert first == (6,)
    assert later == [(6,)] * 5 + [(2,)]


def test_the_monitor_launches_one_where_answers_are_late_and_then_waits():
    mark, steady = Mark((SMALL,), SLO), Mark((SMALL,), SLO)
    late = np.full(100, 3.0)
    found = [mark.decide(past(answered_s=late)) for _ in range(3)]
    quiet = [steady.decide(past(answered_s=np.full(100, 1.0))) for _ in range(3)]
    assert [count for (count,) in quiet] == [6, 6, 6]
    assert [count for (count,) in found] == [7, 7, 7]


def test_an_endpoint_goes_out_after_three_minutes_and_in_after_fifteen():
    scaler = SageMaker(SMALL)
    (count,) = scaler.decide(past(rate_rps=10.0, present=(0,)))
    assert count == 10
    up = [scaler.decide(past(600.0 + 60 * k, rate_rps=20.0, present=(10,))) for k in range(3)]
    assert up == [(10,), (10,), (20,)]
    down = [scaler.decide(past(900.0 + 60 * k, rate_rps=5.0, present=(20,))) for k in range(15)]
    assert down == [(20,)] * 14 + [(5,)]


def test_an_endpoint_keeps_one_instance():
    assert SageMaker(SMALL).decide(FleetPast(600.0, np.zeros(0), (0,))) == (1,)


# Judged.


def trial(arrivals, until_s):
    return Trial(np.array(arrivals, dtype=float), 300.0, until_s, CALLS, SLO)


def test_all_of_a_fleet_is_paid_and_judged_by_windows():
    steady = np.arange(0.0, 900.0, 0.5)
    verdict = judge_fleet(SageMaker(SMALL), trial(steady, 900.0), (SMALL,))
    assert verdict.cost_per_request_usd == pytest.approx(2 * 600 * 0.1 / 3600 / 1200)
    assert (verdict.latency_s.size, verdict.window_violation_ratio) == (1200, 0.0)
    assert verdict.latency_s == pytest.approx(np.full(1200, 0.5))
    assert len(verdict.answers) == 10


def test_a_surge_breaks_an_endpoint_and_overflows_from_mark():
    surge = np.concatenate((np.arange(0.0, 420.0, 0.5), np.arange(420.0, 900.0, 0.05)))
    endpoint = judge_fleet(SageMaker(SMALL), trial(surge, 900.0), (SMALL,))
    tried = trial(surge, 900.0)
    mark = judge_fleet(Mark((SMALL,), SLO), tried, (SMALL,), overflow=overflow_of(tried))
    assert endpoint.window_violation_ratio > 0.5
    assert mark.window_violation_ratio == 0
    assert np.isclose(mark.latency_s, 0.3).sum() > 1000


# Published figures.


def test_a_million_requests_cost_what_was_published():
    # Printed to two digits: 5.0 and 19.0 USD; the fee of a call, 0.2 USD a million, is not in the latter.
    assert saturated_usd() == pytest.approx(facts.VM_USD_A_MILLION["Inception-v3"], rel=0.01)
    assert function_call_usd() * 1e6 == pytest.approx(facts.FUNCTION_USD_A_MILLION["Inception-v3"], rel=0.015)
    low, high = facts.FUNCTION_OVER_VM
    assert low < function_call_usd() * 1e6 / saturated_usd() < high
    ratios = [facts.FUNCTION_USD_A_MILLION[name] / usd for name, usd in facts.VM_USD_A_MILLION.items()]
    assert (min(ratios), max(ratios)) == (pytest.approx(low, abs=0.05), pytest.approx(high, abs=0.05))


def test_a_c5_large_answers_in_the_published_time():
    small = facts.inception_types()[0]
    assert small.seconds[0] == pytest.approx(facts.VM_S, abs=0.002)


@pytest.fixture(scope="module")
def inception():
    return run_inception(twitter(np.random.default_rng(5), 2))


def test_an_endpoint_costs_a_multiple_of_mark_that_depends_on_its_instances(inception):
    ratios = [
        inception.endpoints[name].cost_per_request_usd / inception.mark.cost_per_request_usd for name in ENDPOINTS
    ]
    low, high = facts.SAGEMAKER_OVER_MARK
    # The published range, whose type of instance is not known, lies inside what the types span.
    assert ratios == sorted(ratios)
    assert ratios[0] < low < high < ratios[-1]


def test_to_know_the_future_is_cheaper_than_the_released_forecast(inception):
    ratio = inception.foreseeing.cost_per_request_usd / inception.mark.cost_per_request_usd
    assert 0.6 < ratio < 1.0


def test_rows_name_what_was_published(monkeypatch, inception):
    monkeypatch.setattr("controller.reproduce.instance_rows.RUN_HOURS", 0)
    monkeypatch.setattr("controller.reproduce.instance_rows.run_inception", lambda _: inception)
    rows = list(instance_rows(np.random.default_rng(6)))
    assert all(row.published and row.reproduced is not None and math.isfinite(row.reproduced) for row in rows)
    assert len({(row.design, row.quantity) for row in rows}) == len(rows) == 3 + 2 * len(ENDPOINTS) + 2
