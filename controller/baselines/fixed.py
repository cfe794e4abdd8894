"""Policies that do not follow traffic: one setting for ever, and any policy frozen after its first decision."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.cost import MB_PER_GB, call_cost_usd
from controller.performance_model.prediction import TimerSetting

if TYPE_CHECKING:
    from controller.baselines.call_table import CallTable
    from controller.baselines.protocol import Past, Policy
    from controller.domain.prices import LambdaPrices
    from controller.domain.slo import LatencySlo


@dataclass(frozen=True, slots=True)
class Fixed:
    """One setting, whatever comes."""

    setting: TimerSetting

    @property
    def period_s(self) -> float:
        """Asked once."""
        return math.inf

    def decide(self, past: Past) -> TimerSetting:
        """Return the setting."""
        del past
        return self.setting


@dataclass(frozen=True, slots=True)
class Frozen:
    """Another policy's first decision, kept: what following traffic is worth is told by the difference."""

    policy: Policy

    @property
    def period_s(self) -> float:
        """Asked once."""
        return math.inf

    def decide(self, past: Past) -> TimerSetting | None:
        """Return what the other policy would do now."""
        return self.policy.decide(past)


def cherry_picked(calls: CallTable, slo: LatencySlo) -> TimerSetting:
    """Return no batching at the memory where a call is cheapest and inside the bound; the fastest if none is.

    Lambda with a cherry-picked memory (Ali et al. 2020, section V); traffic does not matter, a call starts at once.
    """
    one_s, one_usd = calls.seconds[:, 0], calls.usd[:, 0]
    in_time = one_s <= slo.bound_s
    row = int(np.argmin(np.where(in_time, one_usd, np.inf))) if in_time.any() else int(np.argmin(one_s))
    return TimerSetting(max_batch_size=1, max_queue_delay_s=0.0, memory_mb=calls.memories_mb[row])


def reloading(calls: CallTable, prices: LambdaPrices) -> CallTable:
    """Return the same calls by a function that loads its model anew for each: the naive way.

    Loading takes as long as one request: keeping the graph of the model in memory "halves" the delay of an invocation
    (Ali et al. 2020).
    """
    seconds = calls.seconds + calls.seconds[:, :1]
    memories_mb = np.array(calls.memories_mb, dtype=np.float64)[:, None]
    usd = call_cost_usd(seconds, memory_mb=MB_PER_GB, prices=replace(prices, request_usd=0.0)) * memories_mb / MB_PER_GB
    return replace(calls, seconds=seconds, usd=usd + prices.request_usd)
