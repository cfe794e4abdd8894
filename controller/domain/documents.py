"""Parse what users write: JSON documents and files with one number a line; every error names file, place and remedy."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, cast

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def read_json(path: Path, *, remedy: str) -> object:
    """Return the JSON value in a file.

    Raises:
        BadInputError: the file cannot be read or holds no JSON; the message ends with the remedy.
    """
    try:
        return cast("object", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path}: cannot be read ({_reason(error)}); {remedy}") from error
    except json.JSONDecodeError as error:
        raise BadInputError(f"{path}: line {error.lineno}: no JSON ({error.msg}); {remedy}") from error
    except RecursionError as error:
        raise BadInputError(f"{path}: JSON nested too deeply; {remedy}") from error
    except ValueError as error:
        # Of Python itself: an integer of more digits than it converts, or a name that no file can have.
        reason = "an integer has too many digits" if "digits" in str(error) else "no name of a file"
        raise BadInputError(f"{str(path)!r:.200}: cannot be read ({reason}); {remedy}") from error


def read_numbers(path: Path, *, what: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Read a file with one finite number a line; empty lines are skipped.

    Args:
        path: the file.
        what: of which a line holds one, for the messages, such as "arrival instant in seconds".

    Returns:
        The numbers and their line numbers from 1, both of shape (n,), n >= 1.

    Raises:
        BadInputError: unreadable, empty, or a line that holds no finite number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"{path}: cannot be read ({_reason(error)}); give a text file, one {what} a line"
        ) from error
    except ValueError as error:  # a name that no file can have, with a NUL or a lone surrogate
        raise BadInputError(f"{str(path)!r:.200}: is no name of a file; give a text file, one {what} a line") from error
    filled = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line and not line.isspace()]
    if not filled:
        raise BadInputError(f"{path}: is empty; give one {what} a line")
    values = np.array([_float(line) for _, line in filled])
    lines = np.array([number for number, _ in filled], dtype=np.int64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        number, line = filled[int(bad[0])]
        raise BadInputError(f"{path}: line {number}: needs one {what}, got {line.strip()[:40]!r}")
    return values, lines


def as_object(value: object, where: str) -> dict[str, object]:
    """Return a JSON object, or raise BadInputError."""
    if not isinstance(value, dict):
        raise BadInputError(f"{where}: needs a JSON object, got {_kind(value)}")
    return cast("dict[str, object]", value)


def get_text(document: dict[str, object], key: str, where: str) -> str:
    """Return the text under a key, or raise BadInputError."""
    value = _get(document, key, where)
    if not isinstance(value, str):
        raise BadInputError(f"{where}: {key} needs a text, got {_kind(value)}")
    return value


def get_number(document: dict[str, object], key: str, where: str, *, above: float = -math.inf) -> float:
    """Return the finite number under a key, or raise BadInputError unless it is at least `above`."""
    value = as_number(_get(document, key, where), f"{where}: {key}")
    if value < above:
        raise BadInputError(f"{where}: {key} needs a number of at least {above:g}, got {value:g}")
    return value


def get_vector(document: dict[str, object], key: str, where: str) -> NDArray[np.float64]:
    """Return the non-empty list of finite numbers under a key, shape (n,), or raise BadInputError."""
    values = as_list(_get(document, key, where), f"{where}: {key}")
    return np.array([as_number(value, f"{where}: {key}[{i}]") for i, value in enumerate(values)])


def get_matrix(document: dict[str, object], key: str, where: str) -> NDArray[np.float64]:
    """Return the list of equally long lists of finite numbers under a key, shape (n, k), or raise BadInputError."""
    place = f"{where}: {key}"
    rows = [as_list(row, f"{place}[{i}]") for i, row in enumerate(as_list(_get(document, key, where), place))]
    for i, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise BadInputError(f"{place}[{i}]: needs {len(rows[0])} numbers as the rows before, got {len(row)}")
    return np.array([[as_number(value, f"{place}[{i}][{j}]") for j, value in enumerate(r)] for i, r in enumerate(rows)])


def as_list(value: object, where: str) -> list[object]:
    """Return a non-empty JSON list, or raise BadInputError."""
    if not isinstance(value, list) or not value:
        raise BadInputError(f"{where}: needs a list with at least one entry, got {_kind(value)}")
    return cast("list[object]", value)


def as_number(value: object, where: str) -> float:
    """Return a finite number, or raise BadInputError; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInputError(f"{where} needs a number, got {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadInputError(f"{where} needs a finite number, got {value!r:.40}")
    return number


def _get(document: dict[str, object], key: str, where: str) -> object:
    if key not in document:
        raise BadInputError(f"{where}: the key {key!r} is missing; present are {', '.join(sorted(document)) or 'none'}")
    return document[key]


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _kind(value: object) -> str:
    if isinstance(value, dict | list):
        return ("an empty " if not value else "") + ("object" if isinstance(value, dict) else "list")
    return f"the text {value!r:.40}" if isinstance(value, str) else f"{value!r:.40}"


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "unknown reason" if isinstance(error, OSError) else "not UTF-8 text"
