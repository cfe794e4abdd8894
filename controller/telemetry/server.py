"""The controller's only inbound endpoint: POST /v1/heartbeat takes what a server saw and answers what it should do.

The reception finds the desk by what a sender shows. What cannot be authenticated is not parsed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from controller.errors import BadInputError, TemporaryError
from controller.telemetry.heartbeat import SCHEMA, UnsupportedSchemaError
from controller.telemetry.reception import RefusedError, TooFastError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from controller.telemetry.heartbeat import Heartbeat
    from controller.telemetry.reception import Desk, Reception

LARGEST_BODY_BYTES = 2 * 1024 * 1024
"""Room for some 18000 kinds of batches, at about a hundred bytes; large budgets of tokens make thousands of kinds
(`heartbeat.MOST_KINDS`)."""
SENDERS_PER_SECOND = 50
"""With more senders each is asked to report less often, so that reading stays a small part of one core."""
UNTUNED_PAUSE_S = 30.0
"""A server that nobody tunes asks this often whether that has changed."""
_HEARD_WITHIN_S = 30.0
_MOST_HEARD = 10_000
"""Beyond it the pause would be above 200 s; servers take 60 s at most."""

_log = logging.getLogger(__name__)


class TelemetryServer:
    """Serves heartbeats to the desks that the reception finds, and the desks' hot settings back."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._runner: web.AppRunner | None = None
        self._refused: set[str] = set()
        self._heard: dict[str, float] = {}
        """When each sender was last heard, on the loop's clock, the longest silent first."""

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=LARGEST_BODY_BYTES)
        app.router.add_post("/v1/heartbeat", self._heartbeat)
        return app

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, ssl_context: ssl.SSLContext | None = None) -> str:
        """Listen, in TLS where a context is given, and return the URL for servers; port 0 takes a free one.

        Raises:
            BadInputError: the address cannot be listened on.
        """
        self._runner = web.AppRunner(self.app(), access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=ssl_context).start()
        except OSError as error:
            await self.aclose()
            why = os.strerror(error.errno or 0)
            raise BadInputError(f"heartbeats: cannot listen on {host}:{port} ({why}); free the port") from error
        bound = self._runner.addresses[0]
        return f"{'https' if ssl_context else 'http'}://{host}:{bound[1]}"

    async def aclose(self) -> None:
        """Stop listening, and close the connections that servers keep open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _heartbeat(self, request: web.Request) -> web.Response:
        desk: Desk | None = None
        try:
            desk = await self._reception.find(request.headers.get("Authorization", ""))
            if desk is None:
                return _answer(None, UNTUNED_PAUSE_S)
            heartbeat = _merge(await request.read(), desk)
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(413, f"heartbeat: a body may have {LARGEST_BODY_BYTES} bytes", desk)
        except (RefusedError, TooFastError, TemporaryError, BadInputError, ValueError, RecursionError) as error:
            return self._refuse(_status_of(error), str(error), desk)
        desk.outbox.saw(heartbeat.generation)
        return _answer(desk.outbox.current(), self._next_s(desk.instance or heartbeat.boot_id))

    def _next_s(self, sender: str) -> float:
        """Return the pause for a sender just heard, by how many of all desks share the second."""
        now_s = asyncio.get_running_loop().time()
        self._heard.pop(sender, None)
        self._heard[sender] = now_s
        while len(self._heard) > _MOST_HEARD or next(iter(self._heard.values())) <= now_s - _HEARD_WITHIN_S:
            del self._heard[next(iter(self._heard))]
        return max(1.0, len(self._heard) / SENDERS_PER_SECOND)

    def _refuse(self, status: int, why: str, desk: Desk | None) -> web.Response:
        # Once per reason: a broken sender reports each second and would bury every other line.
        if why not in self._refused and len(self._refused) < 100:
            self._refused.add(why)
            sender = "unknown" if desk is None or desk.instance is None else desk.instance
            _log.warning("heartbeat_refused status=%d from=%s why=%s", status, sender, why)
        return web.json_response({"error": why}, status=status)


def _merge(body: bytes, desk: Desk) -> Heartbeat:
    """Merge one body at its desk, under the name by which the reception knows the sender.

    Raises:
        BadInputError, ValueError, RecursionError: it is no heartbeat.
    """
    document: object = json.loads(body, parse_constant=_refuse_constant)
    if desk.instance is not None and isinstance(document, dict):
        document = {**cast("dict[str, Any]", document), "instance": desk.instance}
    return desk.merge.accept(document, desk.now())


def _status_of(error: Exception) -> int:
    kinds = ((RefusedError, 401), (TooFastError, 429), (TemporaryError, 503), (UnsupportedSchemaError, 409))
    return next((status for kind, status in kinds if isinstance(error, kind)), 400)


def _answer(hot_settings: Mapping[str, int | float] | None, next_s: float) -> web.Response:
    return web.json_response({"schema": SCHEMA, "hot_settings": hot_settings, "next_s": next_s})


def _refuse_constant(name: str) -> float:
    raise ValueError(f"heartbeat: {name} is not JSON")
