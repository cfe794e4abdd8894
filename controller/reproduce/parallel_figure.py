"""The picture of parallel batch jobs: cost over time, the paper's nine sizes and every number of workers of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.parallel_batch import TIME_LIMIT_S
from controller.baselines.parallel_plan import FP32, INT8
from controller.reports.drawing import Drawing, Scale
from controller.reports.panels import AXIS_PX, WIDE_PX, draw_values, sheet
from controller.reproduce.figure_parts import draw_legend, standalone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.baselines.parallel_plan import EncoderSpeed, JobPlanner
    from controller.reproduce.parallel_rows import Beside

THEIRS = "parallel, by reviews a batch"
MARKS = {THEIRS: "defaults", "tidegate fp32, by workers": "run", "tidegate int8, by workers": "best_fixed"}
CURVES: tuple[tuple[EncoderSpeed, str], ...] = ((FP32, "run"), (INT8, "best_fixed"))
WORKERS = (10, 14, 20, 30, 40, 50, 70, 100, 140, 200, 280, 400, 500, 630, 800, 1000)
NAMED_WORKERS = frozenset({20, 50, 100, 200, 500, 1000})
TICKS_S = (5, 10, 20, 30, 60, 120, 300, 600, 900)
TOP_PX, PANEL_PX = 62.0, 320.0


def parallel_figure(found: Sequence[Beside], planner: JobPlanner) -> str:
    """Return the text of an SVG; all costs and the starts of environments are included on both sides."""
    height = TOP_PX + PANEL_PX + AXIS_PX + 8
    words = "Cost over time of the paper's parallel runs and of ours in fp32 and int8, all costs included."
    drawing = Drawing(WIDE_PX, height, words)
    drawing.rectangle(0, 0, (WIDE_PX, height), "sheet")
    paper, bottom = sheet(WIDE_PX, 1.0), TOP_PX + PANEL_PX
    curves = {
        css: [planner.plan(workers, speed) for workers in WORKERS if _is_possible(planner, workers, speed)]
        for speed, css in CURVES
    }
    highest = max(plan.cost_usd for plans in curves.values() for plan in plans)
    usd = Scale(0.0, 1.05 * max(highest, *(each.bill.total_usd for each in found)), bottom, TOP_PX)
    time = Scale(TICKS_S[0], 1000.0, paper.left, paper.right, is_log=True)
    draw_legend(drawing, paper.left + 6, MARKS)
    drawing.text(paper.left, 50, "cost of 25,000 reviews, USD, over the time until the last is done", "note")
    draw_values(drawing, paper, usd, [(tick, f"{tick:.2f}") for tick in usd.ticks(6)])
    for tick in TICKS_S:
        label = f"{tick} s" if tick < 60 else f"{tick // 60} min"
        drawing.line((time.at(tick), bottom), (time.at(tick), bottom + 4), "axis")
        drawing.text(time.at(tick), bottom + 17, label, "middle")
    for css, plans in curves.items():
        x, y = time.px([plan.makespan_s for plan in plans]), usd.px([plan.cost_usd for plan in plans])
        drawing.polyline(np.asarray(x), np.asarray(y), f"line {css}")
        for plan, at_x, at_y in zip(plans, x.tolist(), y.tolist(), strict=True):
            if plan.workers in NAMED_WORKERS:
                drawing.circle(at_x, at_y, 4, f"mark {css}")
                drawing.text(at_x - 4, at_y + 16, f"{plan.workers}", "end")
    for each in found:
        x, y = time.at(each.bill.makespan_s), usd.at(each.bill.total_usd)
        drawing.circle(x, y, 5, "mark defaults")
        drawing.text(x, y - 10, f"{each.batch_size}", "middle")
    return standalone(drawing)


def _is_possible(planner: JobPlanner, workers: int, speed: EncoderSpeed) -> bool:
    return planner.plan(workers, speed).makespan_s <= TIME_LIMIT_S
