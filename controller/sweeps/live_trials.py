"""Trials that are real runs on this machine: each a fresh platform, real servers, and Locust with the same schedule.

Hot and warm settings could be changed in a running platform, which would save about 6 s a trial. But then a trial would
begin with the instances, queues and averages that the one before it left, and its figures would depend on the order.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.errors import TemporaryError
from controller.sweeps.live_run import LiveRun, run_live
from controller.sweeps.runner import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.sweeps.parameters import Setting
    from controller.sweeps.records import TrialFigures
    from controller.sweeps.sweep_document import Sweep

TRIAL_AUTOSCALER = AutoscalerSettings(window_s=6.0, scale_to_zero_grace_period_s=5.0)
"""Knative's own 60 s before zero, and at most 30 s more, are longer than a trial lasts. All else is Knative's."""
MOST_INSTANCES = 6
"""Server processes that share one core beyond which a laptop's memory is the limit, not the setting."""


@dataclass(frozen=True, slots=True)
class LiveTrials:
    """Runs the trials of one sweep.

    Attributes:
        sweep: whose workload is sent.
        model: what the servers load.
        figures: run folder → what is kept of the run.
        say: takes lines of progress inside a trial.
    """

    sweep: Sweep
    model: str
    figures: Callable[[Path], TrialFigures]
    say: Callable[[str], None]

    async def run(self, setting: Setting, folder: Path) -> Outcome:
        """Run one setting; a platform that broke down is a failed trial, a late generator an invalid one.

        Raises:
            BadInputError: the input is unusable, so no other trial would fare better.
        """
        config = replace(ServingConfig(), **setting)
        workload, cores = self.sweep.workload, split_cores()
        run = LiveRun(
            folder=folder,
            config=config,
            autoscaler=TRIAL_AUTOSCALER,
            shape=InstanceShape(cores=len(cores[0]), max_instances=MOST_INSTANCES),
            model=self.model,
            arrivals=workload.arrivals,
            seed=workload.seed,
            duration_s=workload.duration_s,
            payloads=workload.payloads,
            protocol=workload.protocol,
            slo=self.sweep.slo,
            server_cpus=cores[0],
            other_cpus=cores[1],
        )
        try:
            result = await run_live(run, loop=None, progress=self.say)
            figures = self.figures(folder)
        except TemporaryError as error:
            return Outcome("Failed", str(error))
        return Outcome("Complete" if result.valid else "Invalid", result.why, figures)


def split_cores() -> tuple[set[int], set[int]]:
    """Return the core of the servers and those of everything else; on one core they share it."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    return {usable[0]}, set(usable[1:]) or {usable[0]}
