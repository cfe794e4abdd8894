"""One request on its way through the activator."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Header = tuple[bytes, bytes]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers between two neighbours; bodies are forwarded whole, so their length is stated anew."""


@dataclass(slots=True, eq=False)
class FrontRequest:
    """Mutable: the record of one life. Times are seconds on the activator's monotonic clock."""

    method: bytes
    target: bytes
    headers: list[Header]
    """Without hop-by-hop headers and without the timeout."""
    body: bytes
    arrived_s: float
    deadline_s: float
    has_own_timeout: bool
    answer: Callable[[bytes, bytes], None]
    """Sends a head (without the empty line) and a body to the client."""
    has_met_cold_start: bool = False
    is_gone: bool = False
    """The client went away; nothing is to be sent."""
    cancel: Callable[[], None] | None = field(default=None)
    """Gives up its exchange with an instance, while there is one."""

    def wire(self, now_s: float) -> bytes:
        """Return it as an instance should receive it; what it waited here is taken off its time."""
        lines = [self.method, b" ", self.target, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            lines += (name, b": ", value, b"\r\n")
        if self.has_own_timeout or now_s - self.arrived_s > 0.05:
            lines.append(b"X-Tidegate-Timeout-S: %.3f\r\n" % max(0.001, self.deadline_s - now_s))
        lines.append(b"Content-Length: %d\r\n\r\n" % len(self.body))
        lines.append(self.body)
        return b"".join(lines)


def plain_answer(status: int, reason: str, message: str, *extra: str) -> tuple[bytes, bytes]:
    """Return head and body of an answer of the activator's own.

    Args:
        status: of HTTP.
        reason: its phrase.
        message: what went wrong and what to do.
        extra: further header lines.
    """
    body = json.dumps({"error": message}, separators=(",", ":")).encode()  # last words of a server hold anything
    lines = [f"HTTP/1.1 {status} {reason}", "Content-Type: application/json", *extra]
    return "\r\n".join(lines).encode(), body
