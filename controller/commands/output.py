"""What commands print: one JSON document, or a table that fits 80 columns and ends with a reason."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH = 80


def print_json(document: Mapping[str, object]) -> None:
    """Write one JSON document to stdout."""
    sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")


def print_table(title: str, rows: Sequence[tuple[str, str]], *, why: str) -> None:
    """Write a title, rows of name and value, and the reason, none wider than 80 columns where words allow it."""
    width = max(len(name) for name, _ in rows) + 2
    lines = [title]
    for name, value in rows:
        lines += textwrap.wrap(
            value, WIDTH, initial_indent=f"  {name:<{width}}", subsequent_indent=" " * (width + 2)
        ) or [f"  {name}"]
    lines += textwrap.wrap(why, WIDTH, initial_indent="why: ", subsequent_indent="     ")
    sys.stdout.write("\n".join(lines) + "\n")


def format_s(seconds: float) -> str:
    """Return a duration with three or four digits, such as `41.2 ms` or `1.53 s`; `never` if infinite."""
    if seconds == float("inf"):
        return "never"
    return f"{seconds * 1000:.4g} ms" if seconds < 1 else f"{seconds:.4g} s"


def format_interval(interval: tuple[float, float] | None) -> str:
    """Return a 95 % confidence interval in brackets; where there is none, say so."""
    if interval is None:
        return "(too few requests for an interval)"
    return f"(95 %: {format_s(interval[0])} to {format_s(interval[1])})"
