"""One real run on this machine: activator and servers, the load generator, and, if wanted, the loop.

`run_live` is called by the demo, `tidegate tune` and `tidegate sweep`; it turns a LiveRun into a run's folder. Whatever
happens while it runs (Ctrl-C, SIGTERM, a child that dies, a full disk), every process it started has ended when it
returns or raises, and a folder that is no result says `"finished": false` in its run.json.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.domain.instance_log import write_instance_log
from controller.errors import BadInputError, TemporaryError, TidegateError
from controller.monitor.source import FrontArrivals
from controller.sweeps.live_parts import LateStartError, LiveParts
from controller.sweeps.model_choice import check_model
from controller.sweeps.run_record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path
    from typing import Any

    from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
    from controller.domain.slo import LatencySlo
    from controller.platforms.local.local_platform import LocalPlatform
    from controller.platforms.protocol import Platform, PlatformState
    from controller.telemetry.merge import HeartbeatMerge
    from controller.telemetry.outbox import Outbox

LEADS_S = (5.0, 10.0, 20.0)
"""From the first process to the first request. Activator and load generator need about 3 s of it together; where a busy
machine needs more, the run is begun again with the next lead."""
ANSWERS_S = 60.0
"""After the last request: the generator waits 30 s for answers at most, then writes down what it saw."""
PROGRESS_S = 10.0
"""Between two lines of progress, and between two looks whether the activator is alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """What to run. `schedule` replays a saved schedule.csv; otherwise one is drawn from `arrivals`."""

    folder: Path
    config: ServingConfig
    autoscaler: AutoscalerSettings
    shape: InstanceShape
    arrivals: dict[str, object]
    seed: int
    duration_s: float
    slo: LatencySlo
    server_cpus: set[int]
    other_cpus: set[int]
    model: str = "demo"
    payloads: str = "short"
    protocol: str = "v2"
    schedule: Path | None = None
    tail_s: float = 0.0
    """Time that is recorded after the load, so that scale to zero is seen and paid."""
    most_workers: int = 1
    """Workers that each instance starts, so that a loop can raise their active number to it."""


LoopFactory = Callable[["Platform", "HeartbeatMerge", "Outbox", "Path"], "Coroutine[Any, Any, None]"]
"""Runs a control loop until it is cancelled."""


@dataclass(frozen=True, slots=True)
class LiveResult:
    """A run that came to its end."""

    folder: Path
    valid: bool
    why: str
    """Reasons not to trust the figures; empty for a valid run."""


async def run_live(run: LiveRun, *, loop: LoopFactory | None, progress: Callable[[str], None]) -> LiveResult:
    """Run once, and return when every process has ended and every file is written.

    Raises:
        BadInputError: the folder holds something, or the model, payloads, arrivals or schedule cannot be used.
        TemporaryError: a process died or the disk is full; the folder is marked as unfinished.
    """
    check_model(run.model)
    _make_folder(run.folder)
    for lead_s in LEADS_S:
        try:
            return await _run_once(run, lead_s, loop, progress)
        except LateStartError as error:
            if lead_s == LEADS_S[-1]:
                raise
            progress(f"  {error}; begun again")
            await asyncio.to_thread(_empty, run.folder)
        except OSError as error:
            where = error.filename or run.folder
            raise TemporaryError(
                f"{where}: cannot be written ({error.strerror}); free some space, or another --out"
            ) from error
    raise AssertionError("the last lead returns or raises")


async def _run_once(
    run: LiveRun, lead_s: float, loop: LoopFactory | None, progress: Callable[[str], None]
) -> LiveResult:
    for name in ("decisions.jsonl", "settings.jsonl"):
        (run.folder / name).touch()
    record = RunRecord(run.folder)
    # Zero is fixed before anything starts, so all clocks of the run share it.
    started_at_s = time.time() + lead_s
    record.begin(run, started_at_s)
    parts = LiveParts(run, started_at_s)
    try:
        await _work(parts, loop, progress)
    except BaseException as error:
        record.fail(_reason(error))
        raise
    finally:
        await _finish_in_peace(parts.aclose())
    valid, why = record.finish()
    return LiveResult(run.folder, valid, why)


async def _work(parts: LiveParts, loop: LoopFactory | None, progress: Callable[[str], None]) -> None:
    run = parts.run
    platform = await parts.start()
    background: list[Coroutine[Any, Any, None]] = [_watch(parts, platform, progress)]
    if loop is not None:
        background.append(loop(platform, parts.merge, parts.outbox, run.folder))
    parts.tasks += [asyncio.ensure_future(each) for each in background]
    await _first_failure(_load_and_tail(parts, platform), parts.tasks)
    write_instance_log(run.folder / "instances.csv", await platform.instances())


async def _load_and_tail(parts: LiveParts, platform: LocalPlatform) -> None:
    await parts.load.wait(parts.run.duration_s - parts.now() + ANSWERS_S)
    await platform.advance(parts.run.duration_s + parts.run.tail_s)


async def _first_failure(main: Coroutine[Any, Any, None], background: list[asyncio.Task[None]]) -> None:
    """Wait for `main`; whatever fails in the background first, fails the run. Ending early is no failure."""
    task = asyncio.ensure_future(main)
    try:
        waiting = {task, *background}
        while not task.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(parts: LiveParts, platform: LocalPlatform, progress: Callable[[str], None]) -> None:
    """Tell how far the run is; a platform that no longer answers ends it."""
    arrivals, total_s = FrontArrivals(), parts.run.duration_s + parts.run.tail_s
    while True:
        await platform.advance(max(0.0, parts.now()) + PROGRESS_S)
        state = await platform.state()
        arrivals.take(state.front_arrivals, state.at_s)
        recent = arrivals.counts(state.at_s)[1][-int(PROGRESS_S) :]
        rate = f"{recent.mean() if recent.size else 0.0:4.0f} requests/s"
        progress(f"  {min(state.at_s, total_s):4.0f} of {total_s:.0f} s  {rate}  {_instances(state)}")


def _instances(state: PlatformState) -> str:
    starting = f", {state.starting} starting" if state.starting else ""
    return f"{state.ready} instance{'' if state.ready == 1 else 's'} ready{starting}"


async def _finish_in_peace(closing: Coroutine[Any, Any, None]) -> None:
    """Run the clean-up to its end, however often Ctrl-C is pressed meanwhile."""
    task = asyncio.ensure_future(closing)
    interrupted = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            interrupted = True
    task.result()
    if interrupted:
        raise asyncio.CancelledError


def _make_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInputError(f"{folder}: holds files already; name a new folder for the run")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise BadInputError(f"{folder}: cannot be made ({error.strerror}); name another folder") from error
    if free < 50e6:
        raise BadInputError(f"{folder}: only {free / 1e6:.0f} MB are free there, a run may need 50; free some")


def _empty(folder: Path) -> None:
    """Remove what a run that was begun too late wrote into its own, new folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _reason(error: BaseException) -> str:
    if isinstance(error, TidegateError):
        return str(error)
    return "interrupted" if isinstance(error, asyncio.CancelledError | KeyboardInterrupt) else repr(error)
