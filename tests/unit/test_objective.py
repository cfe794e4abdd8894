"""What a setting is worth: planning latency, windows, bursts, cost."""

import math
from dataclasses import replace

import numpy as np
import pytest

from controller.domain.prices import ClusterPrices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo, window_violation_ratio
from controller.optimizer.objective import Scenario, World, evaluate, planning_latency_s

SLO = LatencySlo(0.95, 0.5)
PRICES = ClusterPrices(vcpu_second_usd=1.0, gb_second_usd=0.0)


def world(**changes):
    values = {
        "service": TokenServiceTimes(per_batch_s=0.01),
        "autoscaler": AutoscalerSettings(window_s=6, scale_to_zero_grace_period_s=5),
        "shape": InstanceShape(cores=1),
        "prices": PRICES,
        "slo": SLO,
    }
    return World(**(values | changes))


def scenario(rate_rps, kind="steady", duration_s=10.0):
    arrivals = np.arange(0, duration_s, 1 / rate_rps)
    return Scenario("s", kind, arrivals, np.ones(arrivals.size, dtype=np.int64), duration_s, 1)


def test_a_bound_at_the_planning_latency_keeps_95_percent_of_windows(rng):
    latency_s = rng.lognormal(-2, 1, 5000)
    seconds, _ = planning_latency_s(latency_s, SLO)
    assert window_violation_ratio(latency_s > seconds, 0.95) <= 0.06
    assert window_violation_ratio(latency_s > 0.8 * seconds, 0.95) > 0.05


def test_the_planning_quantile_is_at_least_0970(rng):
    _, quantile = planning_latency_s(rng.random(5000), SLO)
    assert quantile >= 0.97


def test_bursts_of_latency_ask_for_a_higher_quantile(rng):
    calm, stormy = rng.random(10_000), rng.random(10_000)
    stormy[4000:5000] += 5.0
    assert planning_latency_s(stormy, SLO)[0] > 5 > planning_latency_s(calm, SLO)[0]


def test_a_run_shorter_than_a_window_is_one_window():
    latency_s = np.array([0.1] * 19 + [3.0])
    assert planning_latency_s(latency_s, LatencySlo(0.5, 0.5))[0] == pytest.approx(0.1)


def test_an_idle_service_is_feasible_and_costs_its_instance():
    seen = evaluate(ServingConfig(), (scenario(10),), world())
    assert seen.is_feasible
    assert seen.attainment == 1
    assert seen.cost_per_s_usd == pytest.approx(1.0)
    assert seen.cost_per_million_usd == pytest.approx(1e5)


def test_an_end_that_takes_as_long_as_the_platform_states_is_paid_for():
    shape = InstanceShape(cores=1, drain_s=30)
    once = Scenario("s", "steady", np.zeros(1), np.ones(1, dtype=np.int64), 60.0, 1)
    prompt, slow = (
        evaluate(ServingConfig(), (once,), world(shape=each)) for each in (replace(shape, drain_s=0), shape)
    )
    assert slow.cost_per_s_usd - prompt.cost_per_s_usd == pytest.approx(30 / 60)


def test_an_overloaded_service_is_not_feasible():
    seen = evaluate(ServingConfig(max_batch_size=1, max_scale=1), (scenario(200),), world())
    assert not seen.is_feasible
    assert seen.attainment < 0.5


def test_the_margin_scales_latency():
    slow = world(service=TokenServiceTimes(per_batch_s=0.4))
    alone = evaluate(ServingConfig(), (scenario(1),), slow)
    careful = evaluate(ServingConfig(), (scenario(1),), World(**{**_fields(slow), "margin": 1.5}))
    assert careful.p95_s == pytest.approx(1.5 * alone.p95_s)
    assert alone.is_feasible
    assert not careful.is_feasible


def test_a_setting_that_misses_by_the_margin_alone_does_not_keep_its_windows():
    slow = world(service=TokenServiceTimes(per_batch_s=0.4), margin=1.5)
    seen = evaluate(ServingConfig(), (scenario(1),), slow)
    assert not seen.is_feasible
    assert seen.attainment == 0


def test_a_burst_does_not_decide_about_the_objective():
    seen = evaluate(ServingConfig(max_batch_size=1, max_scale=1), (scenario(10), scenario(300, "burst")), world())
    assert seen.is_feasible
    assert seen.burst_late > 0.5
    assert seen.burst_missed > 0.5


def test_equal_settings_get_equal_figures():
    noisy = world(service=TokenServiceTimes(per_batch_s=0.01, cv=0.3))
    assert evaluate(ServingConfig(), (scenario(60),), noisy) == evaluate(ServingConfig(), (scenario(60),), noisy)


def test_a_scenario_without_requests_is_harmless():
    empty = Scenario("s", "steady", np.zeros(0), np.zeros(0, dtype=np.int64), 10.0, 1)
    seen = evaluate(ServingConfig(), (empty, scenario(10)), world())
    assert seen.is_feasible
    assert math.isfinite(seen.cost_per_million_usd)


def _fields(value):
    return {name: getattr(value, name) for name in value.__slots__}
