"""One server process: spawned with an inherited socket, asked until it is ready, drained, reaped."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
import sys
from dataclasses import dataclass
from time import monotonic, time
from typing import TYPE_CHECKING, Literal

from controller.domain.instance_log import InstanceRow
from controller.platforms.local.child_process import prepare_child
from controller.platforms.local.instance_connection import InstancePool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from controller.domain.serving_config import InstanceShape
    from controller.platforms.local.front_request import FrontRequest

State = Literal["starting", "ready", "draining", "stopped"]

READY_POLL_S = 0.02
DRAIN_S = 35.0
"""How long a draining instance may hold requests: their longest deadline and some room."""
TERM_GRACE_S = 12.0
"""From SIGTERM to SIGKILL: the server's own drain of 10 s and some room."""
_READY_REQUEST = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Launch:
    """How instances are started."""

    command: tuple[str, ...]
    """Before `--fd N`."""
    environment: Mapping[str, str]
    cpus: frozenset[int]
    """Cores that instances may use; empty for all."""
    log_folder: Path
    ready_within_s: float = 60.0
    """A process that is not ready by then is killed: a start that hangs would hold its place for ever."""


class LocalInstance:
    """The record of one life. Times are seconds on the monotonic clock.

    Args:
        name: unique in the run.
        revision: that it belongs to.
        bound: requests it may hold; 0 is no bound.
        launch: how to start it.
    """

    def __init__(self, name: str, revision: int, bound: int, launch: Launch) -> None:
        self.name = name
        self.revision = revision
        self.bound = bound
        self.state: State = "starting"
        self.in_flight = 0
        self.started_s = monotonic()
        self.ready_s = self.stopped_s = math.nan
        self.exit_code: int | None = None
        self.failure: str | None = None
        """Why it did not become ready, where its log cannot know."""
        self.log_path = launch.log_folder / f"{name}.log"
        self._launch = launch
        self._process: asyncio.subprocess.Process | None = None
        self._pool: InstancePool | None = None
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._spawned = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._released: Callable[[], None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id, once it runs."""
        return None if self._process is None else self._process.pid

    @property
    def is_wanted_gone(self) -> bool:
        """Whether it was told to end, as opposed to dying."""
        return self._ending is not None

    def has_room(self) -> bool:
        """Whether it may be sent another request."""
        return not self.bound or self.in_flight < self.bound

    def forward(self, request: FrontRequest, now_s: float) -> None:
        """Send a request to it."""
        assert self._pool is not None  # noqa: S101  narrows the type; only ready instances are asked
        self.in_flight += 1
        self._is_empty.clear()
        self._pool.send(request, now_s)

    async def start(self, *, released: Callable[[], None], refused: Callable[[FrontRequest], None]) -> None:
        """Spawn the process.

        Args:
            released: called when it holds one request less.
            refused: called with a request that could not be sent.

        Raises:
            OSError: the machine refuses another process or file.
            Exception: whatever else keeps a process from being spawned; `abandon` cleans up after any.
        """
        self._released = released
        try:
            await self._spawn(refused)
        finally:
            self._spawned.set()

    async def abandon(self, why: str) -> None:
        """Kill what there is of it, after an error in its handling."""
        self.failure = why
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self.exit_code = await self._process.wait()
        self.state, self.stopped_s = "stopped", monotonic()

    async def _spawn(self, refused: Callable[[FrontRequest], None]) -> None:
        # The socket listens before the exec, so there is no port to race for; our copy is closed, so that a dead
        # instance refuses connections instead of letting them wait.
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
            address: tuple[str, int] = listener.getsockname()[:2]
            self._pool = InstancePool(address, self.name, done=self._done, refused=refused)
            environment = {
                **self._launch.environment,
                "TIDEGATE_INSTANCE": self.name,
                "TIDEGATE_STARTED_AT_S": f"{time():.6f}",
            }
            self._launch.log_folder.mkdir(parents=True, exist_ok=True)
            with self.log_path.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._launch.command,
                    "--fd",
                    str(listener.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    pass_fds=(listener.fileno(),),
                    start_new_session=True,
                    preexec_fn=prepare_child(self._launch.cpus),
                )

    async def wait_ready(self) -> bool:
        """Ask until it is ready; False when it ended before that, took too long, or is being drained."""
        assert self._pool is not None  # noqa: S101  narrows the type; start comes first
        assert self._process is not None  # noqa: S101  the same
        ended = asyncio.ensure_future(self._process.wait())
        try:
            while self.state == "starting" and not ended.done():
                left_s = self.started_s + self._launch.ready_within_s - monotonic()
                if left_s <= 0:
                    within_s = self._launch.ready_within_s
                    self.failure = f"not ready within {within_s:g} s and killed; its log is {self.log_path}"
                    self._signal(signal.SIGKILL)
                    break
                asked = asyncio.ensure_future(_is_ready(*self._pool.address))
                await asyncio.wait((ended, asked), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                if not asked.done():
                    asked.cancel()
                elif asked.result() and self.state == "starting":
                    self.state, self.ready_s = "ready", monotonic()
                    return True
                await asyncio.sleep(READY_POLL_S)
        finally:
            ended.cancel()
        return False

    async def wait_ended(self) -> None:
        """Return when the process is gone and reaped."""
        assert self._process is not None  # noqa: S101  narrows the type; start comes first
        self.exit_code = await self._process.wait()
        # Workers that outlived a killed server are in its process group.
        self._signal(signal.SIGKILL)
        self.state, self.stopped_s = "stopped", monotonic()
        if self._pool is not None:
            self._pool.close()

    def drain(self, *, at_once: bool = False) -> None:
        """Take no more requests, finish what is held, then end; `at_once` does not wait for what is held."""
        if self._ending is None and self.state != "stopped":
            self.state = "draining"
            self._ending = asyncio.get_running_loop().create_task(self._end(0.0 if at_once else DRAIN_S))
        elif at_once:
            self._signal(signal.SIGTERM)

    def row(self, revision: str, shape: InstanceShape, origin_s: float) -> InstanceRow:
        """Return its row of instances.csv; `origin_s` is the run's start on the monotonic clock."""
        times = (self.started_s - origin_s, self.ready_s - origin_s, self.stopped_s - origin_s)
        return InstanceRow(self.name, revision, *times, shape.vcpu, shape.memory_mb)

    def last_words(self) -> str:
        """Return why it failed: what was noted, or the last line of its log."""
        if self.failure is not None:
            return self.failure
        try:
            lines = self.log_path.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else f"exit code {self.exit_code}"

    async def _end(self, drain_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await self._is_empty.wait()
        if self._pool is not None:
            self._pool.close()
        await self._spawned.wait()
        self._signal(signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TERM_GRACE_S):
                    await self._process.wait()
                return
            self._signal(signal.SIGKILL)

    def _done(self) -> None:
        self.in_flight -= 1
        if not self.in_flight:
            self._is_empty.set()
        if self._released is not None:
            self._released()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.state != "stopped":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


async def _is_ready(host: str, port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(_READY_REQUEST)
        status = await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
    return b" 200 " in status


def server_command(model: str) -> tuple[str, ...]:
    """Return how our server is started."""
    return (sys.executable, "-m", "inference_service", "--model", model)
