"""The tables about decisions: what was decided and why, and what came of its promise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.domain.serving_config import PRICE_OF_CHANGE
from controller.reports import formats
from controller.reports.page_tables import Cell, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.reports.findings import Report
    from controller.reports.journal import Decision, Prediction

MOST_ROWS = 150
"""Decisions and forecasts shown on the page; the files hold all of them."""


def decisions(report: Report) -> str:
    """Return one line a decision: when, on what, what changed and at which price, why, and what was promised."""
    shown = shown_decisions(report.decisions)
    head = [
        Cell(name, css)
        for name, css in (("time", ""), ("kind", ""), ("change", ""), ("price", ""), ("why", "why"), ("predicted", ""))
    ]
    rows = [
        (
            "" if each.action == "apply" else "keep",
            [
                Cell(formats.instant(each.at_s), "nowrap"),
                Cell(each.kind),
                Cell("\n".join(formats.changes(each.changes)) if each.action == "apply" else "keep", "lines"),
                Cell(prices_of(each)),
                Cell(each.reason.removeprefix(f"{each.action}: "), "why"),
                Cell(_promise(each.prediction), "lines"),
            ],
        )
        for each in shown
    ]
    left_out = len(report.decisions) - len(shown)
    caption = f"{len(report.decisions)} decisions" + (
        f"; {left_out} that kept the setting are left out here and stand in decisions.jsonl" if left_out else ""
    )
    return table(head, rows, caption=caption, css="stack", has_names=False)


def shown_decisions(every: Sequence[Decision]) -> Sequence[Decision]:
    """Return what fits a page: all, else those that changed something and the first of the others."""
    if len(every) <= MOST_ROWS:
        return every
    room = max(0, MOST_ROWS - sum(each.action == "apply" for each in every))
    kept = {id(each) for each in [each for each in every if each.action != "apply"][:room]}
    return [each for each in every if each.action == "apply" or id(each) in kept]


def prices_of(decision: Decision) -> str:
    """Return the prices of what a decision changed, the cheap ones first."""
    if decision.action != "apply":
        return ""
    paid = {PRICE_OF_CHANGE.get(name, "slow") for name in decision.changes}
    return ", ".join(price for price in ("hot", "warm", "slow") if price in paid)


def _promise(prediction: Prediction | None) -> str:
    if prediction is None:
        return ""
    parts = (
        (prediction.p95_s, f"p95 {formats.seconds(prediction.p95_s)}"),
        (prediction.attainment, f"{formats.share(prediction.attainment)} of windows"),
        (prediction.cost_per_million_usd, formats.usd(prediction.cost_per_million_usd)),
    )
    return "\n".join(words for value, words in parts if not math.isnan(value))


def forecasts(report: Report) -> str:
    """Return predicted against observed for each decision that promised something."""
    names = (
        "from",
        "until",
        "requests",
        "p95 predicted",
        "observed",
        "windows predicted",
        "observed",
        "cost predicted",
        "observed",
    )
    rows = [
        (
            "",
            [
                Cell(words, "number")
                for words in (
                    formats.instant(each.from_s),
                    formats.instant(each.until_s),
                    formats.count(each.requests),
                    formats.seconds(each.predicted.p95_s),
                    formats.seconds(each.p95_s),
                    formats.share(each.predicted.attainment),
                    formats.share(each.attainment),
                    formats.usd(each.predicted.cost_per_million_usd),
                    formats.usd(each.cost_per_million_usd),
                )
            ],
        )
        for each in report.forecasts[:MOST_ROWS]
    ]
    caption = "Each decision's prediction, and what was observed until the next one. Cost is per million requests."
    return table([Cell(name, "number") for name in names], rows, caption=caption, has_names=False)
