"""Latency against the objective over time, a panel for each column.

Every request is a dot, the late ones stand out, and a line shows what the objective is about: the quantile of each
window of 256 arrivals. Where that line is above the bound, the window violates, exactly as in the verdict.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.slo import WINDOW_ARRIVALS
from controller.reports import formats
from controller.reports.column import late_requests
from controller.reports.drawing import Drawing, Scale, thin
from controller.reports.panels import AXIS_PX, TITLE_PX, draw_time_axis, draw_title, draw_values, panel_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.slo import LatencySlo
    from controller.reports.column import Column
    from controller.reports.findings import Report
    from controller.reports.panels import Sheet

PANEL_PX = 132.0
GAP_PX = 14.0
UNANSWERED_PX = 14.0
"""Height of the strip on top of a panel where requests without a right answer stand."""
LOWEST_S = 1e-4
MOST_DOTS = 2500
MOST_WINDOWS = 700


def latency_figure(report: Report, paper: Sheet) -> Drawing:
    """Return a panel for each column that was recorded."""
    columns = [column for column in report.columns if column.run is not None]
    height = len(columns) * (TITLE_PX + PANEL_PX + GAP_PX) - GAP_PX + AXIS_PX
    drawing = Drawing(paper.width, height, _label(report, columns))
    for place, column in enumerate(columns):
        draw_latency(drawing, report, column, paper, place * (TITLE_PX + PANEL_PX + GAP_PX))
    draw_time_axis(drawing, paper, height - AXIS_PX)
    return drawing


def draw_latency(drawing: Drawing, report: Report, column: Column, paper: Sheet, top: float) -> None:
    """Draw the latency of one column as a panel with its title, `TITLE_PX + PANEL_PX` high."""
    if column.run is None:
        return
    slo, figures = report.slo, column.figures
    ceiling, floor = top + TITLE_PX, top + TITLE_PX + PANEL_PX
    low_s, high_s = latency_range(report)
    strip_px = UNANSWERED_PX if any(each.figures.unanswered for each in report.columns) else 0.0
    scale = Scale(low_s, high_s, floor, ceiling + strip_px, is_log=True)
    notes = (f"{formats.share(figures.attainment)} of windows", f"{formats.count(figures.late)} late")
    draw_title(drawing, paper, top, (panel_name(paper, column.name, "latency"), *notes), column.name)
    ticks = [tick for tick in scale.ticks(5) if abs(scale.at(tick) - scale.at(slo.bound_s)) > 9]
    draw_values(
        drawing, paper, scale, [(tick, f"{tick:g} s" if tick >= 1 else f"{tick * 1000:g} ms") for tick in ticks]
    )
    log, late = column.run.requests, late_requests(column.run, slo)
    answered = np.isfinite(log.latency_s)
    _draw_dots(drawing, paper, scale, (log.intended_s, log.latency_s), (answered & ~late, f"dots {column.name}"))
    _draw_dots(drawing, paper, scale, (log.intended_s, log.latency_s), (answered & late, "dots late"))
    if not answered.all():
        x = np.unique(paper.time.px(log.intended_s[~answered]).round())
        drawing.dots(x, np.full(x.shape, ceiling + 7.0), "dots lost")
        drawing.text(paper.left - 6, ceiling + 11, "lost", "end late-text")
    _draw_windows(drawing, paper, scale, column, slo)
    y_bound = scale.at(slo.bound_s)
    drawing.line((paper.left, y_bound), (paper.right, y_bound), "bound")
    drawing.text(paper.left - 6, y_bound + 4, formats.bound(slo.bound_s), "end strong")


def _draw_dots(
    drawing: Drawing,
    paper: Sheet,
    scale: Scale,
    points: tuple[NDArray[np.float64], NDArray[np.float64]],
    which: tuple[NDArray[np.bool_], str],
) -> None:
    chosen, css = which
    x, y = paper.time.px(points[0][chosen]), scale.px(np.maximum(points[1][chosen], LOWEST_S))
    drawing.dots(*thin(x, y, most=MOST_DOTS), css)


def _draw_windows(drawing: Drawing, paper: Sheet, scale: Scale, column: Column, slo: LatencySlo) -> None:
    if column.run is None or column.run.requests.intended_s.size == 0:
        return
    at_s, quantile_s = window_quantiles(column.run.requests.intended_s, column.run.requests.latency_s, slo.quantile)
    x, y = paper.time.px(at_s), scale.px(np.maximum(quantile_s, LOWEST_S))
    y_bound = scale.at(slo.bound_s)
    drawing.area(x, np.minimum(y, y_bound), y_bound, "violating")
    drawing.polyline(x, y, f"line {column.name}")


def window_quantiles(
    intended_s: NDArray[np.float64], latency_s: NDArray[np.float64], quantile: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (when the last request of a window was due, the window's quantile of latency), one pair a window.

    The order statistic that exceeds the bound exactly when the window violates: with more than 256 (1 - q) late answers
    the next largest latency is over the bound too. At most 700 windows are looked at, evenly spread.
    """
    width = min(WINDOW_ARRIVALS, latency_s.size)
    allowed = math.floor(width * (1 - quantile) + 1e-9)
    filled = np.where(np.isnan(latency_s), np.inf, latency_s)
    windows = np.lib.stride_tricks.sliding_window_view(filled, width)
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).round().astype(np.int64))
    rank = width - 1 - allowed
    values = np.partition(windows[chosen], rank, axis=1)[:, rank]
    if len(chosen) == 1:
        return intended_s[[0, -1]], np.repeat(values, 2)
    return intended_s[chosen + width - 1], values


def latency_range(report: Report) -> tuple[float, float]:
    """Return the lowest and highest latency that every panel shows, the bound well inside."""
    answered = [column.run.requests.latency_s for column in report.columns if column.run is not None]
    seen = np.concatenate([each[np.isfinite(each)] for each in answered] or [np.zeros(0)])
    seen = seen[seen > LOWEST_S]
    low_s = float(seen.min(initial=report.slo.bound_s / 10))
    high_s = float(seen.max(initial=report.slo.bound_s * 2))
    return low_s / 1.2, high_s * 1.3


def _label(report: Report, columns: Sequence[Column]) -> str:
    kept = formats.listed(
        [f"{formats.title_of(each.name)} {formats.share(each.figures.attainment)}" for each in columns]
    )
    return (
        f"Latency of each request over time against the bound of {formats.bound(report.slo.bound_s)}, "
        f"logarithmic; windows inside the objective: {kept}."
    )
