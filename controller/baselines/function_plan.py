"""What policies for a batching function of several processes share: a plan, and what it takes to put it in force.

A change of memory or processes is made on an idle copy of the function, which is warmed before requests are sent to it
(JBMP's way); B and T belong to the buffer and change at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.cost import call_cost_usd
from controller.performance_model.prediction import TimerSetting

if TYPE_CHECKING:
    from controller.domain.function_grid import FunctionSetting
    from controller.domain.function_times import FunctionSample
    from controller.domain.prices import LambdaPrices

SWITCH_S = 5.0
"""Until an idle copy of the function has its new memory and is warm."""
COLD_CALLS = 1
"""Before the calls that are timed at a setting; it is dropped (JBMP's sampler)."""


@dataclass(frozen=True, slots=True)
class FunctionPlan:
    """A setting in force, and what it was made for.

    Attributes:
        from_s: since when.
        setting: in force.
        rate_rps: that it was made for.
        warming_calls: dummy calls that warmed the copy; 0 where memory and processes stayed.
    """

    from_s: float
    setting: TimerSetting
    rate_rps: float
    warming_calls: int


def as_timer(setting: FunctionSetting, timeout_s: float) -> TimerSetting:
    """Return a setting of a function as the buffer's."""
    return TimerSetting(
        max_batch_size=setting.max_batch_size,
        max_queue_delay_s=timeout_s,
        memory_mb=setting.memory_mb,
        processes=setting.processes,
    )


def calls_in_flight(setting: TimerSetting, *, rate_rps: float, bound_s: float) -> int:
    """Return how many environments a rate needs by Little's law, a call taking what the bound leaves of its wait."""
    return math.ceil(max(0.0, (bound_s - setting.max_queue_delay_s) * rate_rps / setting.max_batch_size))


def evaluation_usd(sample: FunctionSample, prices: LambdaPrices) -> float:
    """Return the price of measuring a setting, the cold call at the mean of the others; failed calls are not priced."""
    if sample.is_failed:
        return 0.0
    one = float(call_cost_usd(np.array([sample.mean_s]), memory_mb=sample.setting.memory_mb, prices=prices)[0])
    return (len(sample.seconds) + COLD_CALLS) * one
