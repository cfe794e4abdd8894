"""The listening socket: inherited from whoever started us, or opened on host and port. Knows no web framework."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from inference_service.errors import StartError

if TYPE_CHECKING:
    from inference_service.settings import Settings


def open_listener(settings: Settings, inherited_fd: int | None) -> socket.socket:
    """The inherited listening socket, or a new one on host and port.

    Raises:
        StartError: the descriptor is no listening socket, or the address cannot be had.
    """
    if inherited_fd is not None:
        try:
            listener = socket.socket(fileno=inherited_fd)
            is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise StartError(f"--fd {inherited_fd}: is no socket ({error.strerror})") from None
        if not is_listening:
            raise StartError(f"--fd {inherited_fd}: is no listening socket; bind and listen before the start")
        listener.setblocking(False)  # noqa: FBT003  the standard library's signature
        return listener
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        where = f"{settings.host}:{settings.port}"
        raise StartError(f"{where}: cannot listen there ({error.strerror}); choose another --host or --port") from None
    listener.setblocking(False)  # noqa: FBT003  the standard library's signature
    return listener
