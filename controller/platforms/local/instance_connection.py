"""The activator's side towards one instance: a few kept connections, one request at a time on each."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, cast

import httptools

from controller.platforms.local.front_request import HOP_BY_HOP, FrontRequest, plain_answer

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_S = 2.0
"""A connection that was idle for longer is not used again. Our server hangs up after 75 s, others after 5 s; a request
sent into a connection that is just being closed would be lost."""


class InstancePool:
    """Exchanges with one instance.

    Args:
        address: host and port of the instance.
        name: told in each answer.
        done: called after each exchange, however it ended.
        refused: called with a request that was never sent, because the instance could not be reached.
    """

    def __init__(
        self,
        address: tuple[str, int],
        name: str,
        *,
        done: Callable[[], None],
        refused: Callable[[FrontRequest], None],
    ) -> None:
        self.address = address
        self.tag = f"\r\nX-Tidegate-Instance: {name}".encode()
        self.name = name
        self.done = done
        self._refused = refused
        self._idle: list[tuple[float, InstanceConnection]] = []
        self._openings: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def send(self, request: FrontRequest, now_s: float) -> None:
        """Forward a request; its answer goes straight to its client."""
        while self._idle:
            since_s, connection = self._idle.pop()
            if now_s - since_s <= IDLE_S and connection.is_open():
                connection.exchange(request, now_s)
                return
            connection.close()
        task = self._loop.create_task(self._open_and_send(request))
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)
        request.cancel = _wait_for_connection

    def put_back(self, connection: InstanceConnection) -> None:
        """Keep a connection for the next request, and hang up those that a quieter time does not need."""
        now_s = monotonic()
        while self._idle and now_s - self._idle[0][0] > IDLE_S:
            self._idle.pop(0)[1].close()
        self._idle.append((now_s, connection))

    def close(self) -> None:
        """Hang up idle connections."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _open_and_send(self, request: FrontRequest) -> None:
        try:
            _, connection = await self._loop.create_connection(lambda: InstanceConnection(self), *self.address)
        except OSError:
            self.done()
            if not request.is_gone:
                self._refused(request)
            return
        if request.is_gone:
            self.put_back(connection)
            self.done()
            return
        connection.exchange(request, monotonic())


def _wait_for_connection() -> None:
    """Cancel nothing: a request that is gone before its connection is open will not be sent."""


class InstanceConnection(asyncio.Protocol):
    """One connection to an instance."""

    def __init__(self, pool: InstancePool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._request: FrontRequest | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.on_message_begin()

    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def exchange(self, request: FrontRequest, now_s: float) -> None:
        """Send a request."""
        self._request = request
        request.cancel = self._abandon
        assert self._transport is not None  # noqa: S101  narrows the type; is_open was asked
        self._transport.write(request.wire(now_s))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the client that waits, if one does: its request may have been computed, so it is not sent again."""
        del exc
        self._transport = None
        if self._request is not None:
            message = f"instance {self._pool.name} went away before it answered; try again"
            self._finish(*plain_answer(502, "Bad Gateway", message))

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.close()
            if self._request is not None:
                message = f"instance {self._pool.name} did not answer in HTTP/1.1: {error}"
                self._finish(*plain_answer(502, "Bad Gateway", message))

    def on_message_begin(self) -> None:
        """Begin an answer."""
        self._reason = b""
        self._headers: list[bytes] = []
        self._body: list[bytes] = []

    def on_status(self, status: bytes) -> None:
        """Take the reason phrase."""
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        if name.lower() not in HOP_BY_HOP:
            self._headers.append(b"%b: %b" % (name, value))

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Pass a whole answer on."""
        if self._request is None:
            self.close()
            return
        status = b"HTTP/1.1 %d %b" % (self._parser.get_status_code(), self._reason)
        head = b"\r\n".join([status, *self._headers])
        if self._parser.should_keep_alive() and self.is_open():
            self._pool.put_back(self)
        else:
            self.close()
        self._finish(head, b"".join(self._body))

    def _finish(self, head: bytes, body: bytes) -> None:
        request, self._request = self._request, None
        assert request is not None  # noqa: S101  narrows the type; callers have looked
        request.cancel = None
        cold = b"\r\nX-Tidegate-Cold-Start: 1" if request.has_met_cold_start else b""
        self._pool.done()
        if not request.is_gone:
            request.answer(head + self._pool.tag + cold, body)

    def _abandon(self) -> None:
        """Hang up on the instance, so that it sees that nobody waits any more."""
        if self._request is not None:
            self._request = None
            self._pool.done()
        self.close()
