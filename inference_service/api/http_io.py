"""Reading a body and writing a response over ASGI; a response is one value and leaves in one go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from inference_service.errors import InvalidInputError, ServingError, TooLargeError

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

LARGEST_BODY = 8 * 1024 * 1024
"""Bytes of a request body; beyond it the answer is 413."""

_JSON: Header = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = (_JSON,)


class ClientGoneError(Exception):
    """The client has closed the connection; nobody reads an answer."""


def json_response(value: object, status: int = 200, headers: tuple[Header, ...] = ()) -> Response:
    """A JSON answer."""
    return Response(status, orjson.dumps(value), (_JSON, *headers))


def error_response(error: ServingError, headers: tuple[Header, ...] = ()) -> Response:
    """{"error": …} with the status that the error owns."""
    return json_response({"error": str(error)}, error.status, headers)


async def read_body(receive: Receive, headers: list[Header]) -> bytes:
    """The whole body.

    Raises:
        TooLargeError: more than LARGEST_BODY, said by Content-Length or found while reading.
        ClientGoneError: the connection was closed before the end.
    """
    length = find_header(headers, b"content-length")
    if length is not None and length.isdigit() and int(length) > LARGEST_BODY:
        raise TooLargeError(f"the body has {int(length)} bytes, at most {LARGEST_BODY} are read; send less at once")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_BODY:
            raise TooLargeError(f"the body has more than {LARGEST_BODY} bytes; send less at once")
        if not message.get("more_body"):
            return b"".join(parts)


def find_header(headers: list[Header], name: bytes) -> bytes | None:
    """The value of the first header of that (lower-case) name."""
    for key, value in headers:
        if key == name:
            return value
    return None


def parse_json(body: bytes) -> dict[str, Any]:
    """The body's JSON object.

    Raises:
        InvalidInputError: no JSON (NaN, bad UTF-8 and too deep nesting included), or no object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInputError(f"the body must be a JSON object, not {kind_of(value)}")
    return value


def kind_of(value: object) -> str:
    """The JSON name of a value's type, for messages."""
    names: dict[type, str] = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")


async def send_response(send: Send, response: Response) -> None:
    """Write a response; the server below joins head and body into one write."""
    length = (b"content-length", b"%d" % len(response.body))
    await send({"type": "http.response.start", "status": response.status, "headers": [length, *response.headers]})
    await send({"type": "http.response.body", "body": response.body})
