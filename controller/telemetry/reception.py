"""Who is heard, and at which desk: a reception finds the desk of a sender by what it shows, never by what it says.

On one machine `SharedSecret` knows one desk; in a cluster the operator finds the desk by the pod's identity.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from controller.errors import TidegateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.telemetry.merge import HeartbeatMerge
    from controller.telemetry.outbox import Outbox


class RefusedError(TidegateError):
    """A sender that cannot be identified (401 on the wire). The reason never holds what was shown."""


class TooFastError(TidegateError):
    """A sender that is known and speaks too often (429 on the wire)."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the heartbeats of one tuned service go and where its hot settings come from."""

    merge: HeartbeatMerge
    outbox: Outbox
    now: Callable[[], float]
    """Seconds on the clock of `merge`."""
    instance: str | None = None
    """The sender's name where the reception knows it (`replace(desk, instance=pod)`); None: what the body says."""


class Reception(Protocol):
    """Finds the desk of a sender."""

    async def find(self, authorization: str) -> Desk | None:
        """Return the desk of who shows this header; None for a known sender whose service is not tuned.

        Raises:
            RefusedError: the sender cannot be identified.
            TooFastError: it has been heard often enough for now.
            TemporaryError: that cannot be told at present (503 on the wire).
        """
        ...


class SharedSecret:
    """The reception of one machine: every server was given the same random secret."""

    def __init__(self, secret: str, desk: Desk) -> None:
        self._expected = f"Bearer {secret}".encode()
        self._desk = desk

    async def find(self, authorization: str) -> Desk | None:
        """Return the one desk.

        Raises:
            RefusedError: another secret.
        """
        if not hmac.compare_digest(authorization.encode("utf-8", "surrogateescape"), self._expected):
            raise RefusedError("heartbeat: needs the bearer token of this run")
        return self._desk


def bearer_token(authorization: str) -> str:
    """Return the token of an Authorization header.

    Raises:
        RefusedError: there is none.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or not token.isascii():
        raise RefusedError("heartbeat: needs a bearer token; set TIDEGATE_CONTROLLER_TOKEN_FILE at the server")
    return token.strip()
