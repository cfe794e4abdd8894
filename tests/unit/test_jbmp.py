"""JBMP online: levels, the table, how late it reacts, and its calls against the closed form."""

import numpy as np
import pytest

from controller.baselines.call_table import tabulate_function
from controller.baselines.fixed import Fixed
from controller.baselines.function_plan import as_timer
from controller.baselines.jbmp import Jbmp
from controller.baselines.jbmp_surfaces import SurfaceKind, draw_surface
from controller.baselines.jbmp_tuner import TunedFunction
from controller.baselines.judge import Trial, judge
from controller.domain.function_grid import FunctionGrid, FunctionSetting
from controller.domain.prices import load_prices
from controller.domain.slo import LatencySlo
from controller.performance_model.poisson_calls import CallLoad, predict_calls

PRICES = load_prices().lambda_x86
GRID = FunctionGrid()
SETTING = FunctionSetting(8, 1, 1760)
SLO = LatencySlo(0.95, 2.0)
SECONDS_EACH = 1200.0


def tuned(setting=SETTING, timeout_s=0.5):
    return TunedFunction(setting, 1.5, timeout_s, True, 90)


def surface(*, loads_model=False):
    return draw_surface(SurfaceKind("resnet", loads_model=loads_model), GRID, np.random.default_rng(4))


def arrivals(rates_rps, seconds_each=SECONDS_EACH, seed=1):
    rng = np.random.default_rng(seed)
    parts = [np.sort(rng.uniform(0, seconds_each, round(rate * seconds_each))) for rate in rates_rps]
    return np.concatenate([part + i * seconds_each for i, part in enumerate(parts)])


class Tuner:
    """Answers every load with another memory, so that each tuning is a change."""

    def __init__(self):
        self.loads = []

    def __call__(self, load):
        self.loads.append(load)
        return tuned(FunctionSetting(8, 1, 1760 + 32 * len(self.loads)))


def run(rates_rps, *, is_repaired):
    """Return the plans of a run over phases, the first of which is history."""
    tuner = Tuner()
    policy = Jbmp(tuner, bound_s=2.0, is_repaired=is_repaired)
    calls = tabulate_function(surface().calls, PRICES)
    end_s = SECONDS_EACH * len(rates_rps)
    verdict = judge(policy, Trial(arrivals(rates_rps), SECONDS_EACH, end_s, calls, SLO))
    return policy.plans, tuner.loads, verdict


def test_a_step_is_seen_at_the_next_poll_and_answered_after_the_tuning():
    plans, loads, verdict = run([1.0, 8.0], is_repaired=True)
    # The poll is 300 s after the step, which is at the start of the judged part, and 90 evaluations take 675 s.
    assert [plan.from_s for plan in plans] == [1200.0, 1500.0 + 675.0 + 5.0]
    assert [at_s for at_s, _ in verdict.changes] == [1200.0, 2180.0]
    assert loads[1].rate_rps == pytest.approx(8.0, rel=0.1)
    assert loads[1].bound_s == 2.0


def test_a_level_seen_before_comes_from_the_table():
    plans, loads, _ = run([1.0, 8.0, 1.0], is_repaired=True)
    assert [plan.from_s for plan in plans] == [1200.0, 2180.0, 2700.0 + 5.0]
    assert plans[2].setting == plans[0].setting
    assert len(loads) == 2


def test_while_a_tuning_runs_no_poll_interrupts_it():
    plans, loads, _ = run([1.0, 8.0], is_repaired=True)
    assert len(loads) == len(plans) == 2


def test_between_polls_nothing_is_decided():
    _, _, verdict = run([1.0, 1.0], is_repaired=True)
    assert [each.at_s for each in verdict.answers if each.is_decision] == [1200.0]


def test_as_published_every_tuning_is_for_ten_a_second_and_silence_is_another_level():
    plans, loads, _ = run([1.0, 1.0], is_repaired=False)
    assert len(plans) > 1
    assert {load.rate_rps for load in loads} == {plan.rate_rps for plan in plans} == {10.0}


@pytest.mark.parametrize(("is_repaired", "levels"), [(True, (2, 0)), (False, (2, 2))])
def test_as_published_12_and_2_requests_a_second_are_the_same_level(is_repaired, levels):
    controller = Jbmp(Tuner(), bound_s=2.0, is_repaired=is_repaired)
    assert (controller.level(12.0), controller.level(2.0)) == levels


def test_warming_calls_follow_littles_law():
    plans, _, _ = run([1.0, 8.0], is_repaired=True)
    # (2.0 - 0.5) s in flight x about 8 requests a second / 8 requests a call.
    assert plans[1].warming_calls == 2
    assert plans[0].warming_calls == 0


def served(function, setting, timeout_s, arrival_s):
    calls = tabulate_function(function.calls, PRICES)
    return judge(Fixed(as_timer(setting, timeout_s)), Trial(arrival_s, 0.0, 1e6, calls, SLO, 2))


@pytest.mark.parametrize("loads_model", [False, True])
@pytest.mark.parametrize("setting", [SETTING, FunctionSetting(5, 2, 2560)])
def test_a_function_under_the_judge_costs_what_the_closed_form_says(setting, loads_model):
    function = surface(loads_model=loads_model)
    times = np.cumsum(np.random.default_rng(1).exponential(0.1, 40_000))
    verdict = served(function, setting, 0.7, times)
    theory = predict_calls(function.calls, CallLoad(10.0, 2.0), delay_s=np.full(GRID.shape, 0.7), prices=PRICES)
    place = GRID.place(setting)
    assert verdict.cost_per_request_usd == pytest.approx(theory.cost_usd.flat[place], rel=0.01)
    assert verdict.mean_batch_size == pytest.approx(theory.mean_batch_size.flat[place], rel=0.01)
    assert (verdict.latency_s > 2.0).mean() == pytest.approx(theory.late_share.flat[place], abs=0.005)


def test_a_function_that_loads_its_model_for_each_call_is_dearer():
    costs = [
        served(surface(loads_model=loads), SETTING, 0.5, arrivals([10.0], 100.0)).cost_per_request_usd
        for loads in (False, True)
    ]
    assert costs[1] > 1.5 * costs[0]


def test_calls_without_enough_memory_answer_nobody_and_are_not_priced():
    verdict = served(surface(), FunctionSetting(1, 1, 128), 0.5, arrivals([10.0], 10.0))
    assert np.isinf(verdict.latency_s).all()
    assert verdict.cost_per_request_usd == 0
    assert verdict.window_violation_ratio == 1
