"""The controller's only inbound endpoint: POST /v1/heartbeat takes what a server saw and answers what it should do.

On one machine every server shares a random secret through its environment. What cannot be authenticated is not parsed.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
from typing import TYPE_CHECKING

from aiohttp import web

from controller.errors import BadInputError
from controller.telemetry.heartbeat import SCHEMA, UnsupportedSchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.telemetry.merge import HeartbeatMerge
    from controller.telemetry.outbox import Outbox

LARGEST_BODY_BYTES = 2 * 1024 * 1024
"""Room for some 18000 kinds of batches, at about a hundred bytes; large budgets of tokens make thousands of kinds."""
SENDERS_PER_SECOND = 50
"""With more senders each is asked to report less often, so that reading stays a small part of one core."""

_log = logging.getLogger(__name__)


class TelemetryServer:
    """Serves heartbeats into a merge and hot settings out of an outbox.

    Args:
        merge: where heartbeats go.
        outbox: where desired hot settings come from.
        secret: what a sender must show as bearer token.
        now: seconds since the run's start.
    """

    def __init__(self, merge: HeartbeatMerge, outbox: Outbox, *, secret: str, now: Callable[[], float]) -> None:
        self._merge = merge
        self._outbox = outbox
        self._expected = f"Bearer {secret}".encode()
        self._now = now
        self._runner: web.AppRunner | None = None
        self._refused: set[str] = set()

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=LARGEST_BODY_BYTES)
        app.router.add_post("/v1/heartbeat", self._heartbeat)
        return app

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen and return the URL for servers; port 0 takes a free one.

        Raises:
            BadInputError: the address cannot be listened on.
        """
        self._runner = web.AppRunner(self.app(), access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.aclose()
            why = os.strerror(error.errno or 0)
            raise BadInputError(f"heartbeats: cannot listen on {host}:{port} ({why}); free the port") from error
        bound = self._runner.addresses[0]
        return f"http://{host}:{bound[1]}"

    async def aclose(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _heartbeat(self, request: web.Request) -> web.Response:
        shown = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, self._expected):
            return _error(401, "heartbeat: needs the bearer token of this run")
        try:
            document = json.loads(await request.read(), parse_constant=_refuse_constant)
            heartbeat = self._merge.accept(document, self._now())
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(413, f"heartbeat: a body may have {LARGEST_BODY_BYTES} bytes")
        except UnsupportedSchemaError as error:
            return self._refuse(409, str(error))
        except (BadInputError, ValueError, RecursionError) as error:
            return self._refuse(400, str(error))
        self._outbox.saw(heartbeat.generation)
        return web.json_response({"schema": SCHEMA, "hot_settings": self._outbox.current(), "next_s": self._next_s()})

    def _next_s(self) -> float:
        now_s = self._now()
        senders = sum(1 for seen in self._merge.instances() if seen.heard_at_s > now_s - 30)
        return max(1.0, senders / SENDERS_PER_SECOND)

    def _refuse(self, status: int, why: str) -> web.Response:
        # Once per reason: a broken sender reports each second and would bury every other line.
        if why not in self._refused and len(self._refused) < 100:
            self._refused.add(why)
            _log.warning("heartbeat_refused status=%d why=%s", status, why)
        return _error(status, why)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"heartbeat: {name} is not JSON")


def _error(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
