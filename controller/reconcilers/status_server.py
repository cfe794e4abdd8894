"""/healthz, /readyz and /metrics of the operator, for kubelet and Prometheus."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aiohttp import web

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.reconcilers.operator_metrics import OperatorMetrics


class StatusServer:
    """Answers from the start; ready only while this replica acts.

    Args:
        metrics: of the operator.
        is_ready: whether this replica acts.
    """

    def __init__(self, metrics: OperatorMetrics, is_ready: Callable[[], bool]) -> None:
        self._metrics, self._is_ready = metrics, is_ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port.

        Raises:
            BadInputError: the port cannot be listened on.
        """
        app = web.Application()
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._text)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.aclose()
            why = os.strerror(error.errno or 0)
            raise BadInputError(f"status: cannot listen on {host}:{port} ({why}); set TIDEGATE_STATUS_PORT") from error
        return int(self._runner.addresses[0][1])

    async def aclose(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _alive(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _ready(self, _: web.Request) -> web.Response:
        is_ready = self._is_ready()
        return web.Response(text="ready\n" if is_ready else "waiting\n", status=200 if is_ready else 503)

    async def _text(self, _: web.Request) -> web.Response:
        return web.Response(text=self._metrics.text(), content_type="text/plain")
