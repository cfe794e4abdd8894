"""A rehearsal of the control loop: a scene on the simulated platform, in virtual time, and what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.control_loop import ControlLoop, Parts
from controller.domain.arrival_process import sample_arrivals
from controller.domain.cost import instances_cost_usd
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.monitor.detection import default_detection
from controller.optimizer.margin import learn_margin
from controller.optimizer.search_process import InlineSearch
from controller.platforms.simulated import SimulatedPlatform
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from controller.domain.arrival_process import ArrivalProcess
    from controller.domain.service_time import ServiceTimes
    from controller.monitor.traffic import Detection
    from controller.optimizer.margin import Lesson
    from controller.optimizer.search_process import Search
    from controller.performance_model.simulation_result import SimulationResult
    from controller.settings import LoopSettings

TOKENS = (12, 36)
"""Shortest and longest request of a drawn scene."""
SEARCH_TAKES_S = 2.0
"""Virtual seconds from a question to its answer; a child process on a busy core takes about as long."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """What a loop meets.

    Attributes:
        arrival_s: shape (n,), ascending from 0.
        tokens: shape (n,).
        until_s: end.
        service: seconds of a batch.
        shape: of an instance.
        stated: the shape that the loop is told, where it is not the true one.
        autoscaler: what is not tuned.
        config: setting at the start.
        later: seconds from which on batches take other times, ascending.
        seed: of the noise of service times.
    """

    arrival_s: NDArray[np.float64]
    tokens: NDArray[np.int64]
    until_s: float
    service: ServiceTimes
    shape: InstanceShape = field(default_factory=InstanceShape)
    stated: InstanceShape | None = None
    autoscaler: AutoscalerSettings = field(default_factory=AutoscalerSettings)
    config: ServingConfig = field(default_factory=ServingConfig)
    later: tuple[tuple[float, ServiceTimes], ...] = ()
    seed: int = 0


def drawn_scene(
    process: ArrivalProcess, service: ServiceTimes, *, until_s: float, rng: np.random.Generator, **rest: Any
) -> Scene:
    """Return a scene of drawn arrivals of `TOKENS`; the rest are fields of the scene."""
    arrival_s = sample_arrivals(process, duration_s=until_s, rng=rng)
    tokens = rng.integers(TOKENS[0], TOKENS[1] + 1, arrival_s.size)
    return Scene(arrival_s=arrival_s, tokens=tokens, until_s=until_s, service=service, **rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A loop and its parts, each of which can be another one.

    Attributes:
        settings: of the loop.
        detection: how changes are found and laws fitted.
        lesson: what the margin learns from a comparison.
        search: where searches run; None is a new one in virtual time.
    """

    settings: LoopSettings
    detection: Detection = field(default_factory=default_detection)
    lesson: Lesson = learn_margin
    search: Search | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rehearsed:
    """What came of it.

    Attributes:
        design: of the loop.
        result: what every request met, and every instance.
        decisions: lines of decisions.jsonl.
        changes: lines of settings.jsonl.
        search_cpu_s: CPU time of all searches.
        margin: at the end.
    """

    design: Design
    result: SimulationResult
    decisions: list[Mapping[str, Any]]
    changes: list[Mapping[str, Any]]
    search_cpu_s: float
    margin: float

    @property
    def window_violation_ratio(self) -> float:
        """Share of windows that violate the objective."""
        return self.result.window_violation_ratio(self.design.settings.slo)

    @property
    def cost_usd(self) -> float:
        """Of all instances, idle and starting time included."""
        return instances_cost_usd(self.result.instances, self.design.settings.prices, 0.0, self.result.until_s)

    @property
    def usd_per_million(self) -> float:
        """The same for each million requests."""
        return 1e6 * self.cost_usd / max(1, self.result.arrival_s.size)

    @property
    def regimes(self) -> int:
        """Changes of regime that led to a look."""
        return sum(line["kind"] == "regime" for line in self.decisions)

    def count(self, price: str) -> int:
        """Return how many changes had this price: hot, warm or slow."""
        return sum(line["price"] == price for line in self.changes)


class _Notes:
    """A diary in memory."""

    def __init__(self) -> None:
        self.decisions: list[Mapping[str, Any]] = []
        self.changes: list[Mapping[str, Any]] = []

    def decided(self, line: Mapping[str, Any]) -> None:
        self.decisions.append(line)

    def changed(self, line: Mapping[str, Any]) -> None:
        self.changes.append(line)


def rehearse(scene: Scene, design: Design) -> Rehearsed:
    """Play a scene to its end; the same scene and design give the same, but for the CPU time of searches."""
    return asyncio.run(play(scene, design))


async def play(scene: Scene, design: Design) -> Rehearsed:
    """See `rehearse`; for callers that have an event loop."""
    merge, notes = HeartbeatMerge(), _Notes()
    platform = SimulatedPlatform(
        service=scene.service,
        merge=merge,
        outbox=Outbox(),
        rng=np.random.default_rng(scene.seed),
        autoscaler=scene.autoscaler,
        shape=scene.shape,
    )
    platform.offer(scene.arrival_s, scene.tokens)
    search = design.search or InlineSearch(takes_s=SEARCH_TAKES_S)
    await platform.start(scene.config)
    platform.shape = scene.stated or scene.shape
    loop = ControlLoop(Parts(platform, merge, design.settings, notes, design.detection, search, lesson=design.lesson))
    now_s, later = 0.0, list(scene.later)
    while now_s < scene.until_s:
        now_s = await platform.advance(min(scene.until_s, now_s + design.settings.tick_s))
        while later and later[0][0] <= now_s:
            platform.serve(later.pop(0)[1])
        await loop.step(now_s)
    return Rehearsed(design, platform.result(), notes.decisions, notes.changes, loop.search_cpu_s, loop.view.margin)


def settled_after_s(run: Rehearsed, since_s: float) -> float:
    """Return how long after this second the objective's quantile is inside the bound for good, second by second.

    Requests of the last seconds, which could not all be answered by the end, do not count.
    """
    slo, result = run.design.settings.slo, run.result
    judged = result.arrival_s < result.until_s - 2 * slo.bound_s
    second = np.floor(result.arrival_s[judged]).astype(np.int64)
    late, all_of = result.late(slo.bound_s)[judged], np.bincount(second)
    missed = np.bincount(second, weights=late) > (1 - slo.quantile) * all_of + 1e-9
    after = np.flatnonzero(missed)
    after = after[after >= since_s]
    return float(after[-1] + 1 - since_s) if after.size else 0.0
