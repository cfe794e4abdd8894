"""`tidegate control`: the tuning loop beside a local activator that runs already.

The servers must know where to send heartbeats before they start, so address and secret stand in the activator's
settings; this command reads the same file and listens there.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import signal
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from controller.commands.output import print_json
from controller.control_loop import control
from controller.domain.documents import as_object, get_number
from controller.domain.prices import DEFAULT_PRICE_LIST, load_prices
from controller.domain.serving_config import ServingConfig
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.monitor.journal import Journal, StateFile
from controller.optimizer.search_space import GRID, search_space
from controller.platforms.local.activator import ACTIVATOR_FILE
from controller.platforms.local.activator_settings import ActivatorSettings, settings_from_document
from controller.platforms.local.local_platform import LocalPlatform
from controller.settings import LoopSettings
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox
from controller.telemetry.reception import Desk, SharedSecret
from controller.telemetry.server import TelemetryServer

if TYPE_CHECKING:
    import argparse

URL_NAME, TOKEN_NAME = "TIDEGATE_CONTROLLER_URL", "TIDEGATE_CONTROLLER_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `control`."""
    parser.add_argument("--platform", choices=("local",), default="local", help="where the service runs (local)")
    parser.add_argument("--run-folder", type=Path, required=True, help="folder of the running activator")
    parser.add_argument("--settings", type=Path, help="the activator's settings (RUN_FOLDER/activator-settings.json)")
    parser.add_argument("--slo-quantile", type=float, default=0.95, help="share of answers inside the bound (0.95)")
    parser.add_argument("--slo-s", type=float, default=1.0, help="the bound in seconds (1.0)")
    modes = ("observe", "recommend", "apply")
    parser.add_argument("--mode", choices=modes, default="apply", help="what to do with a decision (apply)")
    parser.add_argument("--bounds", metavar="JSON", help='lowest and highest by knob, as {"max_scale": [1, 4]}')
    parser.add_argument("--prices", default=DEFAULT_PRICE_LIST, help="version of a price list, or a file")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout when it is stopped")


def run(arguments: argparse.Namespace) -> int:
    """Run the loop until Ctrl-C or SIGTERM; the service goes on with the settings it has."""
    settings = LoopSettings(
        slo=LatencySlo(arguments.slo_quantile, arguments.slo_s),
        prices=load_prices(arguments.prices).cluster,
        mode=arguments.mode,
        bounds=parse_bounds(arguments.bounds),
    )
    target = find_target(arguments.run_folder, arguments.settings)
    # The loop asks for it at its first decision only, which may be an hour from now.
    _check_bounds(settings, target)
    journal = Journal(target.settings.run_folder, tell=_say)
    try:
        asyncio.run(_control(target, settings, journal))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("control: stopped; the service goes on with the setting it has")
    if arguments.json:
        print_json(journal.summary())
    return 130  # it runs until it is stopped


@dataclass(frozen=True, slots=True)
class Target:
    """A running activator, and where its servers send heartbeats."""

    settings: ActivatorSettings
    config: ServingConfig
    started_at_s: float
    host: str
    port: int
    secret: str


def find_target(folder: Path, settings_file: Path | None) -> Target:
    """Find the activator of a run's folder.

    Raises:
        BadInputError: none runs there, or its servers were not told where to send heartbeats.
    """
    state = _ask_state(folder)
    path = settings_file or folder / "activator-settings.json"
    settings = _read_settings(path, folder)
    host, port = _told_address(settings.environment.get(URL_NAME))
    secret = settings.environment.get(TOKEN_NAME)
    if not host or not secret:
        raise BadInputError(
            f"{path}: the servers do not know this loop; start the activator with {URL_NAME} (http://HOST:PORT) and "
            f"{TOKEN_NAME} in the environment of its settings"
        )
    config = ServingConfig.from_document(state.get("config"), where="activator: config")
    started_at_s = get_number(state, "started_at_s", "activator")
    return Target(settings, config, started_at_s, host, port, secret)


def parse_bounds(text: str | None) -> dict[str, tuple[float, float]]:
    """Parse `{"knob": [lowest, highest]}`.

    Raises:
        BadInputError: anything else.
    """
    if text is None:
        return {}
    try:
        pairs = {str(name): (float(low), float(high)) for name, (low, high) in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise BadInputError(f'--bounds: needs an object such as {{"max_scale": [1, 4]}}, got {text!r:.80}') from error
    for name, (low, high) in pairs.items():
        if name not in GRID:
            raise BadInputError(f"--bounds: unknown setting {name!r:.40}; known are {', '.join(GRID)}")
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise BadInputError(
                f"--bounds: {name} needs two finite numbers, the lowest first; got {low:g} and {high:g}"
            )
    return pairs


def _check_bounds(settings: LoopSettings, target: Target) -> None:
    try:
        search_space(
            target.config,
            shape=target.settings.shape,
            workers=max(target.settings.most_workers, target.settings.config.workers),
            bounds=settings.bounds,
        )
    except BadInputError as error:
        raise BadInputError(f"--{error}") from error


def _told_address(url: str | None) -> tuple[str, int]:
    """Return host and port of what the servers were told; an empty host where they cannot reach it."""
    try:
        parts = urlsplit(url or "")
        port = parts.port or 80
    except ValueError:  # a port out of range, or brackets that do not match
        return "", 0
    return (parts.hostname or "" if parts.scheme == "http" else ""), port


def _read_settings(path: Path, folder: Path) -> ActivatorSettings:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); give the activator's settings: --settings") from error
    if isinstance(document, dict):
        for name, value in as_object(document.get("environment", {}), f"{path}: environment").items():
            if not isinstance(value, str):
                raise BadInputError(f"{path}: environment: {name!r:.40} needs a text, got {value!r:.40}")
        document.pop("server_cpus", None)  # cores of the servers; this process may have been given others
    return settings_from_document(document, run_folder=folder, where=str(path))


def _ask_state(folder: Path) -> dict[str, Any]:
    path = folder / ACTIVATOR_FILE
    try:
        known = json.loads(path.read_text())
        request = urllib.request.Request(
            f"http://{known['admin']}/state", headers={"Authorization": f"Bearer {known['token']}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  the same
            return cast("dict[str, Any]", {**json.loads(answer.read())})  # a TypeError where it is no object
    except (OSError, ValueError, KeyError, TypeError, RecursionError, http.client.HTTPException) as error:
        # What an admin that speaks no HTTP said may hold line ends.
        reason = " ".join(str(error).split())
        raise BadInputError(
            f"{path}: no activator answers ({reason:.200}); start one with: "
            f"python -m controller.platforms.local.activator --run-folder {folder} --settings FILE"
        ) from error


async def _control(target: Target, settings: LoopSettings, journal: Journal) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
    outbox, merge = Outbox(), HeartbeatMerge(started_at_s=target.started_at_s)
    platform = LocalPlatform(target.settings, outbox)
    origin_s = loop.time()
    desk = Desk(merge, outbox, now=lambda: at_s + loop.time() - origin_s)
    server = TelemetryServer(SharedSecret(target.secret, desk))
    await platform.start(target.config)
    at_s, origin_s = await platform.advance(0.0), loop.time()
    folder = target.settings.run_folder
    try:
        await server.start(target.host, target.port)
        _say(f"control: {settings.mode} for {platform.url}, decisions go to {folder / 'decisions.jsonl'}")
        await control(platform, merge, settings, journal, StateFile(folder / "state.json"))
    finally:
        await server.aclose()
        await platform.aclose()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
