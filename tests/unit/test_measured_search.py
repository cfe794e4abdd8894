"""The search with few measurements: what it promises on a function, and what it says where nothing can be promised."""

import numpy as np
import pytest

from controller.baselines.jbmp_surfaces import SurfaceKind, draw_surface
from controller.domain.function_grid import FunctionGrid, FunctionSetting
from controller.domain.function_times import FunctionSample
from controller.domain.prices import load_prices
from controller.errors import BadInputError, NothingFeasibleError
from controller.optimizer.measured_search import MeasuredSearch, profile_settings
from controller.performance_model.poisson_calls import CallLoad, PricedCalls
from controller.profiling.function_law import fit_function

GRID = FunctionGrid()
PRICES = load_prices().lambda_x86
LOAD = CallLoad(10.0, 2.0)
WARM_RESNET = SurfaceKind("resnet", loads_model=False)


def law_s(setting):
    vcpus = setting.memory_mb / 1769 / setting.processes
    return 0.03 + (0.06 + 0.04 * setting.per_process) / min(1.0, vcpus)


def exact(setting, *, used_mb=400.0):
    return FunctionSample(setting, (law_s(setting), law_s(setting)), used_mb)


def search(kind=WARM_RESNET, *, seed=1, load=LOAD, timed=14):
    surface, rng, calls = draw_surface(kind, GRID, np.random.default_rng(seed)), np.random.default_rng(seed), []

    def measure(setting):
        calls.append(setting)
        return surface.sample(setting, rng, calls=timed)

    return MeasuredSearch(GRID, measure, fit_function, PRICES).run(load), calls


def test_a_search_measures_twelve_settings_and_keeps_the_objective():
    found, calls = search()
    assert found.evaluations == len(calls) == 12
    assert found.setting in calls
    surface = draw_surface(WARM_RESNET, GRID, np.random.default_rng(1))
    deployed = PricedCalls(GRID, surface.calls.seconds, PRICES).under(LOAD, np.array([found.calls.timeout_s] * 2976))
    at = np.array([found.calls.place])
    assert deployed.late_share(surface.calls.noise, at)[0] <= 0.05
    assert found.calls.cost_usd == pytest.approx(deployed.cost_usd[at][0], rel=0.03)


@pytest.mark.parametrize("timed", [1, 2, 3])
def test_a_search_also_ends_with_few_calls_at_each_setting(timed):
    found, _ = search(timed=timed)
    assert found.calls.late_share <= 0.05


def test_a_search_repeats_itself():
    assert search() == search()


def test_error_bars_grow_away_from_what_was_measured():
    belief = fit_function([exact(FunctionSetting(1, 1, 1760)), exact(FunctionSetting(2, 1, 1760))], GRID)
    assert belief.relative_error.flat[GRID.place(FunctionSetting(1, 1, 1760))] < 0.05
    assert belief.relative_error.flat[GRID.place(FunctionSetting(16, 2, 256))] > 0.1


def padded_to(sizes):
    """Return samples' times where requests are padded to the next of these sizes."""

    def seconds(setting):
        vcpus = setting.memory_mb / 1769 / setting.processes
        padded = min(size for size in sizes if size >= setting.per_process)
        return 0.03 + (0.06 + 0.04 * padded) / min(1.0, vcpus)

    return seconds


def told(seconds, *more):
    """Return what a profile, and settings beyond it, tell of a function, and the truth."""
    seen = (*profile_settings(GRID), *more)
    belief = fit_function([FunctionSample(each, (seconds(each),) * 8, 400.0) for each in seen], GRID)
    return belief, np.array([seconds(GRID.setting(place)) for place in range(belief.seconds.size)]).reshape(GRID.shape)


@pytest.mark.parametrize(
    "sizes", [range(1, 17), range(3, 19, 3), range(4, 17, 4), (1, 2, 4, 8, 16)], ids=["none", "3", "4", "doubled"]
)
def test_a_law_of_the_white_boxs_own_form_is_found_by_two_sizes_beside_the_profile(sizes):
    belief, truth = told(padded_to(sizes), FunctionSetting(5, 1, 1760), FunctionSetting(13, 1, 1760))
    off = np.where(GRID.axes[2] >= 512, belief.seconds / truth - 1, 0.0)
    assert np.abs(off).max() < 0.05


