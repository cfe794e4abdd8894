"""Ours for a batching function of several processes: measured once, then decided for any rate from what is believed.

Twelve measured settings give a law of the whole grid (optimizer/measured_search.py, profiling/function_law.py), so a
new rate needs no tuning. Every second of arrivals goes through the project's detector; every few seconds, and at
alarms, the cheapest setting for the present rate is looked up. B and T change at once; memory and processes only if
that saves more, for as long as levels last, than warming the other copy costs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.arrivals.rate_detector import RateDetector
from controller.baselines.believed_function import BelievedFunction, copy_of, measure_function
from controller.baselines.function_plan import SWITCH_S, FunctionPlan, calls_in_flight
from controller.baselines.tidegate import BIN_S, DECIDE_EVERY_S, MEMORY_S, Seconds
from controller.performance_model.poisson_calls import CallLoad

if TYPE_CHECKING:
    import numpy as np

    from controller.baselines.protocol import Past
    from controller.domain.function_grid import FunctionGrid
    from controller.domain.prices import LambdaPrices
    from controller.domain.slo import LatencySlo
    from controller.optimizer.measured_search import Measure
    from controller.performance_model.prediction import TimerSetting

LEAST_RPS = 0.1
"""A rate that is prepared for even where traffic is slower, or silent: a setting must be something."""


class TidegateFunction:
    """Decides from what the detector makes of the past, and from one round of measurements.

    Args:
        grid: of settings.
        measure: calls the function at a setting.
        slo: the objective.
        prices: of a call.
        rng: for simulated arrivals and calls.
    """

    def __init__(
        self, grid: FunctionGrid, measure: Measure, slo: LatencySlo, prices: LambdaPrices, rng: np.random.Generator
    ) -> None:
        self._grid, self._measure, self._slo, self._prices, self._rng = grid, measure, slo, prices, rng
        self._detector = RateDetector()
        self._seconds = Seconds()
        self._next_s = -math.inf
        self._changes_s: list[float] = []
        self._function: BelievedFunction | None = None
        self._waiting: FunctionPlan | None = None
        self.plans: list[FunctionPlan] = []
        """What was in force and for which rate, oldest first; decisions that keep the setting are among them."""

    @property
    def period_s(self) -> float:
        """Asked every second; a decision takes place every five, and at alarms."""
        return BIN_S

    def decide(self, past: Past) -> TimerSetting | None:
        """Return the setting for what comes; None between two decisions.

        Raises:
            NothingFeasibleError: no setting is predicted to meet the objective.
        """
        if self._observe(past):
            self._next_s = past.now_s
        if self._waiting is not None:
            return self._put_in_force(self._waiting) if past.now_s >= self._waiting.from_s else None
        if past.now_s < self._next_s:
            return None
        self._next_s = past.now_s + DECIDE_EVERY_S
        rate_rps = max(LEAST_RPS, self._detector.rate_rps)
        if self._function is None:
            self._function = self._measure_for(rate_rps)
        return self._choose(self._function, past, rate_rps)

    def _observe(self, past: Past) -> bool:
        """Feed the detector with the seconds that are over; return whether it alarmed."""
        alarms = [alarm for count in self._seconds.over(past) if (alarm := self._detector.update(count)) is not None]
        self._changes_s += [alarm.change_bin * BIN_S for alarm in alarms]
        self._changes_s = [at_s for at_s in self._changes_s if at_s > past.now_s - MEMORY_S]
        return bool(alarms)

    def _measure_for(self, rate_rps: float) -> BelievedFunction:
        load = CallLoad(rate_rps, self._slo.bound_s)
        belief = measure_function(self._grid, self._measure, load, self._prices)
        return BelievedFunction(self._grid, belief, self._slo, self._prices, self._rng)

    def _choose(self, function: BelievedFunction, past: Past, rate_rps: float) -> TimerSetting:
        """Return the setting to be in force now; one that needs another copy waits until that is warm."""
        best = function.cheapest(rate_rps)
        if best is None:
            return past.present
        present = copy_of(past.present)
        if not self.plans or best.copy == present:
            return self._put_in_force(FunctionPlan(past.now_s, best.setting, rate_rps, 0))
        kept = function.cheapest(rate_rps, present)
        warming_calls = calls_in_flight(best.setting, rate_rps=rate_rps, bound_s=self._slo.bound_s)
        dwell_s = MEMORY_S / (len(self._changes_s) + 1)
        warming_usd = warming_calls * function.start_usd(best.setting)
        if kept is not None and (kept.cost_usd - best.cost_usd) * rate_rps * dwell_s <= warming_usd:
            return self._put_in_force(FunctionPlan(past.now_s, kept.setting, rate_rps, 0))
        self._waiting = FunctionPlan(past.now_s + SWITCH_S, best.setting, rate_rps, warming_calls)
        return past.present if kept is None else kept.setting

    def _put_in_force(self, plan: FunctionPlan) -> TimerSetting:
        self._waiting = None
        self.plans.append(plan)
        return plan.setting
