"""The event simulator on schedules that the test cluster was sent, and how far the two are apart.

Everything is read from folders that a bench left behind, so a change of the simulator can be judged again without a
cluster. One run on the cluster is one draw: its autoscaler ticks at some phase. The simulation is the mixture over
phases, which is the law that the run was drawn from.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.domain.instance_log import read_instance_log
from controller.domain.request_log import read_request_log
from controller.performance_model.simulator import PodSimulator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from controller.domain.instance_log import InstanceRow
    from controller.domain.service_time import ServiceTimes
    from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig

PHASES = 20
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A run on the cluster: times in seconds since its start.

    Attributes:
        arrival_s: intended instants, shape (n,).
        tokens: as the server's tokenizer counts them, shape (n,).
        latency_s: done minus intended, infinite without a right answer, shape (n,).
        instances: life of each pod, until it was gone.
        duration_s: how long requests arrive.
        load1: the machine's run queue at the end of the run.
    """

    kind: str
    seed: int
    arrival_s: NDArray[np.float64]
    tokens: NDArray[np.int64]
    latency_s: NDArray[np.float64]
    instances: Sequence[InstanceRow]
    duration_s: float
    load1: float


@dataclass(frozen=True, slots=True)
class World:
    """What the simulator is told of the cluster, the same for every run."""

    config: ServingConfig
    autoscaler: AutoscalerSettings
    service: ServiceTimes
    shape: InstanceShape
    tail_s: float
    """How long after the schedule pods are counted: until the last is gone."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run, or of its simulation."""

    pod_s: float
    """Pod-seconds that are paid for, from creation until gone, whole life."""
    pod_s_under_load: float
    """Those before the end of the schedule."""
    quantiles_s: tuple[float, ...]
    answered: float


def read_run(folder: Path) -> Measured:
    """Read the folder of one run."""
    about: dict[str, Any] = json.loads((folder / "run.json").read_text())
    log = read_request_log(folder / "requests.csv")
    return Measured(
        kind=about["kind"],
        seed=about["seed"],
        arrival_s=log.intended_s,
        tokens=np.array(about["tokens"], dtype=np.int64),
        latency_s=log.latency_s,
        instances=read_instance_log(folder / "instances.csv"),
        duration_s=about["duration_s"],
        load1=about["load1"],
    )


def figures(
    latency_s: NDArray[np.float64], lives: Sequence[Sequence[InstanceRow]], duration_s: float, tail_s: float
) -> Figures:
    """Figures of the pooled latencies and of the mean over lives of pods."""

    def paid(until_s: float) -> float:
        return statistics.mean(sum(row.billed_s(0.0, until_s) for row in rows) for rows in lives)

    quantiles = tuple(float(np.quantile(latency_s, q, method="inverted_cdf")) for q in QUANTILES)
    answered = float(np.isfinite(latency_s).mean())
    return Figures(paid(duration_s + tail_s), paid(duration_s), quantiles, answered)


def figures_of(run: Measured, world: World) -> Figures:
    """What was measured."""
    return figures(run.latency_s, [run.instances], run.duration_s, world.tail_s)


def simulate(run: Measured, world: World, *, overhead_s: float) -> Figures:
    """What the simulator says of the same schedule from zero pods, with a constant added to each request."""
    latencies: list[NDArray[np.float64]] = []
    lives: list[list[InstanceRow]] = []
    tick_s = world.autoscaler.tick_s
    for phase_s in (np.arange(PHASES) + 0.5) / PHASES * tick_s:
        simulator = PodSimulator(
            world.config,
            service=world.service,
            rng=np.random.default_rng(0),
            autoscaler=world.autoscaler,
            shape=world.shape,
            initial_scale=0,
        )
        until_s = run.duration_s + world.tail_s
        result = simulator.run(run.arrival_s + phase_s, run.tokens, until_s=until_s + phase_s)
        latencies.append(result.latency_s + overhead_s)
        lives.append([shifted(row, phase_s) for row in result.instances])
    return figures(np.concatenate(latencies), lives, run.duration_s, world.tail_s)


def shifted(row: InstanceRow, phase_s: float) -> InstanceRow:
    times = (row.started_s - phase_s, row.ready_s - phase_s, row.stopped_s - phase_s)
    return type(row)(row.instance, row.revision, *times, row.vcpu, row.memory_mb)
