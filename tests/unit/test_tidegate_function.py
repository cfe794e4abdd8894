"""Ours for a batching function: measured once, followed at once, and no copy is warmed for less than it saves."""

from itertools import pairwise

import numpy as np
import pytest

from controller.baselines.believed_function import BelievedFunction, copy_of, measure_function
from controller.baselines.call_table import tabulate_function
from controller.baselines.function_plan import SWITCH_S
from controller.baselines.jbmp_surfaces import SurfaceKind, draw_surface
from controller.baselines.judge import Trial, judge
from controller.baselines.tidegate_function import TidegateFunction
from controller.domain.function_grid import FunctionGrid
from controller.domain.prices import load_prices
from controller.domain.slo import LatencySlo
from controller.performance_model.poisson_calls import CallLoad

PRICES = load_prices().lambda_x86
GRID = FunctionGrid()
SLO = LatencySlo(0.95, 2.0)
STEP_S, END_S = 600.0, 900.0


@pytest.fixture(scope="module")
def surface():
    return draw_surface(SurfaceKind("resnet", loads_model=False), GRID, np.random.default_rng(11))


class Measure:
    def __init__(self, surface):
        self.surface, self.rng, self.count = surface, np.random.default_rng(1), 0

    def __call__(self, setting):
        self.count += 1
        return self.surface.sample(setting, self.rng)


def poisson(rate_rps, from_s, until_s, seed):
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(from_s, until_s, rng.poisson(rate_rps * (until_s - from_s))))


@pytest.fixture(scope="module")
def stepped(surface):
    """Return policy, measurements and verdict of a tenfold step."""
    measure = Measure(surface)
    policy = TidegateFunction(GRID, measure, SLO, PRICES, np.random.default_rng(2))
    arrival_s = np.concatenate([poisson(6.25, 0.0, STEP_S, 3), poisson(62.5, STEP_S, END_S, 4)])
    trial = Trial(arrival_s, 300.0, END_S, tabulate_function(surface.calls, PRICES), SLO, 5)
    return policy, measure, judge(policy, trial)


def test_it_measures_twelve_settings_whatever_rates_come(stepped):
    assert stepped[1].count == 12


def test_a_tenfold_step_is_followed_within_30_s(stepped):
    followed = next(plan for plan in stepped[0].plans if plan.from_s >= STEP_S and 31 < plan.rate_rps < 125)
    assert followed.from_s - STEP_S <= 30.0


def test_windows_are_kept_before_and_after(stepped):
    assert stepped[2].window_violation_ratio <= 0.05


def test_a_plan_that_needs_another_copy_waits_for_it_and_pays_its_warming(stepped):
    plans = stepped[0].plans
    switches = [
        (before, after) for before, after in pairwise(plans) if copy_of(before.setting) != copy_of(after.setting)
    ]
    assert switches
    decisions = {each.at_s for each in stepped[2].answers if each.is_decision}
    for _, after in switches:
        assert after.warming_calls >= 1
        assert after.from_s - SWITCH_S in decisions
    kept = [plan for plan in plans if plan not in [after for _, after in switches]]
    assert all(plan.warming_calls == 0 for plan in kept)


def test_a_steady_stream_flaps_between_no_copies(surface):
    policy = TidegateFunction(GRID, Measure(surface), SLO, PRICES, np.random.default_rng(2))
    trial = Trial(poisson(20.0, 0.0, 1500.0, 6), 300.0, 1500.0, tabulate_function(surface.calls, PRICES), SLO, 5)
    judge(policy, trial)
    assert sum(plan.warming_calls > 0 for plan in policy.plans) <= 1


@pytest.fixture(scope="module")
def believed(surface):
    belief = measure_function(GRID, Measure(surface), CallLoad(10.0, 2.0), PRICES)
    return BelievedFunction(GRID, belief, SLO, PRICES, np.random.default_rng(2))


def test_staying_with_a_copy_is_never_believed_cheaper(believed):
    for rate_rps in (3.0, 30.0):
        best = believed.cheapest(rate_rps)
        kept = believed.cheapest(rate_rps, copy_of(believed.cheapest(10.0).setting))
        assert kept.cost_usd >= best.cost_usd * (1 - 1e-9)
        assert believed.cheapest(rate_rps, best.copy).setting == best.setting


def test_a_bound_that_nothing_can_keep_leaves_no_choice(surface):
    belief = measure_function(GRID, Measure(surface), CallLoad(10.0, 2.0), PRICES)
    assert (
        BelievedFunction(GRID, belief, LatencySlo(0.95, 0.02), PRICES, np.random.default_rng(2)).cheapest(5.0) is None
    )
