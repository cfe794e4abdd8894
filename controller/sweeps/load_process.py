"""The load generator of a live run: `python -m loadtest` as a child, on its own cores, and what its end means."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

from controller.errors import BadInputError, TemporaryError
from controller.platforms.local.child_process import prepare_child

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from controller.sweeps.live_run import LiveRun

TERM_GRACE_S = 5.0
"""From SIGTERM to SIGKILL; the generator only writes down what it saw."""


class LoadProcess:
    """One child.

    Args:
        log: file that gets what it prints.
        cpus: cores it may use.
    """

    def __init__(self, log: Path, cpus: set[int]) -> None:
        self._log = log
        self._cpus = cpus
        self._child: asyncio.subprocess.Process | None = None

    async def start(self, run: LiveRun, url: str, started_at_s: float) -> None:
        """Start it; the first request is due at `started_at_s` on the wall clock."""
        with self._log.open("wb") as log:
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "loadtest", *load_flags(run), "--host", url),
                *("--start-at-s", f"{started_at_s:.6f}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for us: a child that heard it too would race with our own clean-up.
                start_new_session=True,
                preexec_fn=prepare_child(self._cpus),
                env={name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")},
            )

    @property
    def has_ended(self) -> bool:
        """Whether it was started and is gone."""
        return self._child is not None and self._child.returncode is not None

    async def wait(self) -> None:
        """Return when the schedule was sent and its answers are in; an invalid run is no error here.

        Raises:
            BadInputError: it cannot use its input.
            TemporaryError: it broke off.
        """
        if self._child is None:
            raise TemporaryError("the load generator was not started")
        code = await self._child.wait()
        if code in (0, 1, 4) and (self._log.parent / "requests.csv").exists():
            return
        words = self._log.read_text(errors="replace").strip().splitlines() or [f"exit code {code}"]
        raise (BadInputError if code == 2 else TemporaryError)(f"load generator: {words[-1]}")

    async def aclose(self) -> None:
        """End it, if it has not ended."""
        if self._child is None or self._child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(TERM_GRACE_S):
                await self._child.wait()
        except TimeoutError:
            self._child.kill()
            await self._child.wait()


def load_flags(run: LiveRun) -> Sequence[str]:
    """Return the flags that say what to send and where to write."""
    what = ("--schedule", str(run.schedule)) if run.schedule else ("--arrivals", json.dumps(run.arrivals))
    return (
        *what,
        *("--seed", str(run.seed)),
        *("--duration", f"{run.duration_s:.6f}"),
        *("--payloads", run.payloads),
        *("--protocol", run.protocol),
        *("--out", str(run.folder)),
    )
