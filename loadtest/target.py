"""The server under load: its address, looked up once, and a check that something listens there."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from controller.errors import BadInputError

CONNECT_TIMEOUT_S = 5.0
"""How long the check before a run waits; on a network where SYN packets get lost, three tries fit."""

LONGEST_LABEL = 63
"""Letters between two dots of a host name (RFC 1035); Python's look-up fails on longer ones before it asks."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed --host.

    Attributes:
        host: name or address, as given.
        port: as given, or 80 or 443.
        tls: whether the scheme is https.
        prefix: path before the protocol's own, without a slash at its end.
    """

    host: str
    port: int
    tls: bool
    prefix: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def address(self) -> str:
        """Look the name up and connect once, sending nothing: that wakes no service that sleeps behind an activator.

        Returns:
            The numeric address that answered.

        Raises:
            BadInputError: the name is unknown, or nothing listens there.
        """
        try:
            with socket.create_connection((self.host, self.port), timeout=CONNECT_TIMEOUT_S) as connection:
                return str(connection.getpeername()[0])
        except OSError as error:
            reason = "timed out" if isinstance(error, TimeoutError) else error.strerror or "unknown reason"
            where = f"{self.host} port {self.port}"
            raise BadInputError(
                f"--host: nothing answers at {where} ({reason}); start the service or name another"
            ) from error


def parse_target(url: str) -> Target:
    """Parse a base URL such as http://127.0.0.1:8080.

    Raises:
        BadInputError: no http or https URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadInputError(f"--host: {url!r} is no URL ({error}); give one such as http://127.0.0.1:8080") from error
    usable = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise BadInputError(f"--host: needs a base URL such as http://127.0.0.1:8080, got {url!r}")
    labels = str(parts.hostname).removesuffix(".").split(".")
    if not all(0 < len(label) <= LONGEST_LABEL for label in labels):
        raise BadInputError(
            f"--host: each part of a name has 1 to {LONGEST_LABEL} letters, got {parts.hostname!r:.80}; correct it"
        )
    tls = parts.scheme == "https"
    return Target(str(parts.hostname), port or (443 if tls else 80), tls=tls, prefix=parts.path.rstrip("/"))
