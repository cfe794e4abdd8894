"""Reads the JSON files of a run's folder into typed values; a wrong file gives one line that names it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, cast

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Document = dict[str, object]
_REMEDY = "give the folder of a finished run, or run it again"


def read_object(path: Path) -> Document:
    """Return the JSON object in a file.

    Raises:
        BadInputError: missing, unreadable, not JSON, or not an object.
    """
    return _parse(_read(path), str(path))


def read_object_if_there(path: Path) -> Document:
    """Return the JSON object in a file, or an empty one where the file is absent."""
    return read_object(path) if path.is_file() else {}


def read_lines(path: Path) -> list[tuple[str, Document]]:
    """Return (where, object) of each line of a .jsonl file; none where the file is absent.

    A last line without its line end is left out: its writer was killed, or the disk was full, while it wrote it.

    Raises:
        BadInputError: another line that is not a JSON object.
    """
    if not path.is_file():
        return []
    content = _read(path)
    whole = content[: content.rfind("\n") + 1]
    # Split at line ends only: a text may hold other separators, such as U+2028.
    lines = [(line, f"{path}: line {number}") for number, line in enumerate(whole.split("\n"), start=1)]
    rest = content[len(whole) :]
    if _is_object(rest):
        lines.append((rest, f"{path}: last line"))
    return [(where, _parse(line, where)) for line, where in lines if line.strip()]


def _is_object(content: str) -> bool:
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False


def number(document: Mapping[str, object], key: str) -> float:
    """Return a number of a document; NaN where it is absent, null or no number."""
    value = document.get(key)
    try:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an integer beyond every float
        return math.nan


def text(document: Mapping[str, object], key: str, default: str = "") -> str:
    """Return a text of a document; the default where it is absent or no text."""
    value = document.get(key)
    return value if isinstance(value, str) else default


def mapping(document: Mapping[str, object], key: str) -> Document:
    """Return an object of a document; an empty one where it is absent or no object."""
    value = document.get(key)
    return cast("Document", value) if isinstance(value, dict) else {}


def objects(document: Mapping[str, object], key: str) -> list[Document]:
    """Return the objects in a list of a document; none where it is absent or no list."""
    value = document.get(key)
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Document", item) for item in items if isinstance(item, dict)]


def json_number(value: float) -> float | None:
    """Return a number as JSON can hold it, with nine digits after the point; null for NaN and infinities."""
    return round(value, 9) if math.isfinite(value) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: is not text in UTF-8; {_REMEDY}") from error


def _parse(content: str, where: str) -> Document:
    try:
        document: object = json.loads(content)
    except ValueError as error:
        raise BadInputError(f"{where}: is not whole JSON; {_REMEDY}") from error
    except RecursionError as error:
        raise BadInputError(f"{where}: JSON nested too deeply; {_REMEDY}") from error
    if not isinstance(document, dict):
        raise BadInputError(f"{where}: needs a JSON object, got {type(document).__name__}; {_REMEDY}")
    return cast("Document", document)
