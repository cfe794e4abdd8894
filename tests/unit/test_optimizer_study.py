"""The search by simulation: who wins among simulated settings, and that one core and many cores ask for opposites."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from controller.domain.prices import ClusterPrices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo
from controller.optimizer.objective import Evaluation, Scenario, World
from controller.optimizer.search_space import search_space
from controller.optimizer.study import Problem, choose, finalists, is_no_worse, optimize_by_simulation

FINE = Evaluation(
    config=ServingConfig(),
    p95_s=0.1,
    mean_s=0.05,
    attainment=1.0,
    planning_quantile=0.97,
    excess=-0.5,
    cost_per_million_usd=1.0,
    cost_per_s_usd=1.0,
    burst_late=0.0,
    burst_missed=0.0,
    burst_cost_usd=0.0,
)


def like_fine(size, **changes):
    return replace(FINE, config=ServingConfig(max_batch_size=size), **changes)


def test_a_setting_inside_the_objective_beats_a_cheaper_one_outside():
    cheap = like_fine(1, excess=0.1, cost_per_s_usd=0.5)
    assert choose([cheap, FINE], cheap) == FINE


def test_of_settings_inside_the_objective_the_cheapest_wins():
    assert choose([FINE, like_fine(2, cost_per_s_usd=0.9)], FINE).cost_per_s_usd == 0.9


def test_costs_within_one_percent_are_equal_and_latency_decides():
    quick = like_fine(2, cost_per_s_usd=1.005, mean_s=0.02)
    assert choose([like_fine(1), quick], like_fine(1)) == quick


def test_the_present_setting_wins_when_nothing_tells_it_apart():
    assert choose([like_fine(2, mean_s=0.0499), FINE], FINE) == FINE


def test_a_burst_served_better_is_worth_some_money_and_no_more():
    present = like_fine(1, burst_missed=0.45)
    dearer = like_fine(2, burst_missed=0.05, cost_per_s_usd=1.2)
    too_dear = like_fine(4, burst_missed=0.0, cost_per_s_usd=2.0)
    assert choose([present, dearer, too_dear], present) == dearer
    assert choose([present, too_dear], present) == present


def test_a_burst_that_never_came_does_not_slow_every_request_down():
    present, slow = like_fine(1, burst_missed=0.4), like_fine(2, burst_missed=0.1, mean_s=0.2)
    assert choose([present, slow], present) == present


def test_where_no_setting_meets_the_objective_the_least_miss_wins():
    worse, least = like_fine(1, excess=2.0, cost_per_s_usd=0.8), like_fine(2, excess=0.5)
    assert finalists([worse, least]) == [least]


def test_among_equal_misses_the_cheaper_wins():
    dear, cheap = like_fine(1, excess=2.0), like_fine(2, excess=2.1, cost_per_s_usd=0.5)
    assert finalists([dear, cheap]) == [cheap]


def test_instances_are_held_for_the_objective_but_not_at_any_price():
    cold = like_fine(1, excess=0.5)
    held = replace(FINE, config=ServingConfig(min_scale=1), cost_per_s_usd=1.8)
    too_dear = replace(FINE, config=ServingConfig(min_scale=2), cost_per_s_usd=2.5)
    assert finalists([cold, held, too_dear]) == [held]
    assert finalists([cold, too_dear]) == [cold]


def test_being_no_worse_is_reflexive():
    assert is_no_worse(FINE, FINE)


def problem(cores, rng, *, steady_rps=40, burst_rps=500, seed=0):
    def arrivals(rate, duration):
        return np.sort(rng.random(rng.poisson(rate * duration)) * duration)

    shape = InstanceShape(cores=cores, max_instances=8)
    burst = np.concatenate([arrivals(burst_rps, 3), 3 + arrivals(steady_rps, 4)])
    steady = arrivals(steady_rps, 8)
    scenarios = (
        Scenario("present", "steady", steady, rng.integers(8, 40, steady.size), 8.0, 1),
        Scenario("burst", "burst", burst, rng.integers(8, 40, burst.size), 7.0, 1),
    )
    world = World(
        service=TokenServiceTimes(per_batch_s=0.004, per_token_s=0.0001, cv=0.1),
        autoscaler=AutoscalerSettings(window_s=6, scale_to_zero_grace_period_s=5),
        shape=shape,
        prices=ClusterPrices(0.0000133, 0.0000018),
        slo=LatencySlo(0.95, 0.5),
        seed=seed,
    )
    space = search_space(ServingConfig(), shape=shape, workers=1, bounds={})
    return Problem(space, scenarios, world, ServingConfig(), trials=18, budget_s=math.inf)


def test_on_one_shared_core_a_second_instance_is_found_to_be_useless(rng):
    result = optimize_by_simulation(problem(1, rng))
    assert result.best.config.max_scale == 1
    assert result.best.burst_cost_usd < 0.7 * result.present.burst_cost_usd
    assert result.best.burst_missed < result.present.burst_missed


def test_with_a_core_per_instance_one_instance_is_found_to_be_too_few(rng):
    result = optimize_by_simulation(problem(math.inf, rng, steady_rps=320, burst_rps=600))
    assert result.best.config.max_scale != 1
    assert result.best.is_feasible


def test_the_same_seed_gives_the_same_answer():
    first, second = (optimize_by_simulation(problem(1, np.random.default_rng(3))) for _ in range(2))
    assert replace(first, seconds=0, cpu_s=0) == replace(second, seconds=0, cpu_s=0)


def test_without_time_each_knob_is_tried_once_all_the_same(rng):
    asked = replace(problem(1, rng, burst_rps=50, steady_rps=5), budget_s=0.0)
    assert optimize_by_simulation(asked).evaluated >= 6


def test_a_problem_and_its_result_can_be_sent_to_another_process(rng):
    asked = pickle.loads(pickle.dumps(problem(1, rng, burst_rps=50, steady_rps=5)))  # noqa: S301  our own bytes
    result = optimize_by_simulation(replace(asked, trials=2, budget_s=0.0))
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301  our own bytes


@pytest.mark.parametrize("cores", [1, math.inf])
def test_idle_traffic_leaves_the_present_setting_alone(rng, cores):
    asked = problem(cores, rng, steady_rps=2, burst_rps=4)
    assert optimize_by_simulation(asked).best.config == ServingConfig()
