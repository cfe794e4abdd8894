"""One wide picture of a run for the README: arrivals, latency against the objective, instances.

A file of SVG that carries its own style, follows light and dark, holds no time stamp, and is the same for the same run.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from controller.reports.drawing import Drawing
from controller.reports.headline import headline
from controller.reports.latency_plot import PANEL_PX, draw_latency
from controller.reports.panels import AXIS_PX, TITLE_PX, WIDE_PX, draw_time_axis, sheet
from controller.reports.plots import ARRIVALS_PX, INSTANCES_PX, draw_arrivals, draw_instances, most_instances

if TYPE_CHECKING:
    from controller.reports.findings import Report

GAP_PX = 12.0
SHOWN = ("tidegate", "defaults", "run")


def readme_picture(report: Report) -> str:
    """Return the picture as the text of an SVG file; tidegate beside the untuned defaults."""
    columns = [column for column in report.columns if column.run is not None and column.name in SHOWN]
    paper = sheet(WIDE_PX, report.horizon_s)
    arrivals_px, latency_px = TITLE_PX + ARRIVALS_PX + GAP_PX, TITLE_PX + PANEL_PX + GAP_PX
    instances_px = TITLE_PX + INSTANCES_PX + GAP_PX
    height = 8 + arrivals_px + len(columns) * (latency_px + instances_px) - GAP_PX + 8 + AXIS_PX
    drawing = Drawing(WIDE_PX, height, headline(report))
    drawing.rectangle(0, 0, (WIDE_PX, height), "sheet")
    draw_arrivals(drawing, report, paper, 8)
    top = 8 + arrivals_px
    for column in columns:
        draw_latency(drawing, report, column, paper, top)
        top += latency_px
    most = max((most_instances(column) for column in columns), default=1)
    for column in columns:
        draw_instances(drawing, column, paper, (top, most))
        top += instances_px
    draw_time_axis(drawing, paper, top - GAP_PX + 8)
    style = (files("controller.reports") / "ink.css").read_text(encoding="utf-8")
    return drawing.svg(style=f"{style}.sheet{{fill:var(--paper)}}", standalone=True)
