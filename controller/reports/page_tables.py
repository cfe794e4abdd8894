"""The tables of the page, as HTML. Every cell is escaped on its way in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.reports import formats
from controller.reports.headline import cost_change, holds
from controller.reports.prose import prose

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from controller.reports.column import Column
    from controller.reports.findings import Report

UNANSWERED = {"rejected": "of these rejected (429)", "expired": "of these expired (504)", "error": "of these failed"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its words and its classes."""

    words: str
    css: str = ""


def table(
    head: Sequence[Cell],
    rows: Iterable[tuple[str, Sequence[Cell]]],
    *,
    caption: str,
    css: str = "",
    has_names: bool = True,
) -> str:
    """Return a table; each row is (its class, its cells), the first cell names the row where `has_names`."""
    top = "".join(f'<th scope="col" class="{each.css}">{prose(each.words)}</th>' for each in head)
    body = "".join(
        f'<tr class="{row_css}">{"".join(_cells(head, cells, has_names=has_names))}</tr>' for row_css, cells in rows
    )
    return (
        f'<div class="scroll"><table class="{css}"><caption>{prose(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(head: Sequence[Cell], cells: Sequence[Cell], *, has_names: bool) -> Iterable[str]:
    for place, (column, cell) in enumerate(zip(head, cells, strict=True)):
        if has_names and place == 0:
            yield f'<th scope="row" class="{cell.css}">{prose(cell.words)}</th>'
        else:
            yield f'<td class="{cell.css}" data-label="{prose(column.words)}">{prose(cell.words)}</td>'


def verdict(report: Report) -> str:
    """Return the columns side by side."""
    columns = report.columns
    head = [Cell(""), *(Cell(formats.title_of(each.name), f"number name {each.name}") for each in columns)]
    rows: list[tuple[str, list[Cell]]] = [
        (
            "main" if is_main else "",
            [
                Cell(name),
                *(Cell(value, _verdict_css(name, column)) for value, column in zip(values, columns, strict=True)),
            ],
        )
        for name, values, is_main in verdict_rows(report)
    ]
    return table(head, rows, caption="The same schedule, served in different ways.", css="even")


def _verdict_css(name: str, column: Column) -> str:
    return "number missed" if name == "objective" and column.figures.requests and not holds(column) else "number"


def verdict_rows(report: Report) -> list[tuple[str, list[str], bool]]:
    """Return (measure, one text a column, whether it is a main one); page and terminal show the same rows."""
    figures = [column.figures for column in report.columns]
    defaults = report.column("defaults")
    rows = [
        ("objective", ["held" if holds(column) else "missed" for column in report.columns], True),
        ("windows inside it", [formats.share(each.attainment) for each in figures], True),
        ("cost per million requests", [formats.usd(each.cost_per_million_usd) for each in figures], True),
        ("cost against the defaults", [_against(column, defaults) for column in report.columns], False),
        ("p50", [formats.seconds(each.p50_s) for each in figures], False),
        ("p95", [formats.seconds(each.p95_s) for each in figures], False),
        ("p99", [formats.seconds(each.p99_s) for each in figures], False),
        ("requests", [formats.count(each.requests) for each in figures], False),
        ("late", [formats.count(each.late) for each in figures], False),
        ("without a right answer", [formats.count(each.unanswered) for each in figures], False),
        *(
            (words, [formats.count(each.by_class.get(name, 0)) for each in figures], False)
            for name, words in UNANSWERED.items()
            if any(each.by_class.get(name) for each in figures)
        ),
        ("met a cold start", [formats.count(each.by_class.get("cold_start", 0)) for each in figures], False),
        ("cold starts", [formats.count(each.cold_starts) for each in figures], False),
        (
            "instance seconds",
            [formats.amount(each.bill.instance_s) if each.bill else formats.NONE for each in report.columns],
            False,
        ),
        ("how", [str(each.kind) for each in report.columns], False),
    ]
    return [row for row in rows if defaults is not None or row[0] != "cost against the defaults"]


def _against(column: Column, defaults: Column | None) -> str:
    if defaults is None or column is defaults:
        return formats.NONE
    change = cost_change(column, defaults)
    return f"{change:+.0%}".replace("-", "−").replace("%", " %") if math.isfinite(change) else formats.NONE


def costs(report: Report) -> str:
    """Return what the instances used and what that costs, a column each."""
    columns = [(column, column.bill) for column in report.columns if column.bill is not None]
    head = [Cell(""), *(Cell(formats.title_of(column.name), f"number name {column.name}") for column, _ in columns)]
    bills = [bill for _, bill in columns]
    rows = [
        ("", "instance seconds, ready (busy and idle)", [formats.amount(each.ready_s) for each in bills]),
        ("", "instance seconds, starting", [formats.amount(each.starting_s) for each in bills]),
        ("", "vCPU seconds", [formats.amount(each.vcpu_s) for each in bills]),
        ("", "GB seconds", [formats.amount(each.gb_s) for each in bills]),
        ("", "vCPU", [formats.usd(each.vcpu_usd) for each in bills]),
        ("", "memory", [formats.usd(each.memory_usd) for each in bills]),
        ("", "CPU seconds of the controller", [formats.amount(each.controller_cpu_s) for each in bills]),
        ("", "controller", [formats.usd(each.controller_usd) for each in bills]),
        ("main", "together", [formats.usd(each.total_usd) for each in bills]),
        ("main", "per million requests", [formats.usd(column.figures.cost_per_million_usd) for column, _ in columns]),
    ]
    body = [(css, [Cell(name), *(Cell(words, "number") for words in values)]) for css, name, values in rows]
    return table(
        head,
        body,
        caption=f"From the start of the schedule to its end; price list {report.prices.version}.",
        css="even",
    )