IRREGULAR = padded_to((1, 3, 7, 10, 16))


def test_an_irregular_step_that_was_seen_at_one_memory_is_expected_at_another():
    belief, truth = told(IRREGULAR, FunctionSetting(7, 1, 1760), FunctionSetting(10, 1, 1760))
    at = [GRID.place(FunctionSetting(b, 1, 1024)) for b in (7, 8, 10)]
    assert belief.seconds.flat[at] == pytest.approx(truth.flat[at], rel=0.05)


def test_what_an_irregular_step_may_hide_is_told_by_the_error_bars():
    belief, truth = told(IRREGULAR)
    off = np.where(GRID.axes[2] >= 512, belief.seconds / truth - 1, 0.0)
    assert np.abs(off).max() > 0.1
    assert (np.abs(off) <= 3 * belief.relative_error).mean() > 0.95


def test_a_few_slowed_calls_hardly_move_the_law_and_are_kept_as_noise():
    samples = [exact(setting) for setting in profile_settings(GRID)]
    calm = fit_function(samples, GRID)
    slowed = FunctionSample(samples[1].setting, (samples[1].seconds[0] * 1.4, samples[1].seconds[1]), 400.0)
    belief = fit_function([samples[0], slowed, *samples[2:]], GRID)
    assert belief.noise.max() > 1.3
    assert belief.seconds / belief.seconds[0, 0, 0] == pytest.approx(calm.seconds / calm.seconds[0, 0, 0], rel=0.02)


def test_memory_is_taken_to_suffice_by_what_calls_used():
    samples = [
        exact(setting, used_mb=200 + 100 * setting.processes + 10 * setting.max_batch_size)
        for setting in profile_settings(GRID)
    ]
    fits = fit_function(samples, GRID).fits
    assert not fits.flat[GRID.place(FunctionSetting(16, 2, 704))]
    assert fits.flat[GRID.place(FunctionSetting(16, 2, 768))]


def test_memory_that_was_used_stands_whatever_the_others_used():
    padded = [
        exact(setting, used_mb=300.0 + 50 * np.ceil(setting.per_process / 4)) for setting in profile_settings(GRID)
    ]
    fits = fit_function(padded, GRID).fits
    at = GRID.place(FunctionSetting(4, 1, 352))
    assert not fits.flat[at]
    assert fits.flat[at + 1]
    assert fits.flat[GRID.place(FunctionSetting(2, 1, 384))]


def test_where_use_of_memory_is_unknown_failures_tell():
    samples = [exact(setting, used_mb=None) for setting in profile_settings(GRID)]
    fits = fit_function([*samples, FunctionSample(FunctionSetting(8, 1, 512), ())], GRID).fits
    assert not fits.flat[GRID.place(FunctionSetting(9, 2, 480))]
    assert fits.flat[GRID.place(FunctionSetting(7, 1, 512))]
    assert fits.flat[GRID.place(FunctionSetting(8, 1, 544))]


def test_a_function_that_never_answers_is_refused():
    with pytest.raises(BadInputError, match="every call failed"):
        fit_function([FunctionSample(FunctionSetting(1, 1, 3072), ())], GRID)


def test_an_objective_that_nothing_meets_is_said():
    with pytest.raises(NothingFeasibleError, match=r"95 % within 0\.05 s"):
        search(load=CallLoad(10.0, 0.05))


def test_fewer_evaluations_than_the_profile_needs_are_refused():
    with pytest.raises(BadInputError, match="the profile alone needs 6, got 3"):
        MeasuredSearch(GRID, exact, fit_function, PRICES).run(LOAD, evaluations=3)


@pytest.mark.parametrize(("rate_rps", "bound_s"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_a_load_that_cannot_be_is_refused(rate_rps, bound_s):
    with pytest.raises(BadInputError, match="load: rate and bound must be positive"):
        CallLoad(rate_rps, bound_s)
