"""Arrivals and instances over time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from controller.reports import formats
from controller.reports.drawing import Drawing, Scale, steps
from controller.reports.panels import AXIS_PX, TITLE_PX, draw_time_axis, draw_title, draw_values, panel_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.reports.column import Column
    from controller.reports.findings import Report
    from controller.reports.panels import Sheet
    from controller.reports.run_folder import RunFolder

ARRIVALS_PX = 150.0
INSTANCES_PX = 58.0
MOST_BINS = 300


def arrivals_figure(report: Report, paper: Sheet) -> Drawing:
    """Return the picture of arrivals with the changes that were detected."""
    drawing = Drawing(paper.width, TITLE_PX + ARRIVALS_PX + AXIS_PX, _arrivals_label(report))
    draw_arrivals(drawing, report, paper, 0.0)
    draw_time_axis(drawing, paper, TITLE_PX + ARRIVALS_PX)
    return drawing


def draw_arrivals(drawing: Drawing, report: Report, paper: Sheet, top: float) -> None:
    """Draw arrivals as a panel with its title, `TITLE_PX + ARRIVALS_PX` high."""
    run = report.main.run
    if run is None:
        return
    bin_s, rates = binned_rates(run, report.horizon_s)
    floor = top + TITLE_PX + ARRIVALS_PX
    peak = float(rates.max(initial=0.0))
    scale = Scale(0.0, peak * 1.08 or 1.0, floor, top + TITLE_PX)
    width = "each second" if bin_s == 1 else f"per second, over {bin_s:g} s"
    draw_title(drawing, paper, top, (f"arrivals {width}", f"peak {formats.rate(peak)}", "red: changes detected"))
    draw_values(drawing, paper, scale, [(tick, f"{tick:g}") for tick in scale.ticks(4)])
    corners = steps((np.arange(rates.size) * bin_s).tolist(), rates.tolist(), min(rates.size * bin_s, paper.time.high))
    x, y = paper.time.px(corners[0]), scale.px(corners[1])
    drawing.area(x, y, floor, "ink-area")
    drawing.polyline(x, y, "ink-line")
    _draw_changes(drawing, report, paper, (top + TITLE_PX, floor))


def _draw_changes(drawing: Drawing, report: Report, paper: Sheet, span: tuple[float, float]) -> None:
    top, floor = span
    for start_s in report.phases_s:
        x = paper.time.at(start_s)
        drawing.line((x, top - 3), (x, top + 5), "truth")
    free_from = -math.inf
    for change in report.changes:
        x = paper.time.at(change.at_s)
        drawing.line((x, top), (x, floor), change.kind)
        if change.kind == "regime" and x > free_from:
            near_end = x > paper.right - 90
            words = "regime" if not math.isfinite(change.rate_rps) else f"regime, {formats.rate(change.rate_rps)}"
            drawing.text(x + (-5 if near_end else 5), top + 16, words, "strong end" if near_end else "strong")
            free_from = x + 100


def _arrivals_label(report: Report) -> str:
    kinds = [each.kind for each in report.changes]
    run = report.main.run
    peak = float(binned_rates(run, report.horizon_s)[1].max(initial=0.0)) if run is not None else 0.0
    return (
        f"Arrivals per second over {report.horizon_s:.0f} seconds, peak {formats.rate(peak)}; "
        f"{kinds.count('alarm')} alarms and {kinds.count('regime')} regime changes were detected."
    )


def binned_rates(run: RunFolder, until_s: float) -> tuple[float, NDArray[np.float64]]:
    """Return (seconds a bin, requests per second in each bin); one-second bins unless the run is long."""
    bin_s = float(max(1, math.ceil(until_s / MOST_BINS)))
    bins = max(1, math.ceil(until_s / bin_s))
    counts, _ = np.histogram(run.requests.intended_s, bins=bins, range=(0.0, bins * bin_s))
    return bin_s, counts / bin_s


def instances_figure(report: Report, paper: Sheet) -> Drawing:
    """Return a panel for each column with its instances over time and their cold starts."""
    columns = [column for column in report.columns if column.run is not None]
    height = len(columns) * (TITLE_PX + INSTANCES_PX + 14) + AXIS_PX - 8
    notes = ", ".join(
        f"{formats.title_of(column.name)} {formats.amount(column.bill.instance_s)} instance seconds and "
        f"{column.figures.cold_starts} cold starts"
        for column in columns
        if column.bill is not None
    )
    drawing = Drawing(paper.width, height, f"Instances over time: {notes}.")
    most = max((most_instances(column) for column in columns), default=1)
    for place, column in enumerate(columns):
        draw_instances(drawing, column, paper, (place * (TITLE_PX + INSTANCES_PX + 14), most))
    draw_time_axis(drawing, paper, height - AXIS_PX + 8)
    return drawing


def draw_instances(drawing: Drawing, column: Column, paper: Sheet, place: tuple[float, int]) -> None:
    """Draw the instances of one column; `place` is its top and the most instances of any column."""
    top, most = place
    if column.run is None or column.bill is None:
        return
    floor = top + TITLE_PX + INSTANCES_PX
    scale = Scale(0.0, max(most, 1) * 1.1, floor, top + TITLE_PX)
    starts = column.figures.cold_starts
    notes = (f"{formats.amount(column.bill.instance_s)} instance s", f"{starts} cold start{'' if starts == 1 else 's'}")
    draw_title(drawing, paper, top, (panel_name(paper, column.name, "instances"), *notes), column.name)
    draw_values(drawing, paper, scale, [(value, f"{value}") for value in sorted({0, 1, most})])
    for css, begins in (("area", "ready_s"), ("thin-line", "started_s")):
        corners = _counts(column.run, begins)
        x, y = paper.time.px(corners[0]), scale.px(corners[1])
        if css == "area":
            drawing.area(x, y, floor, f"area {column.name}")
            drawing.polyline(x, y, f"line {column.name}")
        else:
            drawing.polyline(x, y, f"thin-line {column.name}")
    for row in column.run.instances:
        if 0 <= row.started_s <= column.run.horizon_s:
            drawing.triangle(paper.time.at(row.started_s), floor + 2, f"mark {column.name}")


def most_instances(column: Column) -> int:
    """Return the most instances that a column had at once, starting ones included."""
    return int(_counts(column.run, "started_s")[1].max(initial=0.0)) if column.run is not None else 0


def _counts(run: RunFolder, begins: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the step line of how many instances have begun (started or ready) and not stopped."""
    events: list[tuple[float, int]] = [(0.0, 0)]
    for row in run.instances:
        begin_s = row.started_s if begins == "started_s" else row.ready_s
        stop_s = math.inf if math.isnan(row.stopped_s) else row.stopped_s
        if not math.isnan(begin_s) and stop_s > max(begin_s, 0.0):
            events += [(max(begin_s, 0.0), 1), (stop_s, -1)]
    shown = sorted(event for event in events if event[0] < run.horizon_s or event[0] == 0)
    counts = np.cumsum([step for _, step in shown])
    return steps([at_s for at_s, _ in shown], counts.tolist(), run.horizon_s)
