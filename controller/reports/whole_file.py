"""Writes a file that appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from controller.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, content: str) -> None:
    """Write text, replacing what was there; a failure leaves the old file, and nothing half-written.

    Raises:
        BadInputError: no room, or no permission.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(content, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise BadInputError(f"{path}: cannot be written ({error.strerror}); make room or make it writable") from error
