"""The picture of JBMP: the saving of each design on each family of functions, over loading each time and over warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.reproduce.figure_parts import ShareScale, dot_rows
from controller.reproduce.jbmp_contest import KEPT, RELOADING, TIDEGATE
from controller.reproduce.jbmp_rows import (
    AGAINST,
    DESIGNS,
    MOST_OF_NAIVE,
    OPTIMUM,
    by_network,
    median_saving,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.reproduce.jbmp_contest import Costs

MARKS = {TIDEGATE: "tidegate", KEPT: "defaults", RELOADING: "late-mark", OPTIMUM: "best_fixed"}
SCALES = (
    ShareScale(
        "saving over loading for each request (line: 62 % published)",
        *(0.0, 1.0),
        (0.0, 0.25, 0.5, 0.75, 1.0),
        (1 - MOST_OF_NAIVE, "bound"),
    ),
    ShareScale("saving over a warm function, unbatched", -1.25, 1.0, (-1.0, -0.5, 0.0, 0.5, 1.0), (0.0, "axis")),
)


def saving_figure(costs: Sequence[Costs]) -> str:
    """Return the text of an SVG: a row for each family, saving over loading on the left and over warm on the right."""
    designs = {design: DESIGNS[design] for design in MARKS}
    naive, warm = AGAINST.values()
    rows = {
        network: {
            design: (median_saving(functions, cost, naive), median_saving(functions, cost, warm))
            for design, cost in designs.items()
        }
        for network, functions in by_network(costs).items()
    }
    return dot_rows("Saving over an unbatched function, by family and design.", MARKS, SCALES, rows, wide=OPTIMUM)
