"""The tables of a reproduction, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from controller.reproduce.parallel_rows import MOST_COST, MOST_TIME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.reproduce.batch_contest import Outcome
    from controller.reproduce.jbmp_rows import Regret
    from controller.reproduce.parallel_rows import Beside
    from controller.reproduce.rows import Requirement, Row

WIDTH = 80
NUMBER_WIDTH = 12
HEADS = f"{'median':>7}{'worst':>6}{'brk':>4}"
NONE = "–"


def published_table(rows: Sequence[Row]) -> str:
    """Return "published, reproduced, ours": what a row is and its three numbers, ranges where it has several sizes."""
    lines = [f"{'':<44}{'published':>12}{'reproduced':>12}{'ours':>12}"]
    subject = ""
    for sizes in _over_sizes(rows):
        row = sizes[0]
        about = ", ".join(part for part in (row.design, row.trace, row.service) if part)
        if about != subject:
            lines.append(about)
            subject = about
        name = f"{row.quantity} ({row.unit})"
        first, *rest = textwrap.wrap(name, 44, initial_indent="  ", subsequent_indent="    ")
        numbers = (
            _range(row.published),
            _span([each.reproduced for each in sizes]),
            _span([each.ours for each in sizes]),
        )
        lines += [*([first, *rest][:-1]), f"{[first, *rest][-1]:<44}{''.join(f'{each:>12}' for each in numbers)}"]
    return "\n".join(lines)


def _over_sizes(rows: Sequence[Row]) -> list[list[Row]]:
    """Return rows that differ in the batch size alone together."""
    found: dict[tuple[str | None, ...], list[Row]] = {}
    for row in rows:
        found.setdefault((row.design, row.trace, row.service, row.quantity, row.unit), []).append(row)
    return list(found.values())


def contest_table(outcomes: Sequence[Outcome], yardstick: str, *, over: str = "over oracle") -> str:
    """Return every design on every trace, its cost also against that of one of them; `over` heads that column."""
    least = {(each.trace, each.service): each.usd_per_million for each in outcomes if each.design == yardstick}
    lines: list[str] = []
    shown: tuple[str, str] | None = None
    for each in outcomes:
        key = (each.trace, each.service)
        if key != shown:
            title, shown = f"{each.trace}, {each.service}", key
            lines.append(f"{title:<26}{'USD a mio.':>12}{over:>13}{'windows viol.':>15}{'p95':>10}")
        dearer = f"{100 * (each.usd_per_million / least[key] - 1):+.2f} %"
        windows = f"{100 * each.window_violation_ratio:.2f} %"
        lines.append(f"  {each.design:<24}{each.usd_per_million:>12.4g}{dearer:>13}{windows:>15}{each.p95_s:>8.3g} s")
    return "\n".join(lines)


def beside_table(found: Sequence[Beside]) -> str:
    """Return the parallel design at each size with all its costs, and ours beside it."""
    lines = [
        f"{'':<12}{'parallel':>12}{'ours, at no higher cost':>31}{'ours, in no more time':>25}",
        f"{'  batches of':<12}{'s':>5}{'USD':>7}{'fp32':>15}{'int8':>16}{'fp32':>13}{'int8':>12}",
    ]
    for each in found:
        theirs = f"{f'  {each.batch_size}':<12}{each.bill.makespan_s:>5.0f}{each.bill.total_usd:>7.3f}"
        faster = (_faster(each, precision) for precision in ("fp32", "int8"))
        cheaper = (_cheaper(each, precision) for precision in ("fp32", "int8"))
        lines.append(f"{theirs}{next(faster):>15}{next(faster):>16}{next(cheaper):>13}{next(cheaper):>12}".rstrip())
    lines.append("  all costs and starts included; * short of what is required")
    return "\n".join(lines)


def _faster(each: Beside, precision: str) -> str:
    plan, ratio = each.faster[precision], each.time_ratio(precision)
    if plan is None:
        return f"{NONE}*"
    return f"{plan.makespan_s:.3g} s {1 / ratio:.1f}x{' ' if ratio <= MOST_TIME[precision] else '*'}"


def _cheaper(each: Beside, precision: str) -> str:
    ratio = each.cost_ratio(precision)
    if each.cheaper[precision] is None:
        return f"{NONE}*"
    return f"{100 * (ratio - 1):+.1f} %{' ' if ratio <= MOST_COST[precision] else '*'}"


def regret_table(found: Mapping[str, Mapping[str, Regret]]) -> str:
    """Return regret over the true optimum by family and tuner."""
    tuners = {"ours": "tidegate (12)", "jbmp repaired": "repaired (90)", "jbmp as published": "published (90)"}
    lines = [
        f"{'regret of tidegate and JBMP':<29}{''.join(f'{name:>17}' for name in tuners.values())}",
        f"{'in %; brk: objective broken':<29}{HEADS * len(tuners)}",
    ]
    for family, results in found.items():
        name = f"{family} ({results['ours'].cases})"
        *before, last = textwrap.wrap(name, 29, initial_indent="  ", subsequent_indent="    ")
        cells = (results[tuner] for tuner in tuners)
        numbers = "".join(f"{100 * each.median:>7.1f}{100 * each.worst:>6.0f}{each.broken:>4}" for each in cells)
        lines += [*before, f"{last:<29}{numbers}"]
    return "\n".join(lines)


def requirement_table(requirements: Sequence[Requirement]) -> str:
    """Return what is required of ours, the worst that was seen and where."""
    lines = [f"{'required of ours':<52}{'worst':>10}{'bound':>8}"]
    for each in requirements:
        verdict = "holds" if each.holds else "MISSED"
        lines.append(f"  {each.text:<50}{_number(each.worst):>10}{_number(each.bound):>8}  {verdict}")
        if not each.holds:
            lines += textwrap.wrap(f"at {each.where}", WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def _range(published: tuple[float, float] | None) -> str:
    if published is None:
        return NONE
    return _span(published)


def _span(values: Sequence[float | None]) -> str:
    """Return a number, or the lowest and the highest of several with as many digits as fit a column."""
    known = [value for value in values if value is not None]
    if not known:
        return NONE
    low, high = min(known), max(known)
    if _number(low) == _number(high):
        return _number(low)
    texts = [f"{_number(low, digits)}-{_number(high, digits)}" for digits in (4, 3, 2, 1)]
    return next((text for text in texts if len(text) < NUMBER_WIDTH), texts[-1])


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return NONE
    return f"{value:.{digits}g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.1e}"
