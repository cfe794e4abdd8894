"""The best fixed setting in hindsight: every point of a grid simulated on the schedule that was really sent.

It is what a patient expert could have set once, had they known the traffic; the loop is measured against it.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING

from controller.domain.slo import ALLOWED_VIOLATION_RATIO
from controller.optimizer.objective import Evaluation, Scenario, World, evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.domain.serving_config import ServingConfig

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


def find_best_fixed(untuned: ServingConfig, schedule: Scenario, world: World, *, processes: int) -> BestFixed:
    """Simulate the whole grid, in several processes, and choose.

    Args:
        untuned: gives the settings that the grid leaves alone.
        schedule: the arrivals and lengths that were sent.
        world: service times as they were measured, surroundings, prices and the objective.
        processes: how many to use.
    """
    names = tuple(COARSE_GRID)
    points = [
        replace(untuned, **dict(zip(names, values, strict=True))) for values in itertools.product(*COARSE_GRID.values())
    ]
    points = [point for point in points if not point.max_scale or point.min_scale <= point.max_scale]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_use_every_core) as pool:
        evaluations = list(pool.map(_Judge(schedule, world), points, chunksize=8))
    best = choose_fixed(evaluations)
    return BestFixed(best, len(evaluations), best.attainment >= 1 - ALLOWED_VIOLATION_RATIO)


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


def _use_every_core() -> None:
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
