"""Settings over time, and what decisions promised against what happened."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from controller.reports import formats
from controller.reports.drawing import Drawing, Scale
from controller.reports.panels import AXIS_PX, TITLE_PX, draw_time_axis, draw_title, draw_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.reports.findings import Report
    from controller.reports.forecast import Forecast
    from controller.reports.journal import SettingValue
    from controller.reports.panels import Sheet

STRIP_PX = 44.0
FORECAST_PX = 110.0
Strip = list[tuple[float, "SettingValue", str]]
"""(from when, value, price of the change) of one setting; the first row is what the run began with."""


def settings_figure(report: Report, paper: Sheet) -> Drawing:
    """Return a strip for each setting that was changed, with its values in words."""
    strips = strips_of(report)
    height = len(strips) * STRIP_PX + AXIS_PX
    names = ", ".join(f"{name} {len(strip) - 1} times" for name, strip in strips.items())
    drawing = Drawing(paper.width, height, f"Settings over time; changed were {names}.")
    for place, (name, strip) in enumerate(strips.items()):
        _draw_strip(drawing, paper, place * STRIP_PX, (name, strip))
    draw_time_axis(drawing, paper, height - AXIS_PX)
    return drawing


def strips_of(report: Report) -> dict[str, Strip]:
    """Return the settings that changed during the run, each with its values over time."""
    strips: dict[str, Strip] = {}
    for change in report.applied:
        for name, (old, new) in change.changes.items():
            strips.setdefault(name, [(0.0, old, "")]).append((change.at_s, new, change.price))
    return strips


def _draw_strip(drawing: Drawing, paper: Sheet, top: float, named: tuple[str, Strip]) -> None:
    name, strip = named
    y = top + STRIP_PX - 8
    drawing.text(paper.left, top + 13, name, "title")
    ends = [*(at_s for at_s, _, _ in strip[1:]), paper.time.high]
    for (at_s, value, price), end_s in zip(strip, ends, strict=True):
        x, end = paper.time.at(at_s), paper.time.at(end_s)
        drawing.line((x, y), (end, y), "line tidegate")
        if price:
            drawing.line((x, y - 7), (x, y + 4), f"change {price if price in ('hot', 'warm', 'slow') else 'slow'}")
        words = formats.setting(name, value)
        if end - x > 7.0 * len(words) + 6:
            drawing.text(x + 4, y - 5, words, "")


def forecasts_figure(report: Report, paper: Sheet) -> Drawing:
    """Return predicted and observed p95 and cost, each over the time that a decision stood."""
    panels: tuple[tuple[str, Callable[[Forecast], tuple[float, float]], Callable[[float], str]], ...] = (
        ("p95", lambda each: (each.predicted.p95_s, each.p95_s), formats.seconds),
        (
            "cost per million requests",
            lambda each: (each.predicted.cost_per_million_usd, each.cost_per_million_usd),
            formats.usd,
        ),
    )
    height = len(panels) * (TITLE_PX + FORECAST_PX + 12) - 12 + AXIS_PX
    drawing = Drawing(
        paper.width, height, f"Predicted against observed p95 and cost of {len(report.forecasts)} decisions over time."
    )
    for place, (name, pair, write) in enumerate(panels):
        top = place * (TITLE_PX + FORECAST_PX + 12)
        _draw_forecasts(drawing, paper, (top, name), [(each, *pair(each)) for each in report.forecasts], write)
    draw_time_axis(drawing, paper, height - AXIS_PX)
    return drawing


def _draw_forecasts(
    drawing: Drawing,
    paper: Sheet,
    panel: tuple[float, str],
    rows: list[tuple[Forecast, float, float]],
    write: Callable[[float], str],
) -> None:
    top, name = panel
    draw_title(drawing, paper, top, (name,))
    known = np.array([value for _, said, seen in rows for value in (said, seen) if math.isfinite(value) and value > 0])
    floor = top + TITLE_PX + FORECAST_PX
    if known.size == 0:
        drawing.text(paper.left + 4, floor - FORECAST_PX / 2, "nothing to compare", "note")
        return
    scale = Scale(float(known.min()) / 1.5, float(known.max()) * 1.5, floor, top + TITLE_PX, is_log=True)
    draw_values(drawing, paper, scale, [(tick, write(tick)) for tick in log_ticks(scale)])
    for forecast, said, seen in rows:
        x, end = paper.time.at(forecast.from_s), paper.time.at(forecast.until_s)
        if math.isfinite(said) and math.isfinite(seen) and said > 0 and seen > 0:
            drawing.line(((x + end) / 2, scale.at(said)), ((x + end) / 2, scale.at(seen)), "gap")
        for value, css in ((said, "predicted"), (seen, "line tidegate")):
            if value > 0 and not math.isnan(value):
                drawing.line((x, scale.at(value)), (max(end - 1, x + 1), scale.at(value)), css)


def log_ticks(scale: Scale) -> list[float]:
    """Return powers of ten where there are three at least, else 1, 2 and 5 times one, else evenly spaced values."""
    powers = scale.ticks(4)
    low, high = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    fine = [digit * 10.0**power for power in range(low, high + 1) for digit in (1, 2, 5)]
    inside = [value for value in fine if scale.low <= value <= scale.high]
    even = [value for value in replace(scale, is_log=False).ticks(4) if value > 0]
    return next((ticks for ticks in (powers, inside) if len(ticks) > 2), even)
