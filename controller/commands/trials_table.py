"""How trials look on a terminal: a line while they run, a table at the end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.sweeps.records import best_of

if TYPE_CHECKING:
    from controller.domain.slo import LatencySlo
    from controller.sweeps.records import TrialRecord

SHORT_NAMES = {
    "max_batch_size": "batch",
    "batch_tokens": "tokens",
    "max_queue_delay_s": "delay_s",
    "max_queue_length": "queue",
    "min_scale": "min",
    "max_scale": "max",
    "container_concurrency": "fence",
}
"""Heads of the columns of the table; the other settings are short enough."""


def one_line(record: TrialRecord, slo: LatencySlo) -> str:
    """Return a finished trial in one line of progress."""
    setting = " ".join(f"{short(name)}={value:g}" for name, value in record.parameters.items())
    if record.state != "Complete":
        return f"{setting}  {record.state.lower()}: {record.why}"
    figures = record.figures
    verdict = "inside" if record.is_feasible(slo) else "outside"
    return (
        f"{setting}  p95 {milliseconds(figures.p95_s)}  {dollars(figures.cost_per_million_usd)} per million  {verdict}"
    )


def trials_table(records: list[TrialRecord], slo: LatencySlo) -> str:
    """Return a line for each trial, the best one marked."""
    best = best_of(records, slo)
    names = list(records[0].parameters) if records else []
    head = ["trial", *map(short, names), "p95", "windows in", "$/million", "cold", "rejected", "objective"]
    rows = [
        head,
        *(
            [
                f"{'*' if record is best else ' '}{record.number}",
                *(f"{record.parameters[name]:g}" for name in names),
                *_figure_cells(record),
                _verdict(record, slo),
            ]
            for record in records
        ),
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head) - 1)]
    lines = [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    # A reason may be long and would tear the table apart.
    return "\n".join(
        [*lines, *(f"trial {each.number} {each.state.lower()}: {each.why}" for each in records if each.why)]
    )


def _figure_cells(record: TrialRecord) -> list[str]:
    if record.state == "Failed":
        return ["-"] * 5
    figures = record.figures
    kept = figures.window_violation_ratio
    return [
        milliseconds(figures.p95_s),
        f"{1 - kept:.1%}",
        dollars(figures.cost_per_million_usd),
        str(figures.cold_starts),
        str(figures.rejected),
    ]


def _verdict(record: TrialRecord, slo: LatencySlo) -> str:
    if record.state != "Complete":
        return record.state.lower()
    return "inside" if record.is_feasible(slo) else "outside"


def short(name: str) -> str:
    """Return the head of a setting's column."""
    return SHORT_NAMES.get(name, name)


def milliseconds(seconds: float) -> str:
    """Return a latency for a table; `none` where the quantile got no answer."""
    if math.isnan(seconds):
        return "-"
    return f"{1000 * seconds:.0f} ms" if math.isfinite(seconds) else "none"


def dollars(value: float) -> str:
    """Return a cost for a table, three digits."""
    return f"${value:#.3g}".rstrip(".") if math.isfinite(value) else "-"
