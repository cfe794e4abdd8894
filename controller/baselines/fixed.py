"""Policies that do not follow traffic: one setting for ever, and any policy frozen after its first decision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.performance_model.prediction import TimerSetting

if TYPE_CHECKING:
    from controller.baselines.call_table import CallTable
    from controller.baselines.protocol import Past, Policy
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
