"""What batch inference costs and how long it takes in the two designs of Barrak and Ksontini (arXiv 2502.12017, 2025).

One function walks all batches of a data set in sequence (monolithic), or a state machine starts a function per batch
(parallel). Two accounts are kept apart: as published, execution time times the price of the memory; and in full, with
the start of each environment, the transitions of the state machine and the fee of each call.

The paper's text was not to be had; memory and time per review are worked back from its reported minutes and dollars
(research/parallel_and_jbmp.md, section 1.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.cost import MB_PER_GB, call_cost_usd
from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.prices import Prices

BATCH_SIZES = (50, 100, 125, 200, 250, 333, 500, 625, 1000)
"""Reviews per batch that the paper tried."""
TIME_LIMIT_S = 900.0
"""Longest call of a Lambda function (AWS quotas)."""
TRANSITIONS_PER_CALL = 3
"""Transitions that a state machine needs for one item of a Map; a choice of ours, the paper names none."""


@dataclass(frozen=True, slots=True)
class PaperJob:
    """The paper's workload on the paper's function; defaults are the middle of what its figures allow."""

    reviews: int = 25_000
    review_s: float = 0.84
    """350 minutes over 25,000 reviews; 325 to 375 minutes would be 0.78 to 0.90."""
    memory_gb: float = 0.643
    """0.20 USD in 325 and 0.25 USD in 375 minutes are 0.615 and 0.667 GB; this lies between."""
    init_s: float = 10.0
    """Start of an environment: packages and weights through a shared file system. Assumed; AWS caps the phase there."""

    def __post_init__(self) -> None:
        values = (self.reviews, self.review_s, self.memory_gb, self.init_s)
        if not all(math.isfinite(value) and value >= 0 for value in values) or 0 in values[:3]:
            raise BadInputError(f"job: reviews, seconds and memory must be positive and init not negative, got {self}")


@dataclass(frozen=True, slots=True)
class JobBill:
    """One run of a job.

    Attributes:
        calls: of functions.
        busy_makespan_s: from start to end without the start of environments, as published.
        makespan_s: with it.
        busy_usd: execution time times the price of its memory, as published.
        init_usd: the same for the starts of environments.
        transitions_usd: of the state machine.
        requests_usd: fee of the calls, and what rounding up to whole steps adds.
    """

    calls: int
    busy_makespan_s: float
    makespan_s: float
    busy_usd: float
    init_usd: float
    transitions_usd: float
    requests_usd: float

    @property
    def omitted_usd(self) -> float:
        """What the published account leaves out."""
        return self.init_usd + self.transitions_usd + self.requests_usd

    @property
    def total_usd(self) -> float:
        """The account in full."""
        return self.busy_usd + self.omitted_usd


def monolithic(job: PaperJob, batch_size: int, prices: Prices) -> JobBill:
    """Return the bill of one call after the other; no single call could run that long, so a chain is the only reading.

    The chain keeps its environment, so one start is counted. That favours the paper's slower design.

    Raises:
        BadInputError: a batch that does not fit a call, or a price list without Step Functions.
    """
    return _bill(job, _batches(job, batch_size), prices, environments=1)


def parallel(job: PaperJob, batch_size: int, prices: Prices) -> JobBill:
    """Return the bill of a call per batch, all at once, each in an environment of its own.

    Raises:
        BadInputError: a batch that does not fit a call, or a price list without Step Functions.
    """
    batches = _batches(job, batch_size)
    return _bill(job, batches, prices, environments=batches.size)


def largest_batch(job: PaperJob) -> int:
    """Return how many reviews one call can take inside Lambda's limit, its start included."""
    return math.floor((TIME_LIMIT_S - job.init_s) / job.review_s)


def transition_usd(prices: Prices) -> float:
    """Return the price of a transition of a state machine.

    Raises:
        BadInputError: the price list has none.
    """
    if prices.step_functions is None:
        raise BadInputError(f'prices {prices.version}: step_functions is missing; add {{"transition_usd": 0.000025}}')
    return prices.step_functions.transition_usd


def _batches(job: PaperJob, batch_size: int) -> NDArray[np.int64]:
    if not 1 <= batch_size <= largest_batch(job):
        raise BadInputError(
            f"batch size: {largest_batch(job)} reviews are the most that fit {TIME_LIMIT_S:g} s, got {batch_size}"
        )
    starts = np.arange(0, job.reviews, batch_size)
    return np.minimum(batch_size, job.reviews - starts)


def _bill(job: PaperJob, batches: NDArray[np.int64], prices: Prices, *, environments: int) -> JobBill:
    busy_s: NDArray[np.float64] = batches.astype(np.float64) * job.review_s
    memory_mb = job.memory_gb * MB_PER_GB
    starts_s = np.where(np.arange(batches.size) < environments, job.init_s, 0.0)
    per_s = job.memory_gb * prices.lambda_x86.gb_second_usd
    calls_usd = float(call_cost_usd(busy_s + starts_s, memory_mb=memory_mb, prices=prices.lambda_x86).sum())
    busy_usd, init_usd = float(busy_s.sum()) * per_s, float(starts_s.sum()) * per_s
    busy_makespan_s = float(busy_s.sum() if environments == 1 else busy_s.max())
    return JobBill(
        calls=batches.size,
        busy_makespan_s=busy_makespan_s,
        makespan_s=busy_makespan_s + job.init_s,
        busy_usd=busy_usd,
        init_usd=init_usd,
        transitions_usd=TRANSITIONS_PER_CALL * batches.size * transition_usd(prices),
        requests_usd=calls_usd - busy_usd - init_usd,
    )
