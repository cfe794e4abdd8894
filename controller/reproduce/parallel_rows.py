"""The parallel batch paper at each of its nine sizes, ours beside it, and what is required of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.baselines.parallel_batch import JobBill, PaperJob, monolithic, parallel
from controller.baselines.parallel_plan import FP32, INT8, EncoderSpeed, JobPlan, JobPlanner
from controller.errors import NothingFeasibleError
from controller.reproduce.rows import Requirement, Row, at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from controller.domain.prices import Prices

Range = tuple[float, float]
MONOLITHIC, PARALLEL = "monolithic", "parallel"
PUBLISHED_USD: Range = (0.20, 0.25)
PUBLISHED_MINUTES: dict[str, Range] = {MONOLITHIC: (325.0, 375.0), PARALLEL: (2.5, 7.5)}
"""Read off the paper's figures by others (research/parallel_and_jbmp.md, section 1.2); no single point is known."""
PUBLISHED_REDUCTION_PERCENT: Range = (95.0, 100.0)
LONGEST_SHARE = 1 - PUBLISHED_REDUCTION_PERCENT[0] / 100
"""Of the monolithic design's time."""
SPEEDS = (FP32, INT8)
MOST_TIME = {FP32.precision: 1 / 2, INT8.precision: 1 / 5}
"""Of the parallel design's time, at no higher cost (section 7.3, A2)."""
MOST_COST = {FP32.precision: 0.85, INT8.precision: 0.60}
"""Of the parallel design's cost, in no more time (section 7.3, A2)."""


@dataclass(frozen=True, slots=True)
class Beside:
    """One batch size: both designs of the paper, and our plans beside the parallel one.

    Attributes:
        batch_size: reviews a call.
        chain: the monolithic design.
        bill: the parallel design.
        faster: by precision, our fastest plan at no higher cost, all costs included; None where there is none.
        cheaper: by precision, our cheapest plan in no more time, starts included; None where there is none.
    """

    batch_size: int
    chain: JobBill
    bill: JobBill
    faster: dict[str, JobPlan | None]
    cheaper: dict[str, JobPlan | None]

    def time_ratio(self, precision: str) -> float:
        """Return our time over theirs at no higher cost; 1 where no plan is that cheap."""
        plan = self.faster[precision]
        return 1.0 if plan is None else plan.makespan_s / self.bill.makespan_s

    def cost_ratio(self, precision: str) -> float:
        """Return our cost over theirs in no more time; 1 where no plan is that fast."""
        plan = self.cheaper[precision]
        return 1.0 if plan is None else plan.cost_usd / self.bill.total_usd


def beside(batch_size: int, prices: Prices, planner: JobPlanner, job: PaperJob) -> Beside:
    """Return one size of the paper, with ours beside it.

    Raises:
        BadInputError: a price list without Step Functions.
    """
    bill = parallel(job, batch_size, prices)
    return Beside(
        batch_size,
        monolithic(job, batch_size, prices),
        bill,
        {speed.precision: _faster(planner, bill, speed) for speed in SPEEDS},
        {speed.precision: _cheaper(planner, bill, speed) for speed in SPEEDS},
    )


def _faster(planner: JobPlanner, bill: JobBill, speed: EncoderSpeed) -> JobPlan | None:
    try:
        return planner.for_budget(bill.total_usd, speed)
    except NothingFeasibleError:
        return None


def _cheaper(planner: JobPlanner, bill: JobBill, speed: EncoderSpeed) -> JobPlan | None:
    try:
        return planner.for_deadline(bill.makespan_s, speed)
    except NothingFeasibleError:
        return None


def parallel_rows(found: Sequence[Beside]) -> Iterator[Row]:
    """Yield all rows."""
    for each in found:
        for design, bill in ((MONOLITHIC, each.chain), (PARALLEL, each.bill)):
            yield from _rows_of_design(design, each.batch_size, bill)
        reduction = 100 * (1 - each.bill.busy_makespan_s / each.chain.busy_makespan_s)
        yield Row(
            quantity="reduction of time",
            unit="%",
            design=PARALLEL,
            batch_size=each.batch_size,
            published=PUBLISHED_REDUCTION_PERCENT,
            reproduced=reduction,
        )
        for speed in SPEEDS:
            yield from _rows_beside(each, speed.precision)


def _rows_of_design(design: str, size: int, bill: JobBill) -> Iterator[Row]:
    figures = (
        ("time as published", "min", PUBLISHED_MINUTES[design], bill.busy_makespan_s / 60),
        ("cost as published", "USD", PUBLISHED_USD, bill.busy_usd),
        ("cost left out", "USD", None, bill.omitted_usd),
    )
    for quantity, unit, published, reproduced in figures:
        yield Row(
            quantity=quantity,
            unit=unit,
            design=design,
            batch_size=size,
            published=published,
            reproduced=reproduced,
        )


def _rows_beside(each: Beside, precision: str) -> Iterator[Row]:
    """Yield ours beside a run of the parallel design, both with all costs and starts."""
    faster, cheaper, bill = each.faster[precision], each.cheaper[precision], each.bill
    figures = (
        ("time", "at no higher cost", "min", bill.makespan_s / 60, faster and faster.makespan_s / 60),
        ("cost", "in no more time", "USD", bill.total_usd, cheaper and cheaper.cost_usd),
    )
    for quantity, condition, unit, reproduced, ours in figures:
        yield Row(
            quantity=f"{quantity}, ours in {precision} {condition}",
            unit=unit,
            design=PARALLEL,
            batch_size=each.batch_size,
            reproduced=reproduced,
            ours=ours,
        )


def requirements(found: Sequence[Beside]) -> list[Requirement]:
    """Return what is required of ours beside the parallel design, and of the paper's claim once starts count too."""
    return [
        _over_sizes(
            "reproduced: time of parallel over monolithic",
            LONGEST_SHARE,
            found,
            lambda each: each.bill.makespan_s / each.chain.makespan_s,
        ),
        *(_time_required(found, speed.precision) for speed in SPEEDS),
        *(_cost_required(found, speed.precision) for speed in SPEEDS),
    ]


def _time_required(found: Sequence[Beside], precision: str) -> Requirement:
    text = f"{precision} at no higher cost: time over parallel's"
    return _over_sizes(text, MOST_TIME[precision], found, lambda each: each.time_ratio(precision))


def _cost_required(found: Sequence[Beside], precision: str) -> Requirement:
    text = f"{precision} in no more time: cost over parallel's"
    return _over_sizes(text, MOST_COST[precision], found, lambda each: each.cost_ratio(precision))


def _over_sizes(text: str, bound: float, found: Sequence[Beside], value: Callable[[Beside], float]) -> Requirement:
    return at_most(text, bound, {f"batches of {each.batch_size}": value(each) for each in found})
