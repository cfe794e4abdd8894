"""`tidegate optimize` for calls without bound: every setting of the grid, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.commands.model_inputs import choose_workers, parse_memories
from controller.domain.arrival_map import Map
from controller.domain.arrival_process import PoissonProcess, read_arrivals
from controller.domain.prices import load_prices
from controller.domain.service_table import TableServiceTimes
from controller.domain.service_time import read_service_times
from controller.domain.token_lengths import read_token_lengths
from controller.errors import BadInputError
from controller.performance_model.exact_optimum import ExactProblem, find_exact_optimum
from controller.performance_model.grid_search import Grid

if TYPE_CHECKING:
    import argparse

    from controller.domain.service_time import ServiceTimes
    from controller.domain.slo import LatencySlo
    from controller.performance_model.exact_optimum import Budget
    from controller.performance_model.prediction import Prediction

DEFAULT_MAX_BATCH_SIZE = 20
CONFIG_KEYS = (
    "max_batch_size",
    "max_queue_delay_s",
    "memory_mb",
    "batch_tokens",
    "workers",
    "container_concurrency",
    "min_scale",
    "max_scale",
    "target",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A setting, with None for the knobs that the server law does not have, and what is predicted of it."""

    config: dict[str, float | None]
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Found:
    """The best setting, or the closest one where none is feasible."""

    best: Answer
    is_feasible: bool
    evaluated: int


def search(arguments: argparse.Namespace, objective: LatencySlo | Budget, quantile: str) -> Found:
    """Read the documents and search the grid.

    Raises:
        BadInputError: a flag or document that cannot be used.
    """
    service = choose_workers(read_service_times(arguments.service_times), arguments.workers)
    process = read_arrivals(arguments.arrivals)
    if not isinstance(process, PoissonProcess | Map):
        raise BadInputError(
            f"{arguments.arrivals}: needs a stationary process, got {type(process).__name__.lower()}; "
            "fit one first with tidegate fit"
        )
    grid = Grid(
        max_batch_size=largest_batch(arguments.max_batch_size, service),
        max_queue_delay_s=arguments.max_queue_delay_s,
        delay_step_s=arguments.delay_step_s,
    )
    problem = ExactProblem(
        process=process,
        service=service,
        memories_mb=_memories(arguments.memory_mb, service),
        grid=grid,
        prices=load_prices(arguments.prices),
        lengths=None if arguments.lengths is None else read_token_lengths(arguments.lengths),
    )
    optimum = find_exact_optimum(problem, objective, quantile=quantile)
    setting = optimum.best.setting
    config: dict[str, float | None] = dict.fromkeys(CONFIG_KEYS)
    config["max_batch_size"] = setting.max_batch_size
    config["max_queue_delay_s"] = setting.max_queue_delay_s
    config["memory_mb"] = setting.memory_mb
    return Found(Answer(config, optimum.best.prediction), is_feasible=optimum.is_feasible, evaluated=optimum.evaluated)


def largest_batch(asked: int | None, service: ServiceTimes) -> int:
    """Return the largest batch size to try: the one asked for, else 20 or as many as were measured."""
    if asked is not None or not isinstance(service, TableServiceTimes):
        return DEFAULT_MAX_BATCH_SIZE if asked is None else asked
    return min(DEFAULT_MAX_BATCH_SIZE, service.table_s.shape[1])


def _memories(asked: str | None, service: ServiceTimes) -> tuple[int, ...]:
    if asked is not None:
        return parse_memories(asked)
    if not service.memories_mb:
        raise BadInputError("memory: cost needs it; give --memory-mb, such as 2048 or 1280:3008:64")
    return service.memories_mb
