"""The picture of JBMP: the saving of each design on each family of functions, over loading each time and over warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.reports.drawing import Drawing, Scale
from controller.reports.panels import AXIS_PX, WIDE_PX
from controller.reproduce.figure_parts import draw_legend, draw_shares, standalone
from controller.reproduce.jbmp_rows import DESIGNS, KEPT, OPTIMUM, RELOADING, by_network, median_saving

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.reproduce.jbmp_contest import Costs

OURS = "tidegate"
MARKS = {OURS: "tidegate", KEPT: "defaults", RELOADING: "late-mark", OPTIMUM: "best_fixed"}
ROW_PX, HEAD_PX, NAMES_PX, GAP_PX = 30.0, 64.0, 190.0, 40.0
LEAST_SAVING = -1.25
"""What loses more than this is drawn at the edge."""


def saving_figure(costs: Sequence[Costs]) -> str:
    """Return the text of an SVG: a row for each family, saving over loading on the left and over warm on the right."""
    families = by_network(costs)
    bottom = HEAD_PX + ROW_PX * len(families)
    drawing = Drawing(WIDE_PX, bottom + AXIS_PX, "Saving over an unbatched function, by family and design.")
    drawing.rectangle(0, 0, (WIDE_PX, bottom + AXIS_PX), "sheet")
    middle = NAMES_PX + (WIDE_PX - NAMES_PX - GAP_PX) / 2
    naive = Scale(0.0, 1.0, NAMES_PX, middle)
    warm = Scale(LEAST_SAVING, 1.0, middle + GAP_PX, WIDE_PX - 20)
    draw_legend(drawing, 20, MARKS)
    drawing.text(NAMES_PX, 50, "saving over loading for each request (line: 62 % published)", "note")
    drawing.text(warm.from_px, 50, "saving over a warm function, unbatched", "note")
    draw_shares(drawing, naive, (HEAD_PX - 6, bottom), (0.0, 0.25, 0.5, 0.75, 1.0))
    draw_shares(drawing, warm, (HEAD_PX - 6, bottom), (-1.0, -0.5, 0.0, 0.5, 1.0))
    drawing.line((naive.at(0.62), HEAD_PX - 6), (naive.at(0.62), bottom), "bound")
    drawing.line((warm.at(0.0), HEAD_PX - 6), (warm.at(0.0), bottom), "axis")
    for place, (network, functions) in enumerate(families.items()):
        y = HEAD_PX + ROW_PX * (place + 0.5)
        drawing.text(NAMES_PX - 16, y + 4, network, "end")
        for design, css in reversed(MARKS.items()):
            cost = DESIGNS.get(design, _ours)
            drawing.circle(naive.at(median_saving(functions, cost, _naive)), y, _radius(design), f"mark {css}")
            drawing.circle(warm.at(median_saving(functions, cost, _warm)), y, _radius(design), f"mark {css}")
    return standalone(drawing)


def _radius(design: str) -> float:
    """Return a larger dot for the optimum, so that a design that attains it is seen on it."""
    return 7.5 if design == OPTIMUM else 4.5


def _ours(each: Costs) -> float:
    return each.ours


def _naive(each: Costs) -> float:
    return each.naive


def _warm(each: Costs) -> float:
    return each.warm
