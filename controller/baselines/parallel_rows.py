"""The table "published, reproduced, ours" of the parallel batch paper, as rows that a command can print."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from controller.baselines.parallel_batch import BATCH_SIZES, JobBill, PaperJob, monolithic, parallel
from controller.baselines.parallel_plan import FP32, INT8, EncoderSpeed, JobPlanner
from controller.baselines.review_lengths import draw_review_tokens
from controller.errors import NothingFeasibleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controller.domain.prices import Prices

Range = tuple[float, float]
PUBLISHED_USD: Range = (0.20, 0.25)
PUBLISHED_MINUTES: dict[str, Range] = {"monolithic": (325.0, 375.0), "parallel": (2.5, 7.5)}
"""Read off the paper's figures by others (research/parallel_and_jbmp.md, section 1.2); no single point is known."""
PUBLISHED_REDUCTION: Range = (0.95, 1.0)
DESIGNS: dict[str, Callable[[PaperJob, int, Prices], JobBill]] = {"monolithic": monolithic, "parallel": parallel}


@dataclass(frozen=True, slots=True)
class ParallelRow:
    """One figure: as published (a range, or None), reproduced, and ours under the condition the quantity names."""

    quantity: str
    unit: str
    design: str
    batch_size: int
    published: Range | None
    reproduced: float
    ours: float | None
    kind: Literal["simulated", "executed"] = "simulated"

    def to_document(self) -> dict[str, object]:
        """Return the row as JSON."""
        return asdict(self)


def parallel_rows(prices: Prices, *, seed: int, job: PaperJob | None = None) -> list[ParallelRow]:
    """Return all rows.

    Args:
        prices: of every design.
        seed: of the review lengths that ours are planned on.
        job: the paper's; its defaults where left out.

    Raises:
        BadInputError: a price list without Step Functions.
    """
    paper = job or PaperJob()
    planner = JobPlanner(draw_review_tokens(paper.reviews, np.random.default_rng(seed)), prices)
    rows: list[ParallelRow] = []
    for size in BATCH_SIZES:
        for design, bill_of in DESIGNS.items():
            rows += _rows_of_design(design, size, bill_of(paper, size, prices))
        bill, chain = parallel(paper, size, prices), monolithic(paper, size, prices)
        reduction = 1 - bill.busy_makespan_s / chain.busy_makespan_s
        rows.append(ParallelRow("reduction of time", "share", "parallel", size, PUBLISHED_REDUCTION, reduction, None))
        for speed in (FP32, INT8):
            rows += _rows_beside(size, bill, planner, speed)
    return rows


def _rows_of_design(design: str, size: int, bill: JobBill) -> Iterator[ParallelRow]:
    minutes = bill.busy_makespan_s / 60
    yield ParallelRow("time as published", "min", design, size, PUBLISHED_MINUTES[design], minutes, None)
    yield ParallelRow("cost as published", "USD", design, size, PUBLISHED_USD, bill.busy_usd, None)
    yield ParallelRow("cost left out", "USD", design, size, None, bill.omitted_usd, None)


def _rows_beside(size: int, bill: JobBill, planner: JobPlanner, speed: EncoderSpeed) -> Iterator[ParallelRow]:
    """Yield ours beside a run of the parallel design, both with all costs and starts."""
    name = speed.precision
    try:
        faster = planner.for_budget(bill.total_usd, speed).makespan_s / 60
    except NothingFeasibleError:
        faster = None
    try:
        cheaper = planner.for_deadline(bill.makespan_s, speed).cost_usd
    except NothingFeasibleError:
        cheaper = None
    yield ParallelRow(
        f"time, ours in {name} at no higher cost", "min", "parallel", size, None, bill.makespan_s / 60, faster
    )
    yield ParallelRow(f"cost, ours in {name} in no more time", "USD", "parallel", size, None, bill.total_usd, cheaper)
