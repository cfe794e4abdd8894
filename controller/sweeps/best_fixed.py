"""The best fixed setting in hindsight: every point of a grid simulated on the schedule that was really sent.

It is what a patient expert could have set once, had they known the traffic; the loop is measured against it.
"""

from __future__ import annotations

import itertools
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.prices import load_prices
from controller.domain.slo import ALLOWED_VIOLATION_RATIO
from controller.errors import BadInputError
from controller.optimizer.objective import Evaluation, Scenario, World, evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.domain.service_time import TokenServiceTimes
    from controller.domain.serving_config import ServingConfig
    from controller.sweeps.live_run import LiveRun

COARSE_GRID: dict[str, tuple[float, ...]] = {
    "max_batch_size": (1, 4, 8, 16, 32),
    "batch_tokens": (128, 512, 2048),
    "min_scale": (0, 1),
    "max_scale": (1, 2, 0),
    "target": (8.0, 100.0),
}
"""Every second or third value of what the loop may set: 180 points, some seconds."""


@dataclass(frozen=True, slots=True)
class BestFixed:
    """The cheapest setting of the grid that keeps the windows, or the one that keeps most where none does."""

    evaluation: Evaluation
    evaluated: int
    is_feasible: bool

    @property
    def config(self) -> ServingConfig:
        """The setting itself."""
        return self.evaluation.config

    def describe(self) -> str:
        """Return one line: what was chosen of how many, and what is predicted."""
        config, predicted = self.config, self.evaluation
        verdict = "keeps the objective" if self.is_feasible else "no setting keeps the objective; this keeps most"
        return (
            f"batch {config.max_batch_size}, {config.batch_tokens} tokens, scale {config.min_scale} to "
            f"{config.max_scale or 'any'}, target {config.target:g}: {verdict}; of {self.evaluated} settings; "
            f"predicted p95 {predicted.p95_s:.2f} s, {predicted.cost_per_million_usd:.2f} USD per million"
        )

    def to_document(self) -> dict[str, object]:
        """Return what demo.json keeps of it."""
        return {
            "config": self.config.to_document(),
            "evaluated": self.evaluated,
            "feasible": self.is_feasible,
            "kind": "simulated",
            "p95_s": self.evaluation.p95_s,
            "window_violation_ratio": 1 - self.evaluation.attainment,
            "cost_per_million_usd": self.evaluation.cost_per_million_usd,
        }


def find_best_fixed(plan: LiveRun, service: TokenServiceTimes) -> BestFixed:
    """Simulate the whole grid on the schedule that a run sent, in a process per core, and choose.

    Args:
        plan: of the run; its setting gives what the grid leaves alone, its schedule the arrivals.
        service: service times as they were measured.
    """
    names = tuple(COARSE_GRID)
    points = [
        replace(plan.config, **dict(zip(names, values, strict=True)))
        for values in itertools.product(*COARSE_GRID.values())
    ]
    points = [point for point in points if not point.max_scale or point.min_scale <= point.max_scale]
    world = World(service, plan.autoscaler, plan.shape, load_prices().cluster, plan.slo)
    judge = _Judge(read_scenario(plan), world)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"), initializer=_begin_worker) as pool:
        evaluations = list(pool.map(judge, points, chunksize=8))
    best = choose_fixed(evaluations)
    return BestFixed(best, len(evaluations), best.attainment >= 1 - ALLOWED_VIOLATION_RATIO)


def read_scenario(plan: LiveRun) -> Scenario:
    """Return a saved schedule.csv as a scenario that begins, like a live run, with one ready instance.

    Raises:
        BadInputError: the plan names no schedule, or it cannot be read.
    """
    if plan.schedule is None:
        raise BadInputError(f"{plan.folder}: needs the schedule.csv of a run")
    try:
        columns = np.loadtxt(plan.schedule, delimiter=",", skiprows=1, usecols=(1, 2), ndmin=2)
    except (OSError, ValueError) as error:
        raise BadInputError(f"{plan.schedule}: cannot be read ({error}); run the schedule first") from error
    return Scenario("schedule", "steady", columns[:, 0], columns[:, 1].astype(np.int64), plan.duration_s, 1)


def choose_fixed(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the cheapest setting that keeps 95 % of windows; among equals in cost (1 %) the lowest p95."""
    keeping = [each for each in evaluations if each.attainment >= 1 - ALLOWED_VIOLATION_RATIO]
    if not keeping:
        return max(evaluations, key=lambda each: (each.attainment, -each.cost_per_s_usd))
    cheapest = min(each.cost_per_s_usd for each in keeping)
    return min((each for each in keeping if each.cost_per_s_usd <= 1.01 * cheapest), key=lambda each: each.p95_s)


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    schedule: Scenario
    world: World

    def __call__(self, config: ServingConfig) -> Evaluation:
        return evaluate(config, (self.schedule,), self.world)


def _begin_worker() -> None:
    """Take every core, and leave Ctrl-C to the parent, which ends the pool: a child would print its own traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "sched_setaffinity"):  # Linux alone has it; elsewhere nobody narrowed the cores
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
