"""JBMP's tuner against the digest's simulation of it (research/parallel_and_jbmp.md, 2.4, 2.6 and 2.9)."""

import numpy as np
import pytest

from controller.baselines.jbmp_surfaces import FunctionSurface
from controller.baselines.jbmp_tuner import FixedProcess, JbmpTuner
from controller.domain.function_grid import FunctionGrid, FunctionSetting
from controller.domain.function_times import FunctionSample
from controller.performance_model.poisson_calls import CallLoad, CallTimes

GRID = FunctionGrid()
LOAD = CallLoad(rate_rps=10.0, bound_s=2.0)


def digest_surface(*, noise=(0.96, 1.0, 1.04)):
    b, c, memory_mb = GRID.axes
    seconds = 0.025 + (0.06 + 0.045 * b**0.93) / np.minimum(1.0, memory_mb / 1769 / c)
    needs_mb = 180 + c * (190 + 9 * b)
    seconds = np.where(np.broadcast_to(memory_mb, GRID.shape) >= needs_mb, seconds, np.inf)
    return FunctionSurface("digest 2.9", CallTimes(GRID, seconds, np.array(noise)), needs_mb[..., 0])


def tune(seed, *, is_repaired, load=LOAD, surface=None):
    rng, calls = np.random.default_rng(seed), []
    function = surface or digest_surface()

    def sample(setting):
        calls.append(setting)
        return function.sample(setting, rng)

    return JbmpTuner(GRID, sample, is_repaired=is_repaired).tune(load), calls


def nominal_usd(place):
    """Memory times latency over a full call: what the tuner believes that it minimises."""
    setting = GRID.setting(place)
    return setting.memory_mb * digest_surface().calls.seconds.flat[place] / setting.max_batch_size


def fills_in_time():
    b, c, _ = GRID.axes
    return np.broadcast_to(2.0 - b * c / 10, GRID.shape).ravel() >= digest_surface().calls.seconds.ravel()


def test_the_process_is_that_of_a_direct_solution():
    rng = np.random.default_rng(5)
    points, places, values = rng.random((40, 3)), [3, 17, 20, 33], [1.0, 0.4, 2.0, 1.5]
    process = FixedProcess(points)
    for place, value in zip(places, values, strict=True):
        process.add(place, value)
    kernel = np.exp(-0.5 * ((points[:, None] - points) ** 2).sum(axis=2))
    weights = kernel[:, places] @ np.linalg.inv(kernel[np.ix_(places, places)] + 1e-10 * np.eye(4))
    assert process.mean == pytest.approx(weights @ values, abs=1e-6)
    assert process.variance == pytest.approx(1 - (weights * kernel[:, places]).sum(axis=1), abs=1e-6)


def test_a_point_taken_in_twice_leaves_the_process_finite():
    process = FixedProcess(np.random.default_rng(1).random((10, 3)))
    for value in (1.0, 1.1, 0.9):
        process.add(4, value)
    assert np.isfinite(process.mean).all()


@pytest.mark.parametrize("is_repaired", [False, True])
def test_a_tuning_takes_60_initial_points_and_30_steps(is_repaired):
    tuned, calls = tune(0, is_repaired=is_repaired)
    assert tuned.evaluations == len(calls) == 90
    assert {call.processes for call in calls[:60]} == {1, 2}
    assert sorted({call.per_process for call in calls[:60]}) == [1, 5, 8, 12, 16]
    assert len({call.memory_mb for call in calls[:60]}) == 6


@pytest.mark.parametrize("seed", range(5))
def test_as_published_it_forgets_the_time_in_which_a_call_fills(seed):
    tuned, _ = tune(seed, is_repaired=False)
    place = GRID.place(tuned.setting)
    best = min(nominal_usd(each) for each in np.flatnonzero(fills_in_time()))
    assert not fills_in_time()[place]
    assert -0.08 < nominal_usd(place) / best - 1 < 0


@pytest.mark.parametrize("seed", range(5))
def test_repaired_it_keeps_the_objective_and_its_steps_find_nothing_better(seed):
    tuned, calls = tune(seed, is_repaired=True)
    assert fills_in_time()[GRID.place(tuned.setting)]
    assert tuned.setting in calls[:60]


def test_repaired_it_samples_no_setting_twice():
    _, calls = tune(1, is_repaired=True)
    assert len(set(calls)) == len(calls)


def test_the_timeout_is_what_the_predicted_latency_leaves_of_the_objective():
    tuned, _ = tune(1, is_repaired=True)
    assert tuned.timeout_s == pytest.approx(2.0 - tuned.predicted_s)


def test_where_nothing_meets_the_objective_it_says_so():
    tuned, _ = tune(1, is_repaired=True, load=CallLoad(rate_rps=10.0, bound_s=0.12))
    assert not tuned.meets_constraint
    assert tuned.timeout_s == 0.0


def test_calls_that_fail_are_no_latencies():
    function = digest_surface()
    failed = function.sample(FunctionSetting(1, 1, 128), np.random.default_rng(0))
    assert failed == FunctionSample(FunctionSetting(1, 1, 128), (), None)
