"""Hot settings from a file that someone else keeps current (a mounted ConfigMap): looked at once a second."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PERIOD_S = 0.5
"""With the time to apply, a change is in force within a second."""


async def follow_file(path: str, on_document: Callable[[object], None]) -> None:
    """Hand over the file's JSON whenever its content changes, until cancelled. The file may be absent."""
    last: bytes | None = None
    while True:
        # Content, not the time of change: two writes in one tick of the file system's clock look the same.
        content = _read(path)
        if content is not None and content != last:
            last = content
            try:
                on_document(json.loads(content))
            except (ValueError, RecursionError):
                on_document(None)  # refused and counted like any other value that is no object
        await asyncio.sleep(_PERIOD_S)


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
