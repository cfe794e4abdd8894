"""Typed values out of the JSON of a heartbeat, with a refusal that names the field."""

from __future__ import annotations

from typing import Any, cast

from controller.errors import BadInputError

LARGEST = 2**53
"""No figure of a server comes near it; the bound keeps a number of 400 digits away from `float`."""


def get_object(value: object, name: str, most: int = LARGEST) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        BadInputError: it is something else, or has more than `most` fields.
    """
    if not isinstance(value, dict):
        raise BadInputError(f"heartbeat: {name} needs an object, got {type(value).__name__}")
    found = cast("dict[str, Any]", value)
    _check_size(len(found), name, most)
    return found


def get_list(value: object, name: str, most: int = LARGEST) -> list[Any]:
    """Return a JSON list.

    Raises:
        BadInputError: it is something else, or has more than `most` entries.
    """
    if not isinstance(value, list):
        raise BadInputError(f"heartbeat: {name} needs a list, got {type(value).__name__}")
    found = cast("list[Any]", value)
    _check_size(len(found), name, most)
    return found


def get_text(value: object, name: str) -> str:
    """Return a short text.

    Raises:
        BadInputError: it is something else, empty, or longer than a Kubernetes name can be.
    """
    if not isinstance(value, str) or not 0 < len(value) <= 253:
        raise BadInputError(f"heartbeat: {name} needs a text of 1 to 253 characters, got {str(value)[:40]!r}")
    return value


def get_whole(value: object, name: str, low: int = 0) -> int:
    """Return a whole number of at least `low`.

    Raises:
        BadInputError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < LARGEST:
        raise BadInputError(f"heartbeat: {name} needs a whole number of at least {low}, got {str(value)[:40]!r}")
    return value


def get_real(value: object, name: str) -> float:
    """Return a number of at least 0.

    Raises:
        BadInputError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LARGEST:
        raise BadInputError(f"heartbeat: {name} needs a number of at least 0, got {str(value)[:40]!r}")
    return float(value)


def _check_size(size: int, name: str, most: int) -> None:
    if size > most:
        remedy = "no server of tidegate has as many, see what else sends from its pod"
        raise BadInputError(f"heartbeat: {name} needs at most {most} entries, got {size}; {remedy}")
