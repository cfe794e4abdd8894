"""The link to the controller: what was seen goes out, desired hot settings come back in the answer.

A failure is counted and otherwise ignored: the server goes on with what it has when the controller is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference_service.counters import Counters
    from inference_service.settings import Settings

_TIMEOUT_S = 2.0
_LARGEST_ANSWER = 65_536
_DEFAULT_PAUSE_S = 1.0
_PAUSES_S = (0.05, 60.0)
"""Bounds of what a controller may ask for."""


class HeartbeatSender:
    """POSTs one document after the other over a connection each; at one a second keeping it open gains nothing."""

    def __init__(
        self, settings: Settings, counters: Counters, body: Callable[[], bytes], on_answer: Callable[[object], None]
    ) -> None:
        url = urlsplit(settings.controller_url)
        self._host = url.hostname or ""
        self._port = url.port or 80
        self._head = (
            f"POST {url.path.rstrip('/')}/v1/heartbeat HTTP/1.1\r\nHost: {url.netloc}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n"
        )
        if settings.controller_token:
            self._head += f"Authorization: Bearer {settings.controller_token}\r\n"
        self._counters = counters
        self._body = body
        self._on_answer = on_answer

    async def run(self) -> None:
        """Send until cancelled, at the pace that the controller asks for."""
        while True:  # noqa: ASYNC110  the pause is the purpose: no event is being waited for
            await asyncio.sleep(await self.send())

    async def send(self) -> float:
        """Send one now; returns the pause until the next, s."""
        try:
            status, answer = await asyncio.wait_for(self._post(self._body()), _TIMEOUT_S)
        except (OSError, ValueError, IndexError, EOFError, asyncio.LimitOverrunError, RecursionError, TimeoutError):
            return self._count("unreachable")
        if status != 200 or not isinstance(answer, dict):
            return self._count(f"http-{status}")
        self._count("answered")
        document: dict[str, Any] = answer
        if document.get("hot_settings") is not None:
            self._on_answer(document["hot_settings"])
        return _pause_s(document.get("next_s"))

    def _count(self, result: str) -> float:
        self._counters.heartbeats[result] = self._counters.heartbeats.get(result, 0) + 1
        return _DEFAULT_PAUSE_S

    async def _post(self, body: bytes) -> tuple[int, object]:
        """Status and JSON answer.

        Raises:
            OSError: nobody answers. ValueError: what answers speaks no HTTP or no JSON.
        """
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=_LARGEST_ANSWER)
        try:
            writer.write(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = int(head.split(" ", 2)[1])
            if "content-length:" in head:
                length = int(head.split("content-length:")[1].split("\r\n")[0])
                text = await reader.readexactly(min(length, _LARGEST_ANSWER))
            else:
                text = await reader.read(_LARGEST_ANSWER)
            return status, json.loads(text) if status == 200 else None
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _pause_s(asked: object) -> float:
    # Compared, not converted: a whole number of JSON may be too large for a float.
    if isinstance(asked, int | float) and not isinstance(asked, bool) and asked * 0 == 0:  # NaN, infinity
        return float(min(max(asked, _PAUSES_S[0]), _PAUSES_S[1]))
    return _DEFAULT_PAUSE_S
