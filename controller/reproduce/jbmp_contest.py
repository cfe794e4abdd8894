"""JBMP and ours on functions drawn from a seed: what a request costs under each, and how near the optimum it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.jbmp_regret import LOADS, Contest
from controller.baselines.jbmp_surfaces import HELD_OUT_KINDS, KINDS, SurfaceKind, draw_surface
from controller.domain.function_grid import FunctionGrid
from controller.errors import NothingFeasibleError
from controller.performance_model.poisson_calls import CallLoad, PricedCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controller.baselines.jbmp_regret import Tuner, Verdict
    from controller.baselines.jbmp_surfaces import FunctionSurface, Network
    from controller.domain.prices import LambdaPrices

NETWORKS: tuple[Network, ...] = ("resnet", "distilbert short", "distilbert long", "vgg", "stepped", "cliff")
DRIVER_LOAD = CallLoad(rate_rps=10.0, bound_s=2.0)
"""What the public code is started with: ResNet-50, 2 s, and tunings for 10 requests a second."""
OURS, REPAIRED, PUBLISHED = "ours", "jbmp repaired", "jbmp as published"
TUNERS: tuple[Tuner, ...] = (OURS, REPAIRED, PUBLISHED)
NOT_DEPLOYABLE = 100.0
"""Regret and, times the optimum's, cost that stand for an answer whose calls fail: it has none, JSON no infinity."""
SAVING, REGRET = 0, 1
"""First of the numbers that functions and noise are drawn from, after the seed, so that no two parts share any."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried; the defaults end in some minutes on one core.

    Attributes:
        networks: families whose saving is looked at.
        functions: drawn of each of them.
        families: whose regret is looked at, with and without neighbours, held-out ones included.
        regret_functions: drawn of each of those, each under all loads.
        loads: pairs of rate and bound.
    """

    networks: tuple[Network, ...] = NETWORKS
    functions: int = 10
    families: tuple[SurfaceKind, ...] = (*KINDS, *HELD_OUT_KINDS)
    regret_functions: int = 2
    loads: tuple[CallLoad, ...] = LOADS

    @property
    def steps(self) -> int:
        """What the progress counts."""
        return len(self.networks) * self.functions + len(self.families) * self.regret_functions


@dataclass(frozen=True, slots=True)
class Costs:
    """USD of a request to one function at the load of the public code.

    Attributes:
        network: its family.
        naive: one by one, the model loaded for each request, at the cheapest memory in time.
        warm: one by one, the model kept, at the cheapest memory in time.
        reloading: JBMP repaired, which loads the model for each call.
        kept: JBMP repaired with warm workers.
        ours: tidegate, warm.
        optimum: the cheapest setting there is, warm.
        is_broken: whether ours breaks the objective.
    """

    network: Network
    naive: float
    warm: float
    reloading: float
    kept: float
    ours: float
    optimum: float
    is_broken: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one tuner's choice for one function of a family under one load."""

    family: str
    tuner: Tuner
    regret: float
    is_broken: bool


def unbatched_usd(surface: FunctionSurface, load: CallLoad, prices: LambdaPrices) -> float:
    """Return what a request costs one by one on one process, at the cheapest memory that answers 95 % in time.

    Raises:
        NothingFeasibleError: no memory does.
    """
    calls = surface.calls
    timed = PricedCalls(calls.grid, calls.seconds, prices).under(load, np.zeros(calls.seconds.size))
    places = np.arange(len(calls.grid.memories_mb))
    on_time = places[timed.late_share(calls.noise, places) <= 0.05]
    cost = timed.cost_usd[on_time]
    if not cost.size:
        raise NothingFeasibleError(f"{surface.name}: one by one, no memory answers 95 % within {load.bound_s:g} s")
    return float(cost.min())


def function_costs(network: Network, key: tuple[int, ...], prices: LambdaPrices) -> Costs:
    """Return what a request to a function costs under each design.

    Args:
        network: its family.
        key: numbers that the function and the noise that tuners see are drawn from.
        prices: of a call.

    Raises:
        NothingFeasibleError: nothing keeps the objective.
    """
    grid, load = FunctionGrid(), DRIVER_LOAD
    loading, warm = (
        draw_surface(SurfaceKind(network, loads_model=loads), grid, np.random.default_rng(key))
        for loads in (True, False)
    )
    luck = _luck(*key)
    (reloading,) = Contest(loading, load, prices, luck).judge([REPAIRED])
    contest = Contest(warm, load, prices, luck)
    kept, ours = contest.judge([REPAIRED, OURS])
    optimum_usd = contest.find_optimum().cost_usd
    return Costs(
        network,
        naive=unbatched_usd(loading, load, prices),
        warm=unbatched_usd(warm, load, prices),
        reloading=_payable(reloading, optimum_usd),
        kept=_payable(kept, optimum_usd),
        ours=_payable(ours, optimum_usd),
        optimum=optimum_usd,
        is_broken=ours.is_broken,
    )


def all_costs(effort: Effort, seed: int, prices: LambdaPrices, tell: Callable[[str], None]) -> Iterator[Costs]:
    """Yield the costs of every drawn function but those that nothing can serve in time."""
    for place, network in enumerate(effort.networks):
        for number in range(effort.functions):
            tell(f"saving: {network}")
            try:
                yield function_costs(network, (seed, SAVING, place, number), prices)
            except NothingFeasibleError:
                continue


def all_judged(effort: Effort, seed: int, prices: LambdaPrices, tell: Callable[[str], None]) -> Iterator[Judged]:
    """Yield what became of every tuner on every drawn function under every load that some setting can meet."""
    for place, family in enumerate(effort.families):
        for number in range(effort.regret_functions):
            tell(f"regret: {family.name}")
            key = (seed, REGRET, place, number)
            surface = draw_surface(family, FunctionGrid(), np.random.default_rng(key))
            for at, load in enumerate(effort.loads):
                try:
                    verdicts = Contest(surface, load, prices, _luck(*key, at)).judge(TUNERS)
                except NothingFeasibleError:
                    continue
                for each in verdicts:
                    regret = each.regret if np.isfinite(each.regret) else NOT_DEPLOYABLE
                    yield Judged(family.name, each.tuner, regret, each.is_broken)


def _payable(verdict: Verdict, optimum_usd: float) -> float:
    return verdict.cost_usd if np.isfinite(verdict.cost_usd) else NOT_DEPLOYABLE * optimum_usd


def _luck(*key: int) -> int:
    """Return a seed of noise that is not the function's own."""
    return int(np.random.default_rng((*key, 0)).integers(2**31))
