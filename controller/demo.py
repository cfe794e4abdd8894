"""The main job on one machine: one bursty schedule for tidegate, for untuned defaults and for the best fixed setting.

`run_demo` is the table of contents: prepare the model, measure one core, draw the schedule, run it live three times,
report. Servers have the first core; the load generator, the activator and the loop have the rest.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from controller.control_loop import control
from controller.domain.prices import load_prices
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.errors import RunInvalidError
from controller.monitor.journal import Journal, StateFile
from controller.reports.report import write_report
from controller.reports.tables import verdict_table
from controller.settings import LoopSettings
from controller.sweeps.best_fixed import find_best_fixed
from controller.sweeps.capacity import ServiceWatch, measure_capacity
from controller.sweeps.live_run import LiveRun, run_live
from controller.sweeps.live_trials import split_cores
from controller.sweeps.model_choice import prepare_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.domain.slo import LatencySlo
    from controller.platforms.protocol import Platform
    from controller.telemetry.merge import HeartbeatMerge
    from controller.telemetry.outbox import Outbox

STAGES = 7
PEAK_SHARE = 0.6
"""The schedule peaks at this share of one core's measured capacity, but for one burst."""
BURST_SHARE = 2.5
CROWD_SHARE = 0.9
"""What that burst asks of the core: it breaks out all at once, and the crowd stays for about two seconds. About half a
second of the core's work is left waiting, which is inside the objective if the core does nothing else, such as start
instances; and that depends little on the core's exact speed, which drifts by a tenth on a shared machine."""
AUTOSCALER = AutoscalerSettings(window_s=6.0, scale_to_zero_grace_period_s=5.0)
"""Knative's own 60 and 30 s are too long for a demo of 90 s. All else is Knative's: the activator of one or two
instances never leaves the path, so their grace period has passed when the idle window ends; more go up to 6 s later."""
MOST_INSTANCES = 6
"""What the one core can hold in memory and sense; Knative alone would set no bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What the user may choose."""

    folder: Path
    seed: int
    slo: LatencySlo
    model: str = "demo"
    payloads: str = "short"


def demo_arrivals(capacity_rps: float, rng: np.random.Generator) -> dict[str, object]:
    """Draw about 90 s of traffic: quiet, bursts, one burst beyond the core, a lull, silence, and a return.

    Args:
        capacity_rps: what one core was measured to serve.
        rng: decides rates, lengths of phases and where the great burst falls.

    Returns:
        An arrivals document of kind `phases`.
    """

    def share(low: float, high: float) -> float:
        return float(capacity_rps * rng.uniform(low, high))

    def poisson(rate_rps: float) -> dict[str, object]:
        return {"kind": "poisson", "rate_rps": round(rate_rps, 3)}

    def bursts(low_rps: float, high_rps: float, low_s: float, high_s: float) -> dict[str, object]:
        leave = [[0, round(1 / low_s, 4)], [round(1 / high_s, 4), 0]]
        return {"kind": "mmpp", "rates_rps": [round(low_rps, 3), round(high_rps, 3)], "switching_per_s": leave}

    bursty = bursts(share(0.10, 0.20), share(0.50, PEAK_SHARE), 3.0, 2.0)
    before = float(rng.uniform(8, 16))
    phases = [
        (float(rng.uniform(14, 17)), poisson(share(0.06, 0.10))),
        (before, bursty),
        (float(rng.uniform(0.33, 0.37)), poisson(BURST_SHARE * capacity_rps)),
        (float(rng.uniform(1.8, 2.2)), poisson(CROWD_SHARE * capacity_rps)),
        (26 - before, bursty),
        (float(rng.uniform(9, 12)), poisson(share(0.15, 0.30))),
        (float(rng.uniform(17, 20)), poisson(0.0)),
        (4.0, poisson(share(0.05, 0.08))),
        (8.0, poisson(share(0.25, 0.40))),
    ]
    return {"kind": "phases", "phases": [{"duration_s": round(s, 3), "arrivals": each} for s, each in phases]}


