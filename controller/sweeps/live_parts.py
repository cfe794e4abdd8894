"""The processes and servers of one live run: how they start, on which cores, and how all of them end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import time
from typing import TYPE_CHECKING

from controller.errors import TemporaryError
from controller.platforms.local.activator import ACTIVATOR_FILE
from controller.platforms.local.activator_settings import ActivatorSettings
from controller.platforms.local.instances import server_command
from controller.platforms.local.local_platform import LocalPlatform
from controller.sweeps.load_process import LoadProcess
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox
from controller.telemetry.reception import Desk, SharedSecret
from controller.telemetry.server import TelemetryServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.sweeps.live_run import LiveRun

READY_BEFORE_S = 0.5
"""How long before zero everything has to wait for it."""
START_GRACE_S = 5.0
"""How long an interrupted run waits for its activator to come up, to be able to end it."""


class LateStartError(TemporaryError):
    """The run was not ready when its first request was due."""


class LiveParts:
    """The processes and servers of one run, and how they end."""

    def __init__(self, run: LiveRun, started_at_s: float) -> None:
        self.run = run
        self.started_at_s = started_at_s
        self.merge = HeartbeatMerge(started_at_s=started_at_s)
        self.outbox = Outbox()
        self.secret = secrets.token_hex(16)
        self.telemetry = TelemetryServer(SharedSecret(self.secret, Desk(self.merge, self.outbox, self.now)))
        self.platform: LocalPlatform | None = None
        self.load = LoadProcess(run.folder / "load.log", run.other_cpus)
        self.tasks: list[asyncio.Task[None]] = []
        self._starting: asyncio.Future[None] | None = None
        self._cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
        self._origin_s = time.monotonic() + started_at_s - time.time()
        self._begun_s = self.now()

    def now(self) -> float:
        """Return seconds since the start of the run."""
        return time.monotonic() - self._origin_s

    async def start(self) -> LocalPlatform:
        """Start the platform, and the load generator as soon as there is an address to send to: both need seconds.

        Returns:
            The platform, with its first instance ready, and the load generator waiting for zero.

        Raises:
            LateStartError: that took until zero or longer.
        """
        run = self.run
        platform = self._make_platform(await self.telemetry.start())
        # The activator starts with every core of the run, to give some to its servers, and is then moved.
        use_cores(0, run.server_cpus | run.other_cpus)
        starting = self._starting = asyncio.ensure_future(platform.start(run.config))
        await _until(lambda: bool(platform.url) or starting.done())
        if platform.url:
            await self.load.start(run, platform.url, self.started_at_s)
        await asyncio.shield(starting)
        use_cores(_activator_pid(run.folder / "platform"), run.other_cpus)
        use_cores(0, run.other_cpus)
        # The generator writes its schedule when all that is left to do is to wait for zero.
        await _until(lambda: self.load.has_ended or (run.folder / "schedule.csv").exists())
        if self.now() > -READY_BEFORE_S and not self.load.has_ended:
            lead_s = self.now() - self._begun_s
            raise LateStartError(f"the machine is busy: to start took {lead_s:.1f} s, longer than planned")
        return platform

    def _make_platform(self, telemetry_url: str) -> LocalPlatform:
        run = self.run
        settings = ActivatorSettings(
            run_folder=run.folder.absolute() / "platform",
            listen="127.0.0.1:0",
            command=server_command(run.model),
            config=run.config,
            autoscaler=run.autoscaler,
            shape=run.shape,
            most_workers=max(run.most_workers, run.config.workers),
            server_cpus=frozenset(run.server_cpus),
            environment={"TIDEGATE_CONTROLLER_URL": telemetry_url, "TIDEGATE_CONTROLLER_TOKEN": self.secret},
            started_at_s=self.started_at_s,
        )
        self.platform = LocalPlatform(settings, self.outbox, outlives_us=False)
        return self.platform

    async def aclose(self) -> None:
        """End everything, the load first, so that it sees no server die."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.load.aclose()
        await self._close_platform()
        await self.telemetry.aclose()
        use_cores(0, self._cores)
        # It holds the secret of the heartbeats and paths of this machine; neither belongs into a result.
        (self.run.folder / "platform" / "activator-settings.json").unlink(missing_ok=True)

    async def _close_platform(self) -> None:
        if self._starting is not None:
            # A platform that is interrupted before it knows its activator cannot end it: let it come up first.
            await asyncio.wait([self._starting], timeout=START_GRACE_S)
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self.platform is not None:
            await self.platform.aclose()


def use_cores(pid: int, cores: set[int]) -> None:
    """Move a process (0: this one) to some cores; where the system knows no such thing, or forbids it, it stays."""
    with contextlib.suppress(OSError, AttributeError):
        if cores:
            os.sched_setaffinity(pid, cores)


def _activator_pid(platform_folder: Path) -> int:
    return int(json.loads((platform_folder / ACTIVATOR_FILE).read_text())["pid"])


async def _until(is_true: Callable[[], bool]) -> None:
    while not is_true():  # noqa: ASYNC110  an address and a file come without an event that tells of them
        await asyncio.sleep(0.01)
