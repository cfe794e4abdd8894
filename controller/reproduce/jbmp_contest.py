"""JBMP and ours on functions drawn from a seed: what a request costs under each, and how near the optimum it is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.jbmp_regret import LOADS, Contest
from controller.baselines.jbmp_surfaces import KINDS, SurfaceKind, draw_surface
from controller.domain.function_grid import FunctionGrid
from controller.errors import NothingFeasibleError
from controller.optimizer.function_prospect import LATE_ALLOWED
from controller.performance_model.poisson_calls import CallLoad, PricedCalls
from controller.reproduce.online_traffic import ONLINE_TRAFFIC
from controller.reproduce.streams import Purpose, luck, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controller.baselines.jbmp_regret import Tuner, Verdict
    from controller.baselines.jbmp_surfaces import FunctionSurface, Network
    from controller.domain.function_grid import FunctionSetting
    from controller.domain.prices import LambdaPrices

NETWORKS: tuple[Network, ...] = ("resnet", "distilbert short", "distilbert long", "vgg", "stepped", "cliff")
DRIVER_LOAD = CallLoad(rate_rps=10.0, bound_s=2.0)
"""What the public code is started with: ResNet-50, 2 s, and tunings for 10 requests a second."""
OURS, REPAIRED, PUBLISHED = TUNERS = ("ours", "jbmp repaired", "jbmp as published")
NOT_DEPLOYABLE = 100.0
"""Regret and, times the optimum's, cost that stand for an answer whose calls fail: it has none, JSON no infinity."""
TIDEGATE, RELOADING, KEPT = "tidegate", "JBMP repaired, model loaded for each call", "JBMP repaired, warm workers"
RATES_RPS = (2.0, 5.0, 10.0, 20.0, 50.0)
"""Of the loads of check B1."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried; the defaults end in some minutes on one core.

    Attributes:
        networks: families whose saving is looked at.
        functions: drawn of each of them.
        families: whose regret is looked at, with and without neighbours, held-out ones included.
        regret_functions: drawn of each of those, each under all loads.
        loads: pairs of rate and bound.
        rates_rps: at which the cost of a million requests is looked at.
        rate_functions: ResNets drawn for that.
        online_networks: families that are served online.
        online_functions: drawn of each of them.
        online_traffic: that they are served under.
        online_hours: judged, after one of history.
    """

    networks: tuple[Network, ...] = NETWORKS
    functions: int = 10
    families: tuple[SurfaceKind, ...] = KINDS
    regret_functions: int = 2
    loads: tuple[CallLoad, ...] = LOADS
    rates_rps: tuple[float, ...] = RATES_RPS
    rate_functions: int = 4
    online_networks: tuple[Network, ...] = ("resnet",)
    online_functions: int = 2
    online_traffic: tuple[str, ...] = tuple(ONLINE_TRAFFIC)
    online_hours: int = 6

    @property
    def steps(self) -> int:
        """What the progress counts."""
        savings = len(self.networks) * self.functions + len(self.rates_rps) * self.rate_functions
        regrets = len(self.families) * self.regret_functions
        return savings + regrets + len(self.online_traffic) * len(self.online_networks) * self.online_functions


@dataclass(frozen=True, slots=True)
class Costs:
    """USD of a request to one function under one load.

    Attributes:
        network: its family.
        rate_rps: of the load.
        naive: one by one, the model loaded for each request, at the cheapest memory in time.
        warm: one by one, the model kept, at the cheapest memory in time.
        reloading: JBMP repaired, which loads the model for each call.
        kept: JBMP repaired with warm workers.
        ours: tidegate, warm.
        optimum: the cheapest setting there is, warm.
        is_broken: whether ours breaks the objective.
    """

    network: Network
    rate_rps: float
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


