"""The verdict as a table for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from controller.reports import formats
from controller.reports.headline import headline, holds, subline
from controller.reports.page_tables import verdict_rows

if TYPE_CHECKING:
    from controller.reports.findings import Report

WIDTH = 80
NAMES = {"best_fixed": "best fixed", "defaults": "defaults"}
RED, GREEN, BOLD, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[0m"


def verdict_table(report: Report, *, is_terminal: bool = False) -> str:
    """Return the columns side by side under the headline, at most 80 characters wide; colour only in a terminal."""
    rows = verdict_rows(report)
    first = max(len(name) for name, _, _ in rows) + 2
    each = min(18, (WIDTH - first) // len(report.columns))
    lines = [" " * first + "".join(_fit(NAMES.get(column.name, column.name), each) for column in report.columns)]
    for name, values, is_main in rows:
        cells = "".join(_fit(value, each) for value in values)
        lines.append(_painted(f"{name:<{first}}{cells}", BOLD if is_main and is_terminal else ""))
    verdict = GREEN if holds(report.main) else RED
    summary = [*_wrapped(headline(report), verdict if is_terminal else ""), *_wrapped(subline(report), "")]
    warnings = [
        line for reason in report.why_invalid for line in _wrapped(f"INVALID: {reason}", RED if is_terminal else "")
    ]
    return "\n".join([*warnings, *summary, "", *lines])


def _fit(words: str, width: int) -> str:
    """Right-align in a cell, after a blank at least; not every terminal knows the narrow no-break space."""
    plain = words.replace(formats.NARROW_SPACE, " ")
    return f"{plain if len(plain) < width else plain[: width - 2] + '…':>{width}}"


def _wrapped(words: str, paint: str) -> list[str]:
    return [_painted(line, paint) for line in textwrap.wrap(words, WIDTH)]


def _painted(line: str, paint: str) -> str:
    return f"{paint}{line}{PLAIN}" if paint else line
