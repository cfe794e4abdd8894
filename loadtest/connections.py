"""Keep-alive HTTP connections for greenlets that send ready-made requests.

Locust's FastHttpSession takes about twice the CPU for each request (0.8 ms against 0.4 ms at 600 requests a second); a
load generator that shares a core with others needs that CPU to be on time. Nothing is sent twice: a connection that
may have been closed by the server is thrown away *before* it is used, so an answer that fails is a failure seen.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPParseError, HTTPSocketResponse

if TYPE_CHECKING:
    from loadtest.target import Target

MAX_IDLE_S = 2.0
"""A connection that rested longer is replaced: common servers close one after 5 s, at a moment nobody announces."""
ESTABLISHED = 1
"""State of a healthy connection in Linux' tcp_info."""
READ_BYTES = 65536


class NoAnswerError(Exception):
    """No complete answer came; the message is one of a few fixed texts, good for counting."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    is_cold_start: bool
    body: bytes


class Connections:
    """A pool that opens a connection when none is idle and keeps the warmest ones in use."""

    def __init__(self, target: Target, address: str, *, timeout_s: float) -> None:
        self._target = target
        self._address = (address, target.port)
        self._timeout_s = timeout_s
        self._idle: list[tuple[gevent.socket.socket, float]] = []
        self._tls = gevent.ssl.create_default_context() if target.tls else None

    def exchange(self, request: bytes) -> Answer:
        """Send one request and wait for its answer; redirects are answers.

        Raises:
            NoAnswerError: the connection failed, or the answer was no HTTP or took longer than the timeout.
        """
        connection = None
        try:
            connection = self._healthy_idle() or self._open()
            connection.sendall(request)
            response = HTTPSocketResponse(connection, block_size=READ_BYTES, method="POST")
            body = response.read()
        except TimeoutError as error:
            raise self._failed(connection, "timed out") from error
        except HTTPParseError as error:
            raise self._failed(connection, "answer is no complete HTTP") from error
        except OSError as error:
            raise self._failed(connection, error.strerror or "connection failed") from error
        if not response.message_complete:
            raise self._failed(connection, "answer is no complete HTTP")
        if response.should_close():
            connection.close()
        else:
            self._idle.append((connection, time.monotonic()))
        return Answer(response.status_code, response.get("x-tidegate-cold-start") == "1", body)

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop()[0].close()

    def _healthy_idle(self) -> gevent.socket.socket | None:
        while self._idle:
            connection, since_s = self._idle.pop()
            if time.monotonic() - since_s <= MAX_IDLE_S and _is_established(connection):
                return connection
            connection.close()
        return None

    def _open(self) -> gevent.socket.socket:
        connection = gevent.socket.create_connection(self._address, timeout=self._timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return connection
        return self._tls.wrap_socket(connection, server_hostname=self._target.host)

    @staticmethod
    def _failed(connection: gevent.socket.socket | None, reason: str) -> NoAnswerError:
        if connection is not None:
            connection.close()
        return NoAnswerError(reason)


def _is_established(connection: gevent.socket.socket) -> bool:
    """Whether the server has not closed its end; unknown outside Linux, where only the age tells."""
    if not hasattr(socket, "TCP_INFO"):
        return True
    return struct.unpack("B", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0] == ESTABLISHED
