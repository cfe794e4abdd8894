"""Cost against p95 of a sweep's trials, with the Pareto front; and which settings mattered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from controller.reports import formats
from controller.reports.drawing import Drawing, Scale
from controller.reports.panels import draw_values
from controller.reports.settings_plot import log_ticks

if TYPE_CHECKING:
    from controller.reports.panels import Sheet
    from controller.reports.sweep_trials import SweepRun

HEIGHT_PX = 380.0
BAR_PX = 24.0


def pareto_figure(sweep: SweepRun, paper: Sheet) -> Drawing:
    """Return a dot a trial: filled where it kept the objective, hollow and red where it missed."""
    front = sweep.pareto
    drawing = Drawing(
        paper.width,
        HEIGHT_PX,
        f"Cost per million requests against p95 of {len(sweep.trials)} trials; {len(front)} on the Pareto front.",
    )
    shown = [each for each in sweep.trials if each.is_complete and each.p95_s > 0 and each.cost_per_million_usd > 0]
    shown = [each for each in shown if math.isfinite(each.p95_s)]
    if not shown:
        drawing.text(paper.left, HEIGHT_PX / 2, "no complete trial has a p95", "note")
        return drawing
    x_scale, y_scale = _scales(sweep, paper, [(each.cost_per_million_usd, each.p95_s) for each in shown])
    draw_values(drawing, paper, y_scale, [(tick, formats.seconds(tick)) for tick in log_ticks(y_scale)])
    _draw_cost_axis(drawing, x_scale)
    y_bound = y_scale.at(sweep.slo.bound_s)
    drawing.line((paper.left, y_bound), (paper.right, y_bound), "bound")
    drawing.text(paper.right, y_bound - 5, f"bound {formats.bound(sweep.slo.bound_s)}", "strong end")
    corners = np.array([(each.cost_per_million_usd, each.p95_s) for each in front])
    if len(front) > 1:
        # A step to the right, then down: between two trials only the worse corner is known to be reachable.
        x = np.repeat(x_scale.px(corners[:, 0]), 2)[1:]
        y = np.repeat(y_scale.px(corners[:, 1]), 2)[:-1]
        drawing.polyline(x, y, "front")
    named: list[tuple[float, float]] = []
    for trial in shown:
        at = (x_scale.at(trial.cost_per_million_usd), y_scale.at(trial.p95_s))
        drawing.circle(*at, 5 if trial is sweep.best else 3.5, "trial" if trial.holds(sweep.slo) else "trial missed")
        has_room = all(max(abs(at[0] - x), abs(at[1] - y)) > 14 for x, y in named)
        if trial is sweep.best or (trial in front and has_room):
            named.append(at)
            drawing.text(at[0] + 7, at[1] - 5, f"{trial.number}", "strong" if trial is sweep.best else "")
    return drawing


def _scales(sweep: SweepRun, paper: Sheet, points: list[tuple[float, float]]) -> tuple[Scale, Scale]:
    costs, latencies = zip(*points, strict=True)
    x_scale = Scale(min(costs) / 1.15, max(costs) * 1.15, paper.left, paper.right, is_log=True)
    low_s, high_s = min(*latencies, sweep.slo.bound_s), max(*latencies, sweep.slo.bound_s)
    return x_scale, Scale(low_s / 1.3, high_s * 1.3, HEIGHT_PX - 44, 20, is_log=True)


def _draw_cost_axis(drawing: Drawing, scale: Scale) -> None:
    y = HEIGHT_PX - 44
    drawing.line((scale.from_px, y), (scale.to_px, y), "axis")
    for tick in log_ticks(scale):
        x = scale.at(tick)
        drawing.line((x, y), (x, y + 4), "axis")
        drawing.text(x, y + 17, formats.usd(tick), "middle")
    drawing.text(scale.to_px, y + 36, "cost per million requests", "end")
    drawing.text(scale.from_px, 12, "p95", "title")


def importance_figure(shares: dict[str, float], paper: Sheet) -> Drawing:
    """Return a bar for each setting."""
    words = ", ".join(f"{name} {formats.share(value)}" for name, value in shares.items())
    drawing = Drawing(paper.width, BAR_PX * len(shares) + 4, f"Importance of settings: {words}.")
    start = 150.0
    for place, (name, value) in enumerate(shares.items()):
        y = place * BAR_PX
        length = value * (paper.right - start - 60)
        drawing.text(start - 8, y + 15, name, "end")
        drawing.rectangle(start, y + 4, (length, BAR_PX - 9), "bar")
        drawing.text(start + length + 6, y + 15, formats.share(value), "")
    return drawing
