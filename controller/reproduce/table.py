"""The tables of a reproduction, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.reproduce.batch_contest import Outcome
    from controller.reproduce.rows import Requirement, Row

WIDTH = 80
NONE = "–"


def published_table(rows: Sequence[Row]) -> str:
    """Return "published, reproduced, ours": two lines a row, what it is and its three numbers."""
    lines = [f"{'':<44}{'published':>12}{'reproduced':>12}{'ours':>12}"]
    subject = ""
    for row in rows:
        about = ", ".join(part for part in (row.design, row.trace, row.service) if part)
        if about != subject:
            lines.append(about)
            subject = about
        name = f"  {row.quantity} ({row.unit})"
        first, *rest = textwrap.wrap(name, 44, initial_indent="  ", subsequent_indent="    ")
        numbers = f"{_range(row.published):>12}{_number(row.reproduced):>12}{_number(row.ours):>12}"
        lines += [*([first, *rest][:-1]), f"{[first, *rest][-1]:<44}{numbers}"]
    return "\n".join(lines)


def contest_table(outcomes: Sequence[Outcome], oracle: str) -> str:
    """Return every design on every trace, its cost also against an oracle's."""
    least = {(each.trace, each.service): each.usd_per_million for each in outcomes if each.design == oracle}
    lines: list[str] = []
    shown: tuple[str, str] | None = None
    for each in outcomes:
        key = (each.trace, each.service)
        if key != shown:
            title, shown = f"{each.trace}, {each.service}", key
            lines.append(f"{title:<26}{'USD a mio.':>12}{'over oracle':>13}{'windows viol.':>15}{'p95':>10}")
        over = f"{100 * (each.usd_per_million / least[key] - 1):+.2f} %"
        windows = f"{100 * each.window_violation_ratio:.2f} %"
        lines.append(f"  {each.design:<24}{each.usd_per_million:>12.4g}{over:>13}{windows:>15}{each.p95_s:>8.3g} s")
    return "\n".join(lines)


def requirement_table(requirements: Sequence[Requirement]) -> str:
    """Return what is required of ours, the worst that was seen and where."""
    lines = [f"{'required of ours':<52}{'worst':>10}{'bound':>8}{'':>4}"]
    for each in requirements:
        verdict = "holds" if each.holds else "MISSED"
        lines.append(f"  {each.text:<50}{_number(each.worst):>10}{_number(each.bound):>8}  {verdict}")
        if not each.holds:
            lines.append(f"    at {each.where}")
    return "\n".join(lines)


def _range(published: tuple[float, float] | None) -> str:
    if published is None:
        return NONE
    low, high = published
    return _number(low) if low == high else f"{_number(low)}-{_number(high)}"


def _number(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
