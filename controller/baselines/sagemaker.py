"""Instances that follow a target, as SageMaker endpoints do: requests per instance and minute, alarms, minutes of boot.

Target tracking of Application Auto Scaling on `InvocationsPerInstance`: three minutes above the target scale out,
fifteen below nine tenths of it scale in, and five minutes pass between two scalings in. The target is the rate that an
instance can bear, times the recommended safety factor of one half: the two-fold over-provisioning that both BATCH and
MArk measured it with. No batching, no overflow: what comes before the instances do waits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from controller.baselines.protocol import Counts, FleetPast
    from controller.performance_model.instance_group import InstanceType

MINUTE_S = 60.0
SAFETY_FACTOR = 0.5
MINUTES_ABOVE, MINUTES_BELOW = 3, 15
IN_SHARE = 0.9
"""The alarm for scaling in lies below the target, so that the two do not take turns."""
COOLDOWN_S = 300.0
BOOT_S = 300.0
"""From the wish for an instance to its first answer: "minutes" in both papers."""


class SageMaker:
    """Looks at the last minute, every minute.

    Args:
        kind: the type of instance; an endpoint has one.
        safety_factor: share of its capacity that an instance is meant to be used at.
    """

    def __init__(self, kind: InstanceType, *, safety_factor: float = SAFETY_FACTOR) -> None:
        self._target_rps = kind.capacity_rps * safety_factor
        self._above = self._below = 0
        self._scaled_s = -math.inf

    @property
    def period_s(self) -> float:
        """The metric comes once a minute."""
        return MINUTE_S

    def decide(self, past: FleetPast) -> Counts:
        """Return the number of instances, at least one."""
        last = np.searchsorted(past.arrival_s, past.now_s - MINUTE_S)
        rate_rps = float(past.arrival_s.size - last) / MINUTE_S
        (present,) = past.present
        wanted = max(1, math.ceil(rate_rps / self._target_rps))
        if present == 0:
            return (wanted,)
        per_instance = rate_rps / present
        self._above = self._above + 1 if per_instance > self._target_rps else 0
        self._below = self._below + 1 if per_instance < IN_SHARE * self._target_rps else 0
        goes_out = self._above >= MINUTES_ABOVE
        goes_in = self._below >= MINUTES_BELOW and past.now_s - self._scaled_s >= COOLDOWN_S
        if not (goes_out or goes_in):
            return (present,)
        self._scaled_s = past.now_s
        return (max(wanted, present) if goes_out else min(wanted, present),)
