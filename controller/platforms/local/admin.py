"""The activator's admin interface: a port of its own on loopback, behind a shared secret.

GET /state, PUT /config {"config": {…}, "generation": n}, GET /instances, POST /stop. Fields: docs/one-machine.md.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from controller.platforms.local.local_service import LocalService

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def admin_app(service: LocalService, *, secret: str, stop: asyncio.Event) -> web.Application:
    """Return the web application.

    Args:
        service: what is administered.
        secret: what a caller must show as bearer token.
        stop: set when somebody asks the activator to end.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, f"Bearer {secret}".encode()):
            return web.json_response({"error": "needs the bearer token of activator.json"}, status=401)
        return await handler(request)

    async def state(_: web.Request) -> web.Response:
        return web.json_response(service.state())

    async def instances(_: web.Request) -> web.Response:
        rows = [{name: _finite(value) for name, value in asdict(row).items()} for row in service.instances()]
        return web.json_response({"instances": rows})

    async def config(request: web.Request) -> web.Response:
        try:
            wanted, generation = _wanted(await request.json())
        except (BadInputError, ValueError, LookupError, RecursionError) as error:
            # ValueError: no JSON, or bytes that are not of its charset; LookupError: a charset that Python has not.
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(service.apply(wanted, generation))

    async def stop_now(_: web.Request) -> web.Response:
        stop.set()
        return web.json_response({"stopping": True})

    app = web.Application(middlewares=[guard], client_max_size=64 * 1024)
    app.router.add_get("/state", state)
    app.router.add_get("/instances", instances)
    app.router.add_put("/config", config)
    app.router.add_post("/stop", stop_now)
    return app


def _wanted(document: object) -> tuple[ServingConfig, int | None]:
    if not isinstance(document, dict):
        raise BadInputError("config: needs an object with the key config")
    body = cast("dict[str, Any]", document)
    generation: object = body.get("generation")
    config = ServingConfig.from_document(body.get("config"), where="config")
    if generation is None:
        return config, None
    # The server's own range: an instance refuses a setting with any other generation.
    if isinstance(generation, bool) or not isinstance(generation, int) or not 0 <= generation < 2**53:
        raise BadInputError("generation: needs a whole number from 0 to 2^53 - 1; leave it out for the next one")
    return config, generation


def _finite(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
