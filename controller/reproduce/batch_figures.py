"""Two pictures: every design on every trace, and one day of latency under BATCH and under ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.domain.slo import ALLOWED_VIOLATION_RATIO
from controller.reports import formats
from controller.reports.drawing import Drawing, Scale, steps
from controller.reports.panels import AXIS_PX, TITLE_PX, WIDE_PX, draw_time_axis, draw_title, draw_values, sheet
from controller.reproduce.batch_contest import FROZEN, OURS, PUBLISHED, RELEASED, SECOND
from controller.reproduce.figure_parts import draw_legend, draw_shares, standalone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from controller.reproduce.batch_contest import Bout, Outcome

MARKS = {OURS: "tidegate", PUBLISHED: "defaults", RELEASED: "late-mark", FROZEN: "best_fixed"}
"""Colour of each design; the page's names of colours are those of a run's columns."""
ROW_PX, HEAD_PX, NAMES_PX, GAP_PX = 30.0, 64.0, 190.0, 40.0
MOST_DEARER = 0.35
LEAST_DEARER = -0.05
PANEL_PX = 150.0
RATE_PX = 80.0
BIN_S = 300.0


def contest_figure(outcomes: Sequence[Outcome]) -> str:
    """Return the text of an SVG: a row for each trace and service, cost on the left and windows on the right."""
    by_row: dict[tuple[str, str], dict[str, Outcome]] = {}
    for each in outcomes:
        by_row.setdefault((each.trace, each.service), {})[each.design] = each
    height = HEAD_PX + ROW_PX * len(by_row) + AXIS_PX
    drawing = Drawing(WIDE_PX, height, "Cost over the oracle each second, and windows violated, by trace and design.")
    drawing.rectangle(0, 0, (WIDE_PX, height), "sheet")
    middle = NAMES_PX + (WIDE_PX - NAMES_PX - GAP_PX) / 2
    cost = Scale(LEAST_DEARER, MOST_DEARER, NAMES_PX, middle)
    windows = Scale(0.0, 1.0, middle + GAP_PX, WIDE_PX - 20)
    draw_legend(drawing, NAMES_PX, MARKS)
    drawing.text(NAMES_PX, 50, "cost over the oracle each second", "note")
    drawing.text(windows.from_px, 50, "windows violated (line: 5 % allowed)", "note")
    bottom = HEAD_PX + ROW_PX * len(by_row)
    draw_shares(drawing, cost, (HEAD_PX - 6, bottom), (0.0, 0.1, 0.2, 0.3))
    draw_shares(drawing, windows, (HEAD_PX - 6, bottom), (0.0, 0.25, 0.5, 0.75, 1.0))
    allowed = windows.at(ALLOWED_VIOLATION_RATIO)
    drawing.line((allowed, HEAD_PX - 6), (allowed, bottom), "bound")
    for place, ((trace, service), designs) in enumerate(by_row.items()):
        y = HEAD_PX + ROW_PX * (place + 0.5)
        drawing.text(NAMES_PX - 16, y + 4, f"{trace}, {service}", "end")
        for design, css in reversed(MARKS.items()):
            each = designs[design]
            dearer = each.usd_per_million / designs[SECOND].usd_per_million - 1
            drawing.circle(cost.at(dearer), y, 5, f"mark {css}")
            drawing.circle(windows.at(each.window_violation_ratio), y, 5, f"mark {css}")
    return standalone(drawing)


def day_figure(bout: Bout, windows: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], float]]) -> str:
    """Return the text of an SVG: arrivals, and the quantile of each window under BATCH and under ours.

    Args:
        bout: gives arrivals and the objective.
        windows: by design, (when the last request of a window came, quantile of the window in s, share violated).
    """
    trial, slo = bout.trial, bout.trial.slo
    paper = sheet(WIDE_PX, trial.until_s - trial.from_s)
    height = 8 + 3 * TITLE_PX + RATE_PX + 2 * PANEL_PX + 28 + AXIS_PX
    name = f"{bout.traffic.name}, {bout.service.name}"
    drawing = Drawing(WIDE_PX, height, f"{name}: arrivals, and p95 of windows of 256 under BATCH and under tidegate.")
    drawing.rectangle(0, 0, (WIDE_PX, height), "sheet")
    counts, edges = np.histogram(trial.judged - trial.from_s, bins=np.arange(0, paper.time.high + BIN_S, BIN_S))
    floor = 8 + TITLE_PX + RATE_PX
    rate = Scale(0.0, float(counts.max()) / BIN_S * 1.1, floor, 8 + TITLE_PX)
    draw_title(drawing, paper, 8, (f"{name}: arrivals per second", "mean of five minutes"))
    draw_values(drawing, paper, rate, [(tick, f"{tick:g}") for tick in rate.ticks(3)])
    x, y = steps(edges[:-1].tolist(), (counts / BIN_S).tolist(), paper.time.high)
    drawing.area(paper.time.px(x), rate.px(y), floor, "ink-area")
    drawing.polyline(paper.time.px(x), rate.px(y), "ink-line")
    top = floor + 14
    highest = max(float(np.max(values)) for _, values, _ in windows.values())
    for design, (at_s, quantile_s, ratio) in windows.items():
        scale = Scale(0.0, max(highest, slo.bound_s) * 1.05, top + TITLE_PX + PANEL_PX, top + TITLE_PX)
        note = f"{formats.share(ratio)} of windows beyond {slo.bound_s:g} s"
        words = (f"{design}: p{slo.quantile * 100:g} of 256 arrivals, s", note)
        draw_title(drawing, paper, top, words, MARKS[design])
        draw_values(drawing, paper, scale, [(tick, f"{tick:g}") for tick in scale.ticks(3)])
        px, py = paper.time.px(at_s - trial.from_s), scale.px(quantile_s)
        drawing.area(px, np.minimum(py, scale.at(slo.bound_s)), scale.at(slo.bound_s), "violating")
        drawing.polyline(px, py, f"thin-line {MARKS[design]}")
        drawing.line((paper.left, scale.at(slo.bound_s)), (paper.right, scale.at(slo.bound_s)), "bound")
        top += TITLE_PX + PANEL_PX + 14
    draw_time_axis(drawing, paper, top - 8)
    return standalone(drawing)