def find_unbatched(surface: FunctionSurface, load: CallLoad, prices: LambdaPrices) -> tuple[FunctionSetting, float]:
    """Return the cheapest memory that answers 95 % in time one by one on one process, and what a request costs.

    Raises:
        NothingFeasibleError: no memory does.
    """
    calls = surface.calls
    timed = PricedCalls(calls.grid, calls.seconds, prices).under(load, np.zeros(calls.seconds.size))
    places = np.arange(len(calls.grid.memories_mb))
    on_time = places[timed.late_share(calls.noise, places) <= LATE_ALLOWED]
    cost = timed.cost_usd[on_time]
    if not cost.size:
        raise NothingFeasibleError(f"{surface.name}: one by one, no memory answers 95 % within {load.bound_s:g} s")
    best = int(np.argmin(cost))
    return calls.grid.setting(int(on_time[best])), float(cost[best])


def draw_both(network: Network, draw: Callable[[], np.random.Generator]) -> tuple[FunctionSurface, FunctionSurface]:
    """Return a function that loads its model for each call, and the same function keeping it.

    Args:
        network: their family.
        draw: returns the same stream each time.
    """
    loading, warm = (draw_surface(SurfaceKind(network, loads), FunctionGrid(), draw()) for loads in (True, False))
    return loading, warm


def function_costs(
    surfaces: tuple[FunctionSurface, FunctionSurface],
    network: Network,
    load: CallLoad,
    prices: LambdaPrices,
    noise: int,
) -> Costs:
    """Return what a request to a function costs under each design.

    Args:
        surfaces: the function, loading its model and keeping it.
        network: its family.
        load: that it is asked for.
        prices: of a call.
        noise: seed of the noise that tuners see.

    Raises:
        NothingFeasibleError: nothing keeps the objective.
    """
    loading, warm = surfaces
    (reloading,) = Contest(loading, load, prices, noise).judge([REPAIRED])
    contest = Contest(warm, load, prices, noise)
    kept, ours = contest.judge([REPAIRED, OURS])
    optimum_usd = contest.find_optimum().cost_usd
    return Costs(
        network,
        load.rate_rps,
        naive=find_unbatched(loading, load, prices)[1],
        warm=find_unbatched(warm, load, prices)[1],
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
            surfaces = draw_both(network, partial(stream, seed, Purpose.SAVING_FUNCTION, place, number))
            noise = luck(seed, Purpose.SAVING_NOISE, place, number)
            with suppress(NothingFeasibleError):
                yield function_costs(surfaces, network, DRIVER_LOAD, prices, noise)


def costs_by_rate(effort: Effort, seed: int, prices: LambdaPrices, tell: Callable[[str], None]) -> Iterator[Costs]:
    """Yield the costs of the same ResNets at every rate, but of those that nothing can serve in time."""
    for place, rate_rps in enumerate(effort.rates_rps):
        for number in range(effort.rate_functions):
            tell(f"cost at {rate_rps:g}/s")
            surfaces = draw_both("resnet", partial(stream, seed, Purpose.RATE_FUNCTION, number))
            load = CallLoad(rate_rps, DRIVER_LOAD.bound_s)
            with suppress(NothingFeasibleError):
                yield function_costs(surfaces, "resnet", load, prices, luck(seed, Purpose.RATE_NOISE, place, number))


def all_judged(effort: Effort, seed: int, prices: LambdaPrices, tell: Callable[[str], None]) -> Iterator[Judged]:
    """Yield what became of every tuner on every drawn function under every load that some setting can meet."""
    for place, family in enumerate(effort.families):
        for number in range(effort.regret_functions):
            tell(f"regret: {family.name}")
            surface = draw_surface(family, FunctionGrid(), stream(seed, Purpose.REGRET_FUNCTION, place, number))
            for at, load in enumerate(effort.loads):
                try:
                    noise = luck(seed, Purpose.REGRET_NOISE, place, number, at)
                    verdicts = Contest(surface, load, prices, noise).judge(TUNERS)
                except NothingFeasibleError:
                    continue
                for each in verdicts:
                    regret = each.regret if np.isfinite(each.regret) else NOT_DEPLOYABLE
                    yield Judged(family.name, each.tuner, regret, each.is_broken)


def _payable(verdict: Verdict, optimum_usd: float) -> float:
    return verdict.cost_usd if np.isfinite(verdict.cost_usd) else NOT_DEPLOYABLE * optimum_usd
