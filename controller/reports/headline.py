"""The result in one sentence, said plainly also when it is a bad one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.domain.slo import ALLOWED_VIOLATION_RATIO
from controller.reports import formats
from controller.reports.forecast import median_p95_error
from controller.reports.json_fields import number

if TYPE_CHECKING:
    from controller.reports.column import Column
    from controller.reports.findings import Report

SAME_COST = 0.01
"""Costs that differ by less than this share are called the same."""


def holds(column: Column) -> bool:
    """Return whether a column kept the objective: at most 5 % of its windows violate."""
    return column.figures.window_violation_ratio <= ALLOWED_VIOLATION_RATIO


def headline(report: Report) -> str:
    """Return the sentence about the main column, against the untuned defaults where they ran."""
    main, defaults = report.main, report.column("defaults")
    if main.figures.requests == 0:
        return f"{_name(main)} got no requests, so there is nothing to judge."
    subject, kept = _name(main), formats.share(main.figures.attainment)
    goal = f"p{report.slo.quantile * 100:g} ≤ {formats.bound(report.slo.bound_s)}"
    least = formats.share(1 - ALLOWED_VIOLATION_RATIO)
    result = (
        f"{subject} kept {kept} of windows inside {goal}"
        if holds(main)
        else f"{subject} missed the objective: {kept} of windows inside {goal}, where {least} are needed,"
    )
    price = f" at {formats.usd(main.figures.cost_per_million_usd)} per million requests"
    against = _against(main, defaults) if defaults is not None and defaults is not main else ""
    return f"{result}{price}{against}."


def subline(report: Report) -> str:
    """Return a second sentence about the best fixed setting; empty where it did not run."""
    main, best = report.main, report.column("best_fixed")
    if best is None or best is main or best.figures.requests == 0:
        return ""
    how = "simulated" if best.kind == "simulated" else "run live"
    if report.expected.get("best_fixed", {}).get("feasible") is False:
        chosen = f"No fixed setting of the grid was predicted to hold; the nearest, {how},"
    else:
        chosen = f"The best fixed setting, chosen in hindsight and {how},"
    kept, price = formats.share(best.figures.attainment), formats.usd(best.figures.cost_per_million_usd)
    return f"{chosen} kept {kept} at {price}."


def forecast_error(report: Report) -> str:
    """Return how far off the predictions were; empty where none can be compared."""
    error = median_p95_error(report.forecasts)
    if not math.isfinite(error):
        return ""
    return f"Half of the predictions of p95 were within a factor of {error:.2f} of what was observed."


def expectations(report: Report) -> list[str]:
    """Return a sentence for each column that was simulated before it ran live."""
    return [
        f"The simulation of {formats.title_of(column.name)} said p95 {formats.seconds(number(said, 'p95_s'))}, "
        f"{formats.share(1 - number(said, 'window_violation_ratio'))} of windows and "
        f"{formats.usd(number(said, 'cost_per_million_usd'))} per million; "
        f"live it had {formats.seconds(column.figures.p95_s)}, {formats.share(column.figures.attainment)} and "
        f"{formats.usd(column.figures.cost_per_million_usd)}."
        for column in report.columns
        if (said := report.expected.get(column.name))
    ]


def cost_change(main: Column, other: Column) -> float:
    """Return how much more the main column cost than the other, as a share of the other's; NaN if unknown."""
    base = other.figures.cost_per_million_usd
    return (main.figures.cost_per_million_usd - base) / base if base > 0 else math.nan


def _against(main: Column, defaults: Column) -> str:
    change = cost_change(main, defaults)
    if not math.isfinite(change):
        return ""
    if abs(change) < SAME_COST:
        compared = ", the same as"
    else:
        compared = f", {formats.share(round(abs(change), 2))} {'less' if change < 0 else 'more'} than"
    their_share = formats.share(defaults.figures.attainment)
    if not holds(defaults):
        kept = f", which kept only {their_share}" if holds(main) else f", which kept {their_share}"
    else:
        kept = "" if holds(main) else f", which held it with {their_share}"
    return f"{compared} the untuned defaults{kept}"


def _name(column: Column) -> str:
    return "This run" if column.name == "run" else formats.title_of(column.name)
