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
KEPT_BYTES = 64 * 1024
"""Of what it said, the end."""


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
        self._said = b""
        self._listening: asyncio.Task[None] | None = None

    async def start(self, run: LiveRun, url: str, started_at_s: float) -> None:
        """Start it; the first request is due at `started_at_s` on the wall clock."""
        if not run.schedule:
            # A file and not a flag: a flag holds 128 KiB at most, which a recorded hour passes.
            await asyncio.to_thread(_arrivals_file(run).write_text, json.dumps(run.arrivals), encoding="utf-8")
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtest", *load_flags(run), "--host", url),
            *("--start-at-s", f"{started_at_s:.6f}"),
            stdin=asyncio.subprocess.DEVNULL,
            # A pipe and not the log itself: on a full disk it must still be able to say so.
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C is for us: a child that heard it too would race with our own clean-up.
            start_new_session=True,
            preexec_fn=prepare_child(self._cpus),
            env={name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")},
        )
        self._listening = asyncio.ensure_future(self._listen(self._child))

    @property
    def has_ended(self) -> bool:
        """Whether it was started and is gone."""
        return self._child is not None and self._child.returncode is not None

    async def wait(self, patience_s: float) -> None:
        """Return when the schedule was sent and its answers are in; an invalid run is no error here.

        Args:
            patience_s: after this long it is taken to hang.

        Raises:
            BadInputError: it cannot use its input.
            TemporaryError: it broke off, or hangs.
        """
        if self._child is None:
            raise TemporaryError("the load generator was not started")
        try:
            async with asyncio.timeout(patience_s):
                code = await self._child.wait()
        except TimeoutError:
            raise TemporaryError(f"load generator: did not end within {patience_s:.0f} s; run again") from None
        if self._listening is not None:
            await self._listening
        if code in (0, 1, 4) and (self._log.parent / "requests.csv").exists():
            return
        words = self._said.decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
        raise (BadInputError if code == 2 else TemporaryError)(f"load generator: {words[-1]}")

    async def aclose(self) -> None:
        """End it, if it has not ended, and keep what it said."""
        if self._child is None:
            return
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(TERM_GRACE_S):
                    await self._child.wait()
            except TimeoutError:
                self._child.kill()
                await self._child.wait()
        if self._listening is not None:
            await self._listening
        with contextlib.suppress(OSError):
            self._log.write_bytes(self._said)

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        while child.stdout is not None and (more := await child.stdout.read(4096)):
            self._said = (self._said + more)[-KEPT_BYTES:]


def load_flags(run: LiveRun) -> Sequence[str]:
    """Return the flags that say what to send and where to write."""
    what = ("--schedule", str(run.schedule)) if run.schedule else ("--arrivals", str(_arrivals_file(run)))
    return (
        *what,
        *("--seed", str(run.seed)),
        *("--duration", f"{run.duration_s:.6f}"),
        *("--payloads", run.payloads),
        *("--protocol", run.protocol),
        *("--out", str(run.folder)),
    )


def _arrivals_file(run: LiveRun) -> Path:
    return run.folder / "arrivals.json"