async def run_demo(settings: DemoSettings, say: Callable[[str], None]) -> Path:
    """Run the whole demo and return the page it wrote.

    Raises:
        TidegateError: a stage failed; the message names it.
        RunInvalidError: the load generator was late, so the figures must not be trusted.
    """
    server_cpus, other_cpus = split_cores()
    stage = Stages(say)

    stage.begin("model: prepare it, or find it prepared")
    await prepare_model(settings.model, say)

    plan = LiveRun(
        folder=settings.folder / "capacity",
        config=ServingConfig(),
        autoscaler=AUTOSCALER,
        shape=InstanceShape(cores=len(server_cpus), max_instances=MOST_INSTANCES),
        model=settings.model,
        arrivals={},
        seed=settings.seed,
        duration_s=0.0,
        payloads=settings.payloads,
        slo=settings.slo,
        server_cpus=server_cpus,
        other_cpus=other_cpus,
    )
    stage.begin("capacity: what one core serves")
    capacity_rps = await measure_capacity(plan, say)
    say(f"  {capacity_rps:.0f} requests/s; the schedule peaks at {PEAK_SHARE:.0%} of it, but for one burst")

    arrivals = demo_arrivals(capacity_rps, np.random.default_rng(settings.seed))
    plan = replace(plan, folder=settings.folder / "tidegate", arrivals=arrivals, duration_s=length_s(arrivals))
    stage.begin(f"tidegate: {plan.duration_s:.0f} s live; zero after 6 idle seconds (Knative: 60)")
    tuned = await run_live(plan, loop=_Tuner(settings.slo, say), progress=say)

    plan = replace(plan, schedule=plan.folder / "schedule.csv")
    stage.begin("untuned defaults: the same schedule with Knative's and our server's defaults")
    watch = ServiceWatch(plan)
    defaults = await run_live(replace(plan, folder=settings.folder / "defaults"), loop=watch, progress=say)

    stage.begin("best fixed setting in hindsight: a grid, simulated on this schedule")
    best = await asyncio.to_thread(find_best_fixed, plan, watch.service())
    say(f"  {best.describe()}")

    stage.begin("best fixed setting: one live run verifies it")
    fixed_run = replace(plan, folder=settings.folder / "best_fixed", config=best.config)
    fixed = await run_live(fixed_run, loop=None, progress=say)

    stage.begin("report")
    write_demo_record(settings, capacity_rps, best.to_document())
    report, page = write_report(settings.folder)
    say(verdict_table(report))
    for result in (tuned, defaults, fixed):
        if not result.valid:
            raise RunInvalidError(
                f"the run in {result.folder} is invalid ({result.why}); close other programs and repeat"
            )
    return page


@dataclass(frozen=True, slots=True)
class _Tuner:
    """The loop of one live run, telling each decision as it is made."""

    slo: LatencySlo
    say: Callable[[str], None]

    async def __call__(self, platform: Platform, merge: HeartbeatMerge, outbox: Outbox, folder: Path) -> None:
        del outbox  # the platform puts hot settings into it
        settings = LoopSettings(slo=self.slo, prices=load_prices().cluster)
        await control(platform, merge, settings, Journal(folder, tell=self.say), StateFile(folder / "state.json"))


def length_s(arrivals: dict[str, object]) -> float:
    """Return how long the phases last together."""
    phases = arrivals["phases"]
    return sum(float(phase["duration_s"]) for phase in phases) if isinstance(phases, list) else 0.0


class Stages:
    """Numbered headings with the time since the start."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = 0
        self._start_s = time.monotonic()

    def begin(self, title: str) -> None:
        """Announce the next stage."""
        self._begun += 1
        self._say(f"[{self._begun}/{STAGES}] {time.monotonic() - self._start_s:4.0f} s  {title}")


def write_demo_record(settings: DemoSettings, capacity_rps: float, best: dict[str, object]) -> None:
    """Write demo.json: what the three runs share."""
    record = {
        "seed": settings.seed,
        "capacity_rps": capacity_rps,
        "slo": {"quantile": settings.slo.quantile, "bound_s": settings.slo.bound_s},
        "model": settings.model,
        "best_fixed": best,
    }
    path = settings.folder / "demo.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=2))
    partial.replace(path)
