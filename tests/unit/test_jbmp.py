"""JBMP online: levels, the table, how late it reacts, and its packager against the closed form."""

import numpy as np
import pytest

from controller.baselines.jbmp import Jbmp, JbmpChange
from controller.baselines.jbmp_packager import package
from controller.baselines.jbmp_surfaces import SurfaceKind, draw_surface
from controller.baselines.jbmp_tuner import TunedFunction
from controller.domain.function_grid import FunctionGrid, FunctionSetting
from controller.domain.prices import load_prices
from controller.performance_model.poisson_calls import CallLoad, predict_calls

PRICES = load_prices().lambda_x86
GRID = FunctionGrid()
SETTING = FunctionSetting(8, 1, 1760)


def tuned(setting=SETTING, timeout_s=0.5):
    return TunedFunction(setting, 1.5, timeout_s, True, 90)


def arrivals(rates_rps, seconds_each, seed=1):
    rng = np.random.default_rng(seed)
    parts = [np.sort(rng.uniform(0, seconds_each, round(rate * seconds_each))) for rate in rates_rps]
    return np.concatenate([part + i * seconds_each for i, part in enumerate(parts)])


class Tuner:
    def __init__(self):
        self.loads = []

    def __call__(self, load):
        self.loads.append(load)
        return tuned()


def changes(rates_rps, *, is_repaired):
    tuner = Tuner()
    controller = Jbmp(tuner, bound_s=2.0, is_repaired=is_repaired)
    seconds = 1200.0
    found = controller.changes(arrivals(rates_rps, seconds), until_s=seconds * len(rates_rps), start_rps=rates_rps[0])
    return found, tuner.loads


def test_a_step_is_seen_at_the_next_poll_and_answered_after_the_tuning():
    found, loads = changes([1.0, 8.0], is_repaired=True)
    # The poll at 1,200 s sees nothing yet; that at 1,500 s does, and 90 evaluations take 675 s.
    assert [change.from_s for change in found] == [0.0, 1500.0 + 5.0 + 675.0]
    assert loads[1].rate_rps == pytest.approx(8.0, rel=0.1)
    assert loads[1].bound_s == 2.0


def test_a_level_seen_before_comes_from_the_table():
    found, loads = changes([1.0, 8.0, 1.0], is_repaired=True)
    assert [change.evaluations for change in found] == [90, 90, 0]
    assert found[2].from_s == 2700.0 + 5.0
    assert len(loads) == 2


def test_as_published_every_tuning_is_for_ten_a_second_and_silence_is_another_level():
    found, loads = changes([1.0, 1.0], is_repaired=False)
    assert len(found) > 1
    assert {load.rate_rps for load in loads} == {10.0}


@pytest.mark.parametrize(("is_repaired", "levels"), [(True, (2, 0)), (False, (2, 2))])
def test_as_published_12_and_2_requests_a_second_are_the_same_level(is_repaired, levels):
    controller = Jbmp(Tuner(), bound_s=2.0, is_repaired=is_repaired)
    assert (controller.level(12.0), controller.level(2.0)) == levels


def test_warming_calls_follow_littles_law():
    found, _ = changes([1.0, 8.0], is_repaired=True)
    # (2.0 - 0.5) s in flight x about 8 requests a second / 8 requests a call.
    assert found[1].warming_calls == 2


@pytest.mark.parametrize("loads_model", [False, True])
def test_the_packager_costs_what_the_closed_form_says(loads_model):
    surface = draw_surface(SurfaceKind("resnet", loads_model=loads_model), GRID, np.random.default_rng(4))
    load, change = CallLoad(10.0, 2.0), JbmpChange(0.0, tuned(timeout_s=0.7), 0, 90)
    times = np.cumsum(np.random.default_rng(1).exponential(0.1, 40_000))
    run = package(times, [change], surface.calls, prices=PRICES, rng=np.random.default_rng(2))
    theory = predict_calls(surface.calls, load, delay_s=np.full(GRID.shape, 0.7), prices=PRICES)
    place = GRID.place(SETTING)
    assert run.cost_per_request_usd == pytest.approx(theory.cost_usd.flat[place], rel=0.01)
    assert run.batch_sizes.mean() == pytest.approx(theory.mean_batch_size.flat[place], rel=0.01)
    assert run.batch_sizes.sum() == times.size


def test_a_function_that_loads_its_model_for_each_call_is_dearer():
    costs = []
    for loads_model in (False, True):
        surface = draw_surface(SurfaceKind("resnet", loads_model=loads_model), GRID, np.random.default_rng(4))
        change = JbmpChange(0.0, tuned(), 0, 90)
        run = package(arrivals([10.0], 100.0), [change], surface.calls, prices=PRICES, rng=np.random.default_rng(2))
        costs.append(run.cost_per_request_usd)
    assert costs[1] > 1.5 * costs[0]


def test_settings_change_for_requests_that_arrive_after_them():
    surface = draw_surface(SurfaceKind("resnet", loads_model=False), GRID, np.random.default_rng(4))
    single = tuned(FunctionSetting(1, 1, 1760), 0.0)
    steps = [JbmpChange(0.0, single, 3, 90), JbmpChange(50.0, tuned(timeout_s=1.0), 3, 90)]
    times = arrivals([10.0], 100.0)
    run = package(times, steps, surface.calls, prices=PRICES, rng=np.random.default_rng(2))
    before = int((times < 50).sum())
    assert run.batch_sizes[:before].tolist() == [1] * before
    assert run.batch_sizes[before:].mean() > 5
    assert run.warming_usd > 0


def test_calls_without_enough_memory_answer_nobody():
    surface = draw_surface(SurfaceKind("resnet", loads_model=False), GRID, np.random.default_rng(4))
    change = JbmpChange(0.0, tuned(FunctionSetting(1, 1, 128)), 0, 90)
    run = package(arrivals([10.0], 10.0), [change], surface.calls, prices=PRICES, rng=np.random.default_rng(2))
    assert np.isinf(run.latency_s).all()
    assert run.calls_usd == 0
