"""The activator: `python -m controller.platforms.local.activator` holds a service at one address and scales it to zero.

A process of its own that outlives the tuner. It buffers requests while no server process is ready, forwards to the
least loaded one, and starts and ends server processes by Knative's rule. The embedded default for a laptop; Knative is
the engine for more. This file wires the parts: client connections → front → instances, keeper, admin interface.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import secrets
import signal
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from controller.errors import BadInputError, TidegateError
from controller.platforms.local.activator_settings import ActivatorSettings, read_settings
from controller.platforms.local.front import Front
from controller.platforms.local.instance_keeper import InstanceKeeper, Service
from controller.platforms.local.instances import Launch, server_command
from controller.platforms.local.local_service import LocalService
from controller.platforms.local.server_environment import server_environment, write_hot_settings, write_whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

Opened = TypeVar("Opened")

ACTIVATOR_FILE = "activator.json"
TOKEN_VARIABLE = "TIDEGATE_ACTIVATOR_TOKEN"  # noqa: S105  the variable's name, not a secret

_log = logging.getLogger(__name__)


async def serve(settings: ActivatorSettings) -> None:
    """Hold the service until SIGTERM, SIGINT or POST /stop; every instance is ended and reaped on return.

    Raises:
        BadInputError: an address cannot be listened on, or the run's folder cannot be written.
    """
    from aiohttp import web  # noqa: PLC0415  a missing extra is told by `main`

    from controller.platforms.local.admin import admin_app  # noqa: PLC0415  the same
    from controller.platforms.local.client_connection import ClientConnection  # noqa: PLC0415  the same

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    workers = max(settings.most_workers, settings.config.workers)
    environment = server_environment(settings, settings.config, os.environ, workers=workers)
    launch = Launch(settings.command, environment, settings.server_cpus, settings.run_folder / "logs")
    front = Front(now=monotonic, poke=lambda: keeper.poke())  # noqa: PLW0108  the keeper is made from the front
    kept = Service(settings.service, settings.config, settings.autoscaler, settings.shape, settings.initial_scale)
    keeper = InstanceKeeper(kept, launch, front)
    service = LocalService(settings, front, keeper, workers=workers)
    secret = os.environ.get(TOKEN_VARIABLE) or secrets.token_hex(16)
    runner = web.AppRunner(admin_app(service, secret=secret, stop=stop), access_log=None)
    await runner.setup()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        opening = loop.create_server(lambda: ClientConnection(front), *_address(settings.listen))
        server = await _listen(opening, settings.listen)
        site = web.TCPSite(runner, *_address(settings.admin))
        await _listen(site.start(), settings.admin)
        write_hot_settings(settings.run_folder, settings.config, settings.generation)
        listen, admin = server.sockets[0].getsockname(), runner.addresses[0]
        _announce(settings, listen=f"{listen[0]}:{listen[1]}", admin=f"{admin[0]}:{admin[1]}", secret=secret)
        keeping = loop.create_task(keeper.run())
        await asyncio.wait((keeping, loop.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
        server.close()
        if keeping.done():
            keeping.result()
        keeping.cancel()
    finally:
        await keeper.aclose()
        with contextlib.suppress(OSError):
            service.write_instances()
            (settings.run_folder / ACTIVATOR_FILE).unlink(missing_ok=True)
        await runner.cleanup()


async def _listen(opening: Awaitable[Opened], address: str) -> Opened:
    try:
        return await opening
    except OSError as error:
        raise BadInputError(
            f"{address}: cannot listen there ({os.strerror(error.errno or 0)}); choose another"
        ) from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadInputError(f"address: needs HOST:PORT such as 127.0.0.1:8080, got {text!r}")
    return host, int(port)


def _announce(settings: ActivatorSettings, *, listen: str, admin: str, secret: str) -> None:
    document = {
        "pid": os.getpid(),
        "listen": listen,
        "admin": admin,
        "token": secret,
        "started_at_s": settings.started_at_s,
    }
    # The secret is for this user only.
    write_whole(settings.run_folder / ACTIVATOR_FILE, json.dumps(document), mode=0o600)
    sys.stderr.write(f"activator: {settings.service} listens on http://{listen}, admin on http://{admin}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse flags, serve, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m controller.platforms.local.activator", description=__doc__)
    parser.add_argument("--listen", help="address for clients (default 127.0.0.1:8080)")
    parser.add_argument("--admin", help="address of the admin interface (default 127.0.0.1 and a free port)")
    parser.add_argument("--run-folder", type=Path, required=True, help="folder for state, logs and instances.csv")
    parser.add_argument("--model", help="what the servers load: a prepared folder, demo or fake (default demo)")
    parser.add_argument("--server-cpus", help="cores of the servers, such as 0 or 0,1 (default: all)")
    parser.add_argument("--settings", type=Path, help="JSON document with everything else")
    try:
        settings = _settings(parser.parse_args(argv))
        _run(settings)
    except TidegateError as error:
        sys.stderr.write(f"activator: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"activator: {error}\n")
        return 2
    except ModuleNotFoundError as error:
        sys.stderr.write(f"activator: needs the package {error.name}; install the extra: tidegate[demo]\n")
        return 2
    return 0


def _settings(arguments: argparse.Namespace) -> ActivatorSettings:
    folder: Path = arguments.run_folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    settings = read_settings(arguments.settings, run_folder=folder)
    settings = replace(
        settings,
        listen=arguments.listen or settings.listen,
        admin=arguments.admin or settings.admin,
        command=server_command(_model(arguments.model)) if arguments.model else settings.command,
        server_cpus=_cpus(arguments.server_cpus) if arguments.server_cpus else settings.server_cpus,
    )
    return settings if settings.command else replace(settings, command=server_command("demo"))


def _model(text: str) -> str:
    if text in ("demo", "fake"):
        return text
    if not (Path(text) / "manifest.json").is_file():
        raise BadInputError(f"--model {text}: no manifest.json there; make a model folder with tidegate prepare")
    return str(Path(text).absolute())


def _cpus(text: str) -> frozenset[int]:
    try:
        return frozenset(int(cpu) for cpu in text.split(","))
    except ValueError as error:
        raise BadInputError(f"--server-cpus: needs core numbers such as 0 or 0,1, got {text!r}") from error


def _run(settings: ActivatorSettings) -> None:
    logging.basicConfig(level=logging.INFO, format="activator: %(message)s", stream=sys.stderr)
    try:
        from uvloop import new_event_loop  # noqa: PLC0415  optional: half the CPU per request
    except ModuleNotFoundError:
        new_event_loop = None
    # What is imported stays; scanning it again and again costs milliseconds in the middle of a burst.
    gc.freeze()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    raise SystemExit(main())
