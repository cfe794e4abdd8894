"""The best setting for calls without bound: least cost inside an objective, or least latency inside a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.performance_model.grid_search import Grid, GridSurface, tabulate_grid
from controller.performance_model.prediction import Prediction, TimerSetting, predict_exact
from controller.performance_model.service_law import service_law, service_laws

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map
    from controller.domain.arrival_process import PoissonProcess
    from controller.domain.prices import Prices
    from controller.domain.service_time import ServiceTimes
    from controller.domain.token_lengths import TokenLengths

REPORTED_QUANTILES = ("0.5", "0.95", "0.99")
BOUND_TOLERANCE = 1e-12
"""Relative; a bound of 0.3 s admits an atom at 0.1 + 0.2 s."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Most that a request may cost."""

    usd_per_request: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.usd_per_request) and self.usd_per_request > 0):
            raise BadInputError(
                f"budget: needs a positive number of USD, got {self.usd_per_request * 1e6:g} per million"
            )


@dataclass(frozen=True, slots=True, eq=False)
class ExactProblem:
    """What to optimise for and over."""

    process: PoissonProcess | Map
    service: ServiceTimes
    memories_mb: tuple[int, ...]
    grid: Grid
    prices: Prices
    lengths: TokenLengths | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting with what is expected of it."""

    setting: TimerSetting
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class ExactOptimum:
    """The best setting, or the closest one where none is feasible."""

    best: Choice
    is_feasible: bool
    evaluated: int


def find_exact_optimum(problem: ExactProblem, objective: LatencySlo | Budget, *, quantile: str) -> ExactOptimum:
    """Search the whole grid.

    Ties in cost go to the lower quantile, then to the smaller delay; ties in latency to the lower cost, then likewise.
    Nothing feasible: the closest is the fastest setting for an objective, the cheapest for a budget.

    Args:
        problem: arrivals, service times, grid and prices.
        objective: a latency objective (least cost inside it) or a budget (least quantile inside it).
        quantile: the objective's, as the caller wrote it.

    Raises:
        BadInputError: service times that are not known for a setting, or a search too large.
    """
    laws = service_laws(problem.service, problem.grid.max_batch_size, problem.memories_mb, problem.lengths)
    surface = tabulate_grid(problem.process, laws, problem.memories_mb, problem.grid, problem.prices.lambda_x86)
    q = float(quantile)
    if isinstance(objective, LatencySlo):
        feasible = surface.within(objective.bound_s * (1 + BOUND_TOLERANCE), q, surface.exists)
    else:
        feasible = surface.exists & (surface.cost_usd <= objective.usd_per_request * (1 + BOUND_TOLERANCE))
    is_feasible = bool(feasible.any())
    by_cost = isinstance(objective, LatencySlo) == is_feasible
    best = _best(surface, feasible if is_feasible else surface.exists, q, by_cost=by_cost)
    choice = _choice(problem, surface, best, quantile)
    return ExactOptimum(choice, is_feasible=is_feasible, evaluated=surface.evaluated)


def _best(surface: GridSurface, candidates: NDArray[np.bool_], q: float, *, by_cost: bool) -> NDArray[np.bool_]:
    if by_cost:
        return surface.fastest(q, surface.cheapest(candidates))
    return surface.cheapest(surface.fastest(q, candidates))


def _choice(problem: ExactProblem, surface: GridSurface, best: NDArray[np.bool_], quantile: str) -> Choice:
    found = surface.setting(best)
    memory = problem.memories_mb[found.memory_index]
    setting = TimerSetting(
        max_batch_size=found.max_batch_size, max_queue_delay_s=found.max_queue_delay_s, memory_mb=memory
    )
    service = service_law(problem.service, found.max_batch_size, memory_mb=memory, lengths=problem.lengths)
    others = tuple(text for text in REPORTED_QUANTILES if float(text) != float(quantile))
    prediction = predict_exact(problem.process, service, setting, quantiles=(quantile, *others), prices=problem.prices)
    return Choice(setting, prediction)
