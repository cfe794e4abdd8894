"""uvicorn's HTTP protocol on one listening socket, with a drain of our own.

Readiness, the queue and heartbeats have a say in when the server ends, so uvicorn's Server, which brings its own signal
handlers and polling, is not used.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

if TYPE_CHECKING:
    import socket

    from inference_service.api.app import Application

_IDLE_CONNECTION_S = 75
"""Longer than the 60 s after which common proxies close idle connections: the side that sends should close first."""


class _Protocol(HttpToolsProtocol):
    """uvicorn's, but a request to upgrade the connection is its last: what follows is no HTTP/1.1 that we asked for.

    The parser takes whatever follows such a head for another protocol, and then for a request, even if it is the body.
    """

    _is_over = False

    def data_received(self, data: bytes) -> None:
        """Parse, until something else is spoken."""
        if not self._is_over:
            super().data_received(data)

    def _unsupported_upgrade_warning(self) -> None:
        self._is_over = True
        self.cycle.keep_alive = False


class HttpServer:
    """Accepts connections until told to drain."""

    def __init__(self, app: Application) -> None:
        self._config = Config(
            app,  # pyright: ignore[reportArgumentType]  uvicorn's message types are closed unions of its own
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # a client's bad HTTP is answered with 400 and is no event of ours
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_IDLE_CONNECTION_S,
        )
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=listener, backlog=2048)

    def stop_listening(self) -> None:
        """Close the listening socket and idle connections; busy ones close after their answer."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()

    def has_open_requests(self) -> bool:
        """Whether an answer is still being made or written."""
        return bool(self._state.tasks)

    def _protocol(self) -> asyncio.Protocol:
        return _Protocol(config=self._config, server_state=self._state, app_state={})
