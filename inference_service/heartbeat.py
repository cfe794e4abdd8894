"""The link to the controller: what was seen goes out, desired hot settings come back in the answer.

A failure is counted and otherwise ignored: the server goes on with what it has when the controller is away.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from inference_service.counters import Counters
    from inference_service.settings import Settings

    _Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_TIMEOUT_S = 2.0
"""For the whole of a heartbeat, a connection that must be opened again included."""
_LARGEST_ANSWER = 65_536
_DEFAULT_PAUSE_S = 1.0
_PAUSES_S = (0.05, 60.0)
"""Bounds of what a controller may ask for."""


class _LinkError(Exception):
    """No heartbeat can be sent; the message is the word under which it is counted."""


class HeartbeatSender:
    """POSTs one document after the other and keeps the connection: a TLS handshake costs more than a heartbeat."""

    def __init__(
        self, settings: Settings, counters: Counters, body: Callable[[], bytes], on_answer: Callable[[object], None]
    ) -> None:
        url = urlsplit(settings.controller_url)
        self._host = url.hostname or ""
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._trust = _Trust(settings.controller_ca_file) if url.scheme == "https" else None
        self._head = (
            f"POST {url.path.rstrip('/')}/v1/heartbeat HTTP/1.1\r\nHost: {url.netloc}\r\n"
            "Content-Type: application/json\r\n"
        )
        self._token = settings.controller_token
        self._token_file = settings.controller_token_file
        self._counters = counters
        self._body = body
        self._on_answer = on_answer
        self._kept: _Connection | None = None

    async def run(self) -> None:
        """Send until cancelled, at the pace that the controller asks for."""
        try:
            while True:  # noqa: ASYNC110  the pause is the purpose: no event is being waited for
                await asyncio.sleep(await self.send())
        finally:
            self.close()

    async def send(self) -> float:
        """Send one now; returns the pause until the next, s. Two at once are harmless: each has its own connection."""
        token = _read_token(self._token_file) if self._token_file else self._token
        try:
            status, answer = await asyncio.wait_for(self._post(self._request(token or "")), _TIMEOUT_S)
        except _LinkError as error:
            return self._count(str(error))
        except (OSError, ValueError, IndexError, EOFError, asyncio.LimitOverrunError, RecursionError, TimeoutError):
            return self._count("unreachable")
        if status != 200 or not isinstance(answer, dict):
            return self._count("no-token" if token is None else f"http-{status}")
        self._count("no-token" if token is None else "answered")
        document: dict[str, Any] = answer
        if document.get("hot_settings") is not None:
            self._on_answer(document["hot_settings"])
        return _pause_s(document.get("next_s"))

    def close(self) -> None:
        """Close the connection that was kept, if any."""
        if self._kept is not None:
            self._kept[1].transport.abort()
            self._kept = None

    def _count(self, result: str) -> float:
        self._counters.heartbeats[result] = self._counters.heartbeats.get(result, 0) + 1
        return _DEFAULT_PAUSE_S

    def _request(self, token: str) -> bytes:
        body = self._body()
        shown = f"Authorization: Bearer {token}\r\n" if token else ""
        return f"{self._head}{shown}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body

    async def _post(self, request: bytes) -> tuple[int, object]:
        """Status and JSON answer, over the kept connection where the peer has not closed it meanwhile.

        Raises:
            OSError: nobody answers. ValueError: what answers speaks no HTTP or no JSON.
            _LinkError: the controller cannot be trusted.
        """
        kept, self._kept = self._kept, None
        if kept is not None:
            try:
                return await self._exchange(kept, request)
            except (OSError, EOFError):
                pass  # once more over a new one: it is harmless when the same heartbeat arrives twice
        return await self._exchange(await self._open(), request)

    async def _open(self) -> _Connection:
        if self._trust is None:
            return await asyncio.open_connection(self._host, self._port, limit=_LARGEST_ANSWER)
        return await self._trust.open(self._host, self._port)

    async def _exchange(self, connection: _Connection, request: bytes) -> tuple[int, object]:
        reader, writer = connection
        is_reusable = False
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = int(head.split(" ", 2)[1])
            if "\r\ncontent-length:" not in head:  # then nothing tells where the next answer would begin
                return status, json.loads(await reader.read(_LARGEST_ANSWER)) if status == 200 else None
            length = int(head.split("\r\ncontent-length:")[1].split("\r\n")[0])
            if length > _LARGEST_ANSWER:
                raise ValueError("the answer is too long")
            text = await reader.readexactly(length)
            answer = json.loads(text) if status == 200 else None
            is_reusable = head.startswith("http/1.1") and "\r\nconnection: close" not in head
            return status, answer
        finally:
            if is_reusable and self._kept is None:
                self._kept = connection
            else:
                writer.transport.abort()  # `close` of TLS would wait up to 30 s for a peer that is gone


class _Trust:
    """Opens TLS connections to a controller whose certificate is signed by an authority of the CA file."""

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        self._pem = ""
        self._context: ssl.SSLContext | None = None

    async def open(self, host: str, port: int) -> _Connection:
        """Return a connection to a controller that has shown a good certificate.

        Raises:
            _LinkError: there is no usable CA file, or the certificate is not signed by it.
            OSError: nobody answers, or not in TLS.
        """
        import ssl  # noqa: PLC0415  a server without https has no use for it

        try:
            context = await self._fresh_context()
        except (OSError, ValueError) as error:
            raise _LinkError("no-ca") from error
        try:
            return await asyncio.open_connection(host, port, limit=_LARGEST_ANSWER, ssl=context)
        except ssl.SSLError as error:
            self._context = None
            if isinstance(error, ssl.SSLCertVerificationError):
                raise _LinkError("untrusted") from error
            raise

    async def _fresh_context(self) -> ssl.SSLContext:
        """The context for the present content of the CA file; made anew when that changed."""
        pem = _read(self._ca_file)
        if self._context is None or pem != self._pem:
            # The system's store takes some 20 ms, in which the server may become ready: in a thread. One file, 1 ms.
            self._context = _make_context(pem) if self._ca_file else await asyncio.to_thread(_make_context, "")
            self._pem = pem
        return self._context


def _read(ca_file: str) -> str:
    """The certificates of the file, if one is given; comments around them may be in any language.

    Raises:
        OSError, ValueError: the file is absent or empty.
    """
    pem = Path(ca_file).read_text("ascii", "ignore") if ca_file else ""
    if ca_file and not pem.strip():
        raise ValueError("no certificate")  # `create_default_context` would take the system's store
    return pem


def _make_context(pem: str) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415

    context = ssl.create_default_context(cadata=pem or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _read_token(path: str) -> str | None:
    """The token of the file; None when there is none, or nothing that fits into a header."""
    try:
        token = Path(path).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return token if token and token.isprintable() else None


def _pause_s(asked: object) -> float:
    # Compared, not converted: a whole number of JSON may be too large for a float.
    if isinstance(asked, int | float) and not isinstance(asked, bool) and asked * 0 == 0:  # NaN, infinity
        return float(min(max(asked, _PAUSES_S[0]), _PAUSES_S[1]))
    return _DEFAULT_PAUSE_S
