"""Our answer to the parallel batch job, as a model: workers and memory for a deadline or a budget.

Items of similar length form micro-batches up to a number of padded tokens; workers get micro-batches longest first,
each to the one with the least work. Work is padded tokens over a stated speed: nothing here has run on Lambda.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.parallel_batch import TIME_LIMIT_S, TRANSITIONS_PER_CALL, transition_usd
from controller.domain.cost import MB_PER_VCPU, call_cost_usd
from controller.domain.token_lengths import MAX_TOKENS
from controller.errors import BadInputError, NothingFeasibleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.prices import Prices

MICRO_BATCH_TOKENS = 1024
"""Padded tokens of a micro-batch; where both speeds below were measured (research/perf.md, B2)."""
MEMORY_MB = round(MB_PER_VCPU)
"""One vCPU of a Lambda function. Less memory makes a second of CPU no cheaper, only later; more would start one
environment for several workers at the same price of a second."""
MOST_WORKERS = 1000
"""Environments at once that an account has by default (AWS quotas)."""


@dataclass(frozen=True, slots=True)
class EncoderSpeed:
    """A stated input: how fast one vCPU reads, and how long an environment takes to start."""

    precision: str
    tokens_per_s: float
    init_s: float


FP32 = EncoderSpeed("fp32", 900.0, 5.0)
"""The paper's own function: 0.305 vCPU-s for a review of 261 tokens are 856 a second (digest, 7.1)."""
INT8 = EncoderSpeed("int8", FP32.tokens_per_s * 3605 / 1495, 3.0)
"""fp32 times ONNX Runtime int8 over fp32 on one thread, sorted, at most 1024 padded tokens (research/perf.md, B2)."""


def padded_tokens(lengths: NDArray[np.int64], *, budget: int = MICRO_BATCH_TOKENS) -> NDArray[np.int64]:
    """Return the padded tokens of each micro-batch of items taken in the order given, shape (n_batches,).

    Args:
        lengths: tokens by item, shape (n,), each at most 512.
        budget: padded tokens that a micro-batch may have; a longer item goes alone.
    """
    batches: list[int] = []
    size = longest = 0
    for length in lengths.tolist():
        if size and (size + 1) * max(longest, length) > budget:
            batches.append(size * longest)
            size = longest = 0
        size, longest = size + 1, max(longest, length)
    return np.array([*batches, size * longest], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class JobPlan:
    """Workers of one vCPU each, and what they are predicted to need."""

    workers: int
    padding_factor: float
    """Padded over useful tokens."""
    makespan_s: float
    cost_usd: float
    """Start of environments, transitions and fees included."""


@dataclass(slots=True)
class JobPlanner:
    """Plans one data set.

    Args:
        lengths: tokens by item, shape (n,); above 512 counts as 512.
        prices: Lambda x86 and Step Functions.
    """

    lengths: NDArray[np.int64]
    prices: Prices
    _micro_batches: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        if self.lengths.ndim != 1 or not self.lengths.size or self.lengths.min() < 1:
            raise BadInputError("lengths: a plan needs items of at least one token each")
        capped = np.minimum(self.lengths, MAX_TOKENS)
        self._micro_batches = -np.sort(-padded_tokens(-np.sort(-capped)))
        self.lengths = capped

    def plan(self, workers: int, speed: EncoderSpeed) -> JobPlan:
        """Return what a number of workers needs.

        Raises:
            BadInputError: fewer than one worker, or more than there can be.
        """
        most = min(MOST_WORKERS, self._micro_batches.size)
        if not 1 <= workers <= most:
            raise BadInputError(f"workers: needs 1 to {most} here, got {workers}")
        loads = self._loads(workers)
        total, useful = float(self._micro_batches.sum()), float(self.lengths.sum())
        calls_s = speed.init_s + loads / speed.tokens_per_s
        calls_usd = float(call_cost_usd(calls_s, memory_mb=MEMORY_MB, prices=self.prices.lambda_x86).sum())
        return JobPlan(
            workers=workers,
            padding_factor=total / useful,
            makespan_s=float(calls_s.max()),
            cost_usd=calls_usd + TRANSITIONS_PER_CALL * workers * transition_usd(self.prices),
        )

    def for_deadline(self, deadline_s: float, speed: EncoderSpeed) -> JobPlan:
        """Return the cheapest plan that ends in time: each worker more costs a start and its transitions.

        Raises:
            NothingFeasibleError: no number of workers does.
        """
        usable_s = min(deadline_s, TIME_LIMIT_S) - speed.init_s
        most = min(MOST_WORKERS, self._micro_batches.size)
        fewest = math.inf if usable_s <= 0 else math.ceil(self._micro_batches.sum() / speed.tokens_per_s / usable_s)
        # Longest first leaves workers a fraction of a micro-batch apart, so the bound is nearly always the answer.
        for workers in range(int(min(fewest, most + 1)), most + 1):
            plan = self.plan(workers, speed)
            if plan.makespan_s <= min(deadline_s, TIME_LIMIT_S):
                return plan
        raise NothingFeasibleError(
            f"deadline: not to be met with {most} workers in {speed.precision}: {deadline_s:g} s"
        )

    def for_budget(self, budget_usd: float, speed: EncoderSpeed) -> JobPlan:
        """Return the fastest plan inside a budget.

        Raises:
            NothingFeasibleError: the least plan costs more.
        """
        low = math.ceil(self._micro_batches.sum() / speed.tokens_per_s / (TIME_LIMIT_S - speed.init_s))
        high = min(MOST_WORKERS, self._micro_batches.size)
        while low <= high and self.plan(low, speed).makespan_s > TIME_LIMIT_S:
            low += 1
        if low > high or self.plan(low, speed).cost_usd > budget_usd:
            raise NothingFeasibleError(f"budget: not enough for any plan in {speed.precision}: {budget_usd:g} USD")
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.plan(middle, speed).cost_usd <= budget_usd else (low, middle - 1)
        return self.plan(low, speed)

    def _loads(self, workers: int) -> NDArray[np.float64]:
        """Return padded tokens by worker, shape (workers,), longest micro-batch first to the least loaded."""
        loads = [0] * workers
        for tokens in self._micro_batches.tolist():
            heapq.heapreplace(loads, loads[0] + tokens)
        return np.array(loads, dtype=np.float64)
