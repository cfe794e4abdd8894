"""`tidegate reproduce parallel`: parallel batch jobs (Barrak and Ksontini, 2025), reproduced and beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.baselines.parallel_batch import BATCH_SIZES, PaperJob
from controller.baselines.parallel_plan import JobPlanner
from controller.baselines.review_lengths import draw_review_tokens
from controller.domain.prices import load_prices
from controller.reports.whole_file import write_whole
from controller.reproduce.parallel_figure import parallel_figure
from controller.reproduce.parallel_rows import Beside, beside, parallel_rows, requirements
from controller.reproduce.rows import Done, Reproduction
from controller.reproduce.streams import Purpose, stream
from controller.reproduce.table import beside_table, published_table, requirement_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAPER = "parallel"
STEPS = len(BATCH_SIZES)
"""What the progress counts."""
FIGURE = "parallel-cost.svg"


def reproduce(folder: Path, *, seed: int, tell: Callable[[str], None]) -> Done:
    """Run everything and write the figure.

    Args:
        folder: that exists.
        seed: of the lengths of the reviews that ours are planned on.
        tell: called before each step with what it is; there are `STEPS`.

    Raises:
        BadInputError: the folder cannot be written to.
    """
    job, prices = PaperJob(), load_prices()
    planner = JobPlanner(draw_review_tokens(job.reviews, stream(seed, Purpose.REVIEW_LENGTHS)), prices)
    found: list[Beside] = []
    for size in BATCH_SIZES:
        tell(f"batches of {size}")
        found.append(beside(size, prices, planner, job))
    write_whole(folder / FIGURE, parallel_figure(found, planner))
    rows, required = list(parallel_rows(found)), requirements(found)
    text = "\n\n".join((published_table(rows), beside_table(found), requirement_table(required)))
    return Done(Reproduction(PAPER, rows, required, [FIGURE]), text)
