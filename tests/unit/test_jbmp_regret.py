"""Ours with 12 measurements beside JBMP's 90, on a few functions; tests/benchmarks/regret.py has the full table."""

import numpy as np
import pytest

from controller.baselines.jbmp_regret import LOADS, Contest
from controller.baselines.jbmp_surfaces import KINDS, FunctionSurface, SurfaceKind, draw_surface
from controller.domain.function_grid import FunctionGrid
from controller.domain.prices import load_prices
from controller.errors import NothingFeasibleError
from controller.performance_model.poisson_calls import CallLoad, CallTimes, predict_calls

GRID = FunctionGrid()
PRICES = load_prices().lambda_x86
QUIET = [kind for kind in KINDS if not kind.has_neighbour]
"""On noisy neighbours the benchmark shows misses, which a few seeds would only hide."""


def surface(kind, seed):
    return draw_surface(kind, GRID, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", QUIET, ids=lambda kind: kind.name)
def test_twelve_measurements_come_near_the_optimum_and_keep_the_objective(kind):
    (verdict,) = Contest(surface(kind, 31), CallLoad(10.0, 2.0), PRICES, 31).judge(["ours"])
    assert verdict.regret <= 0.15
    assert not verdict.is_broken
    assert verdict.evaluations <= 12


def test_jbmps_tuners_are_judged_by_the_same_rule():
    kind = SurfaceKind("resnet", loads_model=True)
    verdicts = Contest(surface(kind, 2), CallLoad(10.0, 2.0), PRICES, 1).judge(
        ["ours", "jbmp repaired", "jbmp as published"]
    )
    ours, repaired, published = (verdict.regret for verdict in verdicts)
    assert ours < published
    assert repaired < published
    assert [verdict.evaluations for verdict in verdicts[1:]] == [90, 90]


def test_the_optimum_keeps_the_objective_and_nothing_cheaper_does():
    function, load = surface(KINDS[0], 5), LOADS[4]
    optimum = Contest(function, load, PRICES, 0).find_optimum()
    deployed = predict_calls(function.calls, load, delay_s=np.full(GRID.shape, optimum.timeout_s), prices=PRICES)
    place = optimum.place
    assert deployed.late_share.flat[place] <= 0.05
    assert deployed.cost_usd.flat[place] == pytest.approx(optimum.cost_usd)
    patient = np.maximum(0.0, load.bound_s - function.calls.seconds)
    others = predict_calls(function.calls, load, delay_s=patient, prices=PRICES)
    assert optimum.cost_usd <= others.cost_usd[others.late_share <= 0.05].min()


def test_where_nothing_keeps_the_objective_there_is_no_optimum():
    with pytest.raises(NothingFeasibleError, match="nothing answers"):
        Contest(surface(KINDS[0], 5), CallLoad(10.0, 0.05), PRICES, 0).find_optimum()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_drawn_function_is_slower_with_more_to_do_and_less_cpu(kind):
    function = surface(kind, 9)
    seconds = function.calls.seconds
    assert function.calls.noise.mean() == pytest.approx(1.0)
    assert (np.diff(seconds[:, 0, -1]) >= 0).all()
    finite = seconds[0, 0][np.isfinite(seconds[0, 0])]
    assert finite.size
    assert (np.diff(finite) <= 1e-12).all()
    assert np.isinf(seconds[:, :, 0]).all()


def test_equal_seeds_draw_equal_functions():
    a, b = surface(KINDS[3], 7), surface(KINDS[3], 7)
    assert isinstance(a, FunctionSurface)
    assert isinstance(a.calls, CallTimes)
    assert np.array_equal(a.calls.seconds, b.calls.seconds)


def test_a_seed_gives_the_same_function_with_and_without_loading():
    warm, loading = (surface(SurfaceKind("vgg", loads_model=loads), 8).calls.seconds for loads in (False, True))
    fits = np.isfinite(warm)
    assert np.array_equal(fits, np.isfinite(loading))
    assert (loading[fits] > warm[fits]).all()
    # At one setting of processes and memory, loading costs the same whatever else is done.
    assert loading[0, 0, -1] - warm[0, 0, -1] == pytest.approx(loading[7, 0, -1] - warm[7, 0, -1])
