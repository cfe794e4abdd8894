"""What the loop leaves behind in a run's folder: a line per decision, a line per change, and what a restart needs."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
from typing import TYPE_CHECKING, Any, Protocol

from controller.domain.documents import as_object, get_number
from controller.errors import BadInputError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from io import FileIO
    from pathlib import Path

STATE_EVERY_S = 30.0
LARGEST_STATE_BYTES = 32 * 1024
"""What fits into a ConfigMap beside other things; the same limit holds for the file."""

_log = logging.getLogger(__name__)


class Diary(Protocol):
    """Takes what a loop decides and changes."""

    def decided(self, line: Mapping[str, object]) -> None: ...  # noqa: D102  a decision

    def changed(self, line: Mapping[str, object]) -> None: ...  # noqa: D102  a change that was applied


class Journal:
    """Appends to decisions.jsonl and settings.jsonl.

    Args:
        folder: of the run; it exists.
        tell: called with the reason of every decision.
    """

    def __init__(self, folder: Path, *, tell: Callable[[str], None] | None = None) -> None:
        self._folder = folder
        self._tell = tell
        self._decisions = self._changes = 0
        self._last: Mapping[str, object] | None = None
        self._cpu_s = 0.0
        self._earlier_cpu_s: float | None = None

    def decided(self, line: Mapping[str, object]) -> None:
        """Record a decision.

        Raises:
            TemporaryError: the disk does not take it.
        """
        self._append("decisions.jsonl", line)
        self._decisions, self._last = self._decisions + 1, line
        if self._tell is not None:
            self._tell(f"{line['at_s']:8.1f} s  {line['reason']}")

    def changed(self, line: Mapping[str, object]) -> None:
        """Record a change that was applied.

        Raises:
            TemporaryError: the disk does not take it.
        """
        self._append("settings.jsonl", line)
        self._changes += 1

    def spent(self, *, cpu_s: float) -> None:
        """Record in controller.json what the loop itself cost: CPU seconds of this process and of its searches.

        What earlier lives of the loop spent on the same run is added.

        Raises:
            TemporaryError: the disk does not take it.
        """
        self._cpu_s = cpu_s
        path = self._folder / "controller.json"
        if self._earlier_cpu_s is None:
            self._earlier_cpu_s = _spent_before(path)
        try:
            path.write_text(json.dumps({"cpu_s": round(self._earlier_cpu_s + cpu_s, 3)}))
        except OSError as error:
            raise TemporaryError(f"{path}: cannot be written ({error.strerror})") from error

    def summary(self) -> dict[str, object]:
        """Return what was recorded since this object was made, as JSON."""
        return {
            "folder": str(self._folder),
            "decisions": self._decisions,
            "changes": self._changes,
            "last_decision": self._last,
            "cpu_s": round(self._cpu_s, 3),
        }

    def _append(self, name: str, line: Mapping[str, object]) -> None:
        text = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        try:
            # Without a buffer, which would be written once more when the file is closed.
            with (self._folder / name).open("ab", buffering=0) as file:
                _write_whole(file, text)
        except OSError as error:
            raise TemporaryError(f"{self._folder / name}: cannot be written ({error.strerror})") from error


def _write_whole(file: FileIO, text: bytes) -> None:
    """Append all of a line or nothing: what a full disk cut off would spoil the next line too."""
    length = file.tell()
    try:
        while text:  # a disk that is nearly full takes a part, and refuses only the rest
            text = text[file.write(text) :]
    except OSError:
        file.truncate(length)
        raise


def _spent_before(path: Path) -> float:
    """Return the CPU seconds that a file tells of; 0 where there is none, or none that can be read."""
    try:
        document = as_object(json.loads(path.read_text()), str(path))
        return get_number(document, "cpu_s", str(path), above=0.0)
    except (OSError, ValueError, RecursionError, BadInputError):
        return 0.0


class StateFile:
    """One JSON document that appears whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Any] | None:
        """Return the document; None where there is none, or none that can be read."""
        try:
            document = json.loads(self._path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("state_unreadable path=%s why=%s", self._path, error)
            return None
        return document if isinstance(document, dict) else None

    def write(self, document: Mapping[str, object]) -> None:
        """Replace the document.

        Raises:
            TemporaryError: too large, or the disk does not take it.
        """
        text = json.dumps(document, separators=(",", ":"))
        if len(text) > LARGEST_STATE_BYTES:
            raise TemporaryError(f"{self._path}: state of {len(text)} bytes is above {LARGEST_STATE_BYTES}")
        partial = self._path.with_suffix(".partial")
        try:
            with partial.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise TemporaryError(f"{self._path}: cannot be written ({error.strerror})") from error


class StateKeeper:
    """Reads a state at the start, and writes one on news and now and then.

    Args:
        file: of the state.
        restore: takes what the file holds; what it refuses is told and left alone.
    """

    def __init__(self, file: StateFile, *, restore: Callable[[dict[str, Any]], None]) -> None:
        self._file = file
        self._saved_at_s = -math.inf
        self._saved: object = None
        document = file.read()
        if document is not None:
            try:
                restore(document)
            except BadInputError as error:
                _log.warning("state_unusable why=%s", error)

    def save(self, document: Callable[[], Mapping[str, object]], now_s: float, *, news: object) -> None:
        """Write the state if there is news, or if the last one is half a minute old.

        Raises:
            TemporaryError: the disk does not take it.
        """
        if news is self._saved and now_s - self._saved_at_s < STATE_EVERY_S:
            return
        self._file.write(document())
        self._saved, self._saved_at_s = news, now_s
