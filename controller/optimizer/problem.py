"""Turns what is known at the moment of a look into the value that a search needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.serving_config import ServingConfig
from controller.optimizer.objective import World
from controller.optimizer.scenarios import TrafficSeen, build_scenarios, replay_scenario
from controller.optimizer.search_space import search_space
from controller.optimizer.study import Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.service_time import TokenServiceTimes
    from controller.domain.serving_config import AutoscalerSettings, InstanceShape
    from controller.settings import LoopSettings


@dataclass(frozen=True, slots=True)
class Known:
    """All that a search is made from, beside the settings of the loop.

    Attributes:
        traffic: law, rates and recent past.
        service: fitted law of service times.
        autoscaler: what the platform does not let us tune.
        shape: of an instance.
        present: setting in force.
        best: last one found, if any.
        workers: that servers have started.
        margin: learned, at least 1.
        may_hold: whether more instances may be kept for traffic to come.
        may_roll: whether a change that takes a new revision may be tried.
        served: arrivals by bin of what is compared with its simulation, none if nothing is.
    """

    traffic: TrafficSeen
    service: TokenServiceTimes
    autoscaler: AutoscalerSettings
    shape: InstanceShape
    present: ServingConfig
    best: ServingConfig | None
    workers: int
    margin: float
    may_hold: bool
    may_roll: bool
    served: NDArray[np.int64]


def make_problem(known: Known, settings: LoopSettings) -> Problem:
    """Return the problem of one search; the same knowledge gives the same problem.

    Every search meets the same random numbers (Glasserman and Yao 1992: common random numbers). With fresh ones, what
    two searches of one steady rate answer would differ by their noise, and settings would follow it.

    Raises:
        BadInputError: bounds that leave nothing to search.
    """
    ahead, behind = np.random.default_rng(settings.seed).spawn(2)
    traffic = known.traffic
    calibration = None
    if known.served.any():
        calibration = replay_scenario(known.served, traffic.lengths, behind, initial_scale=max(1, traffic.ready))
    space = search_space(
        known.present,
        shape=known.shape,
        workers=known.workers,
        bounds=settings.bounds,
        held=settings.held,
        may_hold=known.may_hold,
        may_roll=known.may_roll and settings.may_roll,
    )
    return Problem(
        space=space,
        scenarios=build_scenarios(traffic, ahead),
        world=World(
            service=known.service,
            autoscaler=known.autoscaler,
            shape=known.shape,
            prices=settings.prices,
            slo=settings.slo,
            margin=known.margin,
            seed=settings.seed,
        ),
        present=known.present,
        starts=(ServingConfig(), *([known.best] if known.best else [])),
        calibration=calibration,
        trials=settings.trials,
        budget_s=settings.budget_s,
    )
