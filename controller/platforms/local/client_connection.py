"""The activator's side towards clients: bytes in, whole requests out, answers back, in order.

Written on the parser itself rather than on a web framework: activator, load generator and controller share one core,
and a framework would take several times the CPU for each request (docs/one-machine.md has the measurement).
Bodies are buffered whole; streaming, WebSocket and TLS are not for a laptop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from controller.platforms.local.front_request import HOP_BY_HOP, FrontRequest, Header, plain_answer

if TYPE_CHECKING:
    from controller.platforms.local.front import Front

LARGEST_BODY_BYTES = 16 * 1024 * 1024
LARGEST_HEAD_BYTES = 64 * 1024
LARGEST_TRAILER_BYTES = 8 * 1024
"""Trailers of a chunked body are read and dropped: the body is forwarded whole, without chunks."""
MOST_QUEUED = 64
"""Pipelined requests that wait for the one before them; beyond it, or with bodies of one largest body, no more is read.
"""
REQUEST_TIMEOUT_S = 30.0
"""Deadline of a request that states none; the server's default."""
_TIMEOUT_HEADER = b"x-tidegate-timeout-s"


class ClientConnection(asyncio.Protocol):
    """One connection of a client; its requests are answered one after the other."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._present: FrontRequest | None = None
        self._next: deque[tuple[FrontRequest, bool]] = deque()
        self._next_bytes = 0
        self._refusal: tuple[int, str, str] | None = None
        self._keeps_alive = True
        self._is_pumping = self._is_paused = False
        self.on_message_begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what this client waits for."""
        del exc
        self._transport = None
        self._next.clear()
        self._next_bytes = 0
        if self._present is not None:
            self._present.is_gone = True
            self._front.forget(self._present)
            self._present = None

    def data_received(self, data: bytes) -> None:
        """Parse what came; behind something that was refused nothing can be told apart any more."""
        if self._refusal is not None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(501, "Not Implemented", "this activator does not upgrade connections; send plain HTTP/1.1")
        except httptools.HttpParserError as error:
            self._refuse(400, "Bad Request", f"not HTTP/1.1: {error}")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._target = b""
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._size = 0
        self._is_head_complete = False
        self._timeout: bytes | None = None

    def on_url(self, url: bytes) -> None:
        """Take (a part of) the target."""
        self._target += url
        self._bound_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; one that comes after the body is dropped."""
        if self._is_head_complete:
            self._trailer_size += len(name) + len(value)
            if self._trailer_size > LARGEST_TRAILER_BYTES:
                message = f"trailers may have {LARGEST_TRAILER_BYTES} bytes"
                self._refuse(431, "Request Header Fields Too Large", message)
            return
        self._bound_head(len(name) + len(value))
        lower = name.lower()
        if lower == _TIMEOUT_HEADER:
            self._timeout = value
        elif lower == b"expect" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif lower not in HOP_BY_HOP:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Count the body and its trailers apart from the head."""
        self._size = self._trailer_size = 0
        self._is_head_complete = True

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._size += len(body)
        if self._size > LARGEST_BODY_BYTES:
            self._refuse(413, "Content Too Large", f"a body may have {LARGEST_BODY_BYTES} bytes")
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand a whole request on."""
        if self._transport is None or self._transport.is_closing() or self._refusal is not None:
            return
        if self._parser.should_upgrade():
            return  # `data_received` answers it; its body is not read, so there is nothing to forward
        now_s = self._front.now()
        timeout_s = _seconds(self._timeout)
        if self._timeout is not None and timeout_s is None:
            self._headers.append((_TIMEOUT_HEADER, self._timeout))
        method = self._parser.get_method()
        request = FrontRequest(
            method=b"GET" if method == b"HEAD" else method,
            target=self._target,
            headers=self._headers,
            body=b"".join(self._body),
            arrived_s=now_s,
            deadline_s=now_s + (REQUEST_TIMEOUT_S if timeout_s is None else timeout_s),
            has_own_timeout=timeout_s is not None,
            answer=self._send_head_only if method == b"HEAD" else self._send,
        )
        self._next.append((request, self._parser.should_keep_alive()))
        self._next_bytes += len(request.body)
        self._pump()

    def _pump(self) -> None:
        """Begin what is next. A loop: an answer may come inside `submit`, and thousands of requests may be queued."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while self._present is None and self._transport is not None and not self._transport.is_closing():
                if self._next:
                    self._present, self._keeps_alive = self._next.popleft()
                    self._next_bytes -= len(self._present.body)
                    self._front.submit(self._present)
                elif self._refusal is not None:
                    self._hang_up(self._transport, *self._refusal)
                else:
                    break
        finally:
            self._is_pumping = False
        self._pace()

    def _pace(self) -> None:
        """Read no more while too much is queued, so that a client that only sends cannot fill the memory."""
        is_full = len(self._next) > MOST_QUEUED or self._next_bytes > LARGEST_BODY_BYTES
        if self._transport is None or self._transport.is_closing() or is_full == self._is_paused:
            return
        self._is_paused = is_full
        if is_full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _send_head_only(self, head: bytes, body: bytes) -> None:
        self._send(head, body, b"")

    def _send(self, head: bytes, body: bytes, sent: bytes | None = None) -> None:
        self._present = None
        if self._transport is None:
            return
        ending = b"\r\n\r\n" if self._keeps_alive else b"\r\nConnection: close\r\n\r\n"
        self._transport.write(
            b"%b\r\nContent-Length: %d%b%b" % (head, len(body), ending, body if sent is None else sent)
        )
        if self._keeps_alive:
            self._pump()
        else:
            self._transport.close()

    def _bound_head(self, size: int) -> None:
        self._size += size
        if self._size > LARGEST_HEAD_BYTES:
            self._refuse(431, "Request Header Fields Too Large", f"a head may have {LARGEST_HEAD_BYTES} bytes")

    def _refuse(self, status: int, reason: str, message: str) -> None:
        """Answer what cannot be a request once everything before it is answered, and hang up."""
        if self._refusal is None:
            self._refusal = (status, reason, message)
            self._pump()

    def _hang_up(self, transport: asyncio.Transport, status: int, reason: str, message: str) -> None:
        head, body = plain_answer(status, reason, message)
        transport.write(b"%b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (head, len(body), body))
        transport.close()


def _seconds(value: bytes | None) -> float | None:
    """Return a stated timeout; nonsense is passed on, since the server will name it."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 < seconds < 3600 else None
