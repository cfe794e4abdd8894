"""`tidegate reproduce jbmp`: JBMP (Cai, Zhou, Zhao and Chen, APSys 2023), published, reproduced and beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.domain.prices import load_prices
from controller.reports.whole_file import write_whole
from controller.reproduce.jbmp_contest import Effort, all_costs, all_judged, costs_by_rate
from controller.reproduce.jbmp_figure import saving_figure
from controller.reproduce.jbmp_online import online_outcomes
from controller.reproduce.jbmp_online_rows import online_requirements, online_rows
from controller.reproduce.jbmp_rows import rate_rows, regret_rows, regrets, requirements, saving_rows
from controller.reproduce.rows import Done, Reproduction
from controller.reproduce.table import published_table, regret_table, requirement_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAPER = "jbmp"
FIGURE = "jbmp-saving.svg"


def reproduce(folder: Path, effort: Effort, *, seed: int, tell: Callable[[str], None]) -> Done:
    """Run everything and write the figure.

    Args:
        folder: that exists.
        effort: how much is tried.
        seed: of the functions and of the noise that tuners see.
        tell: called before each step with what it is; there are `effort.steps`.

    Raises:
        BadInputError: the folder cannot be written to.
    """
    prices = load_prices().lambda_x86
    costs = list(all_costs(effort, seed, prices, tell))
    by_rate = list(costs_by_rate(effort, seed, prices, tell))
    found = regrets(list(all_judged(effort, seed, prices, tell)))
    online = list(online_outcomes(effort, seed, prices, tell))
    write_whole(folder / FIGURE, saving_figure(costs))
    rows = [*saving_rows(costs), *rate_rows(by_rate), *online_rows(online)]
    required = [*requirements(costs, found), *online_requirements(online)]
    text = "\n\n".join((published_table(rows), regret_table(found), requirement_table(required)))
    return Done(Reproduction(PAPER, [*rows, *regret_rows(found)], required, [FIGURE]), text)
