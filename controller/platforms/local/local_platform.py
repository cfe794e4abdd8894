"""`local_processes`: the Platform over the activator's admin interface; starts an activator or joins a running one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import sys
from dataclasses import replace
from time import monotonic, time
from typing import TYPE_CHECKING, Any, cast

import aiohttp

from controller.domain.instance_log import InstanceRow
from controller.domain.serving_config import ServerLaw, ServingConfig
from controller.errors import BadInputError, TemporaryError
from controller.platforms.local.activator import ACTIVATOR_FILE
from controller.platforms.local.child_process import prepare_child
from controller.platforms.local.server_environment import write_whole
from controller.platforms.protocol import Applied, PlatformState
from controller.telemetry.outbox import hot_settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.platforms.local.activator_settings import ActivatorSettings
    from controller.telemetry.outbox import Outbox

START_TIMEOUT_S = 60.0
_POLL_S = 0.02


class LocalPlatform:
    """Server processes behind an activator on this machine.

    Args:
        settings: of the activator; the setting in them gives way to that of `start`.
        outbox: takes hot settings to the servers with the answers to their heartbeats. A file in the run's folder
            does the same for new servers, and where there is no controller.
        outlives_us: whether an activator that we start goes on when this process dies.
    """

    server_law: ServerLaw = "knative_pods"

    def __init__(self, settings: ActivatorSettings, outbox: Outbox, *, outlives_us: bool = True) -> None:
        self.autoscaler = settings.autoscaler
        self.shape = settings.shape
        self.url = ""
        """Where clients send requests, after `start`."""
        self._settings = settings
        self._outbox = outbox
        self._outlives_us = outlives_us
        self._activator: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._origin_s = monotonic() - (time() - settings.started_at_s)
        self._log = settings.run_folder / "activator.log"

    @property
    def started_at_s(self) -> float:
        """Wall clock at which the run's clock shows 0."""
        return self._settings.started_at_s

    async def start(self, config: ServingConfig) -> None:
        """Start an activator, or join the one of this run's folder; returns when the first instances are ready.

        Raises:
            BadInputError: the activator refuses its settings, or its address is in use.
            TemporaryError: the activator or the first instance does not come up.
        """
        if await self._join():
            await self.apply(config)
            return
        await self._spawn(replace(self._settings, config=config, generation=self._outbox.set(hot_settings_of(config))))
        wanted = max(self._settings.initial_scale, config.min_scale)
        until_s = monotonic() + START_TIMEOUT_S
        while (state := await self._call("GET", "/state"))["ready"] < wanted:
            if state["failure"] or monotonic() > until_s:
                await self.aclose()
                raise TemporaryError(f"no instance came up: {state['failure'] or 'none was ready in 60 s'}")
            await asyncio.sleep(_POLL_S)

    async def apply(self, config: ServingConfig) -> Applied:
        """Change the setting: hot at once, warm at the next tick, slow by a new revision."""
        generation = self._outbox.set(hot_settings_of(config))
        body = {"config": config.to_document(), "generation": generation}
        answer = await self._call("PUT", "/config", body)
        changes = {name: (old, new) for name, (old, new) in answer["changes"].items()}
        return Applied(answer["price"], changes, answer["generation"], answer["revision"])

    async def advance(self, until_s: float) -> float:
        """Sleep until then and return now."""
        await asyncio.sleep(max(0.0, until_s - self._now()))
        return self._now()

    async def instances(self) -> Sequence[InstanceRow]:
        """Return every instance so far, oldest first."""
        answer = await self._call("GET", "/instances")
        return [_row(row) for row in answer["instances"]]

    async def state(self) -> PlatformState:
        """Return counts and settings now."""
        answer = await self._call("GET", "/state")
        return PlatformState(
            at_s=answer["at_s"],
            ready=answer["ready"],
            starting=answer["starting"],
            config=ServingConfig.from_document(answer["config"], where="activator"),
            revision=answer["revision"],
            front_arrivals={name: answer[name] for name in ("boot_id", "clock", "bins")},
        )

    async def aclose(self) -> None:
        """End the activator if this object started it, and with it every instance; always let go of it."""
        if self._activator is not None:
            with contextlib.suppress(TemporaryError):
                await self._call("POST", "/stop")
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    await self._activator.wait()
            except TimeoutError:
                self._activator.kill()
                await self._activator.wait()
            self._activator = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _now(self) -> float:
        return monotonic() - self._origin_s

    async def _join(self) -> bool:
        """Connect to a running activator of this run's folder; False when there is none."""
        try:
            await self._connect()
            state = await self._call("GET", "/state")
        except (OSError, ValueError, TemporaryError):
            await self.aclose()
            return False
        self._settings = replace(self._settings, started_at_s=state["started_at_s"])
        self._origin_s = monotonic() - state["at_s"]
        self._outbox.saw(state["generation"])
        return True

    async def _spawn(self, settings: ActivatorSettings) -> None:
        folder = settings.run_folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ACTIVATOR_FILE).unlink(missing_ok=True)
        path = folder / "activator-settings.json"
        # For this user only: the environment of the servers may hold the heartbeats' secret.
        write_whole(path, json.dumps(settings.to_document()), mode=0o600)
        with self._log.open("ab") as log:
            self._activator = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "controller.platforms.local.activator"),
                *("--run-folder", str(folder), "--settings", str(path)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=None if self._outlives_us else prepare_child(()),
                env=dict(os.environ),
            )
        while not (folder / ACTIVATOR_FILE).exists():
            if self._activator.returncode is not None:
                code, self._activator = self._activator.returncode, None
                words = self._log.read_text(errors="replace").strip().splitlines() or [f"exit code {code}"]
                raise (BadInputError if code == 2 else TemporaryError)(words[-1].removeprefix("activator: "))
            await asyncio.sleep(_POLL_S)
        await self._connect()

    async def _connect(self) -> None:
        document = json.loads((self._settings.run_folder / ACTIVATOR_FILE).read_text())
        self.url = f"http://{document['listen']}"
        self._session = aiohttp.ClientSession(
            f"http://{document['admin']}",
            headers={"Authorization": f"Bearer {document['token']}"},
            timeout=aiohttp.ClientTimeout(total=10),
        )

    async def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        if self._session is None:
            raise TemporaryError("the platform is not started")
        try:
            async with self._session.request(method, path, json=body) as response:
                answer = cast("dict[str, Any]", await response.json())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise TemporaryError(f"the activator does not answer ({error}); look into {self._log}") from error
        if response.status == 400:
            raise BadInputError(answer["error"])
        if response.status != 200:
            raise TemporaryError(f"the activator answers {response.status}: {answer.get('error')}")
        return answer


def _row(cells: dict[str, Any]) -> InstanceRow:
    times: dict[str, Any] = {name: math.nan if value is None else value for name, value in cells.items()}
    return InstanceRow(**times)
