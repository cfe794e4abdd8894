"""JBMP online, as a policy: what setting is in force when, as the rate of a stream of requests changes.

Every 300 s the detector looks back; a rate of another level (steps of 5 requests a second) takes its setting from a
table of earlier tunings, or waits for a tuning of 90 evaluations while the old setting stays in force. Requests are
packed by the judge's buffer: b x c of them, or those that came within the timeout. The published packager replays a
trace and sends as soon as the next request would come too late; live, nobody knows that.

As published (research/parallel_and_jbmp.md, 2.6), the level is the remainder of the division by 5, "no change" counts
as another level, and every tuning is for 10 requests a second within 2 s. Repaired, the level is the quotient,
without a change the rate of the whole window counts, and a tuning is for the rate that was detected.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from controller.baselines.function_plan import SWITCH_S, FunctionPlan, as_timer, calls_in_flight
from controller.baselines.jbmp_detector import PERIOD_S, detect_rate
from controller.baselines.jbmp_tuner import SECONDS_PER_EVALUATION
from controller.performance_model.poisson_calls import CallLoad

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.baselines.jbmp_tuner import TunedFunction
    from controller.baselines.protocol import Past
    from controller.performance_model.prediction import TimerSetting

LEVEL_RPS = 5.0
PUBLISHED_LOAD = CallLoad(rate_rps=10.0, bound_s=2.0)
"""What the published code tunes for, whatever it has detected; and what the table starts with before any traffic."""


@dataclass(slots=True)
class Jbmp:
    """The controller of JBMP.

    Args:
        tune: the tuner for a load.
        bound_s: the objective.
        is_repaired: see the module.
    """

    tune: Callable[[CallLoad], TunedFunction]
    bound_s: float
    is_repaired: bool
    plans: list[FunctionPlan] = field(init=False, default_factory=list["FunctionPlan"])
    """What was in force, oldest first."""
    _table: dict[int, FunctionPlan] = field(init=False, default_factory=dict["int", "FunctionPlan"])
    _level: int | None = field(init=False, default=None)
    _next_poll_s: float = field(init=False, default=0.0)
    _waiting: FunctionPlan | None = field(init=False, default=None)

    @property
    def period_s(self) -> float:
        """Asked as often as a setting may come into force; it polls more seldom."""
        return SWITCH_S

    def decide(self, past: Past) -> TimerSetting | None:
        """Return the setting that comes into force now; None while there is none."""
        if not self.plans:
            return self._start(past)
        if past.now_s >= self._next_poll_s:
            self._next_poll_s += PERIOD_S
            # A tuning that runs, or a copy that is being warmed, is not interrupted.
            self._waiting = self._waiting or self._poll(past)
        if self._waiting is None or past.now_s < self._waiting.from_s:
            return None
        self.plans.append(self._waiting)
        self._waiting = None
        return self.plans[-1].setting

    def level(self, rate_rps: float) -> int:
        """Return the level of a rate."""
        return int(rate_rps // LEVEL_RPS) if self.is_repaired else int(rate_rps % LEVEL_RPS)

    def _start(self, past: Past) -> TimerSetting:
        """Put in force what was tuned before the first request, for the rate of the history."""
        seen = detect_rate(past.arrival_s, past.now_s)
        rate_rps = PUBLISHED_LOAD.rate_rps if seen is None else seen.rate_rps
        self._level = self.level(rate_rps)
        plan, _ = self._look_up(rate_rps, self._level)
        self.plans.append(replace(plan, from_s=past.now_s))
        self._next_poll_s = past.now_s + PERIOD_S
        return plan.setting

    def _poll(self, past: Past) -> FunctionPlan | None:
        """Return what a look back leads to, with when it will be in force; None to keep the present setting."""
        seen = detect_rate(past.arrival_s, past.now_s)
        if seen is None:
            return None
        is_unknown = seen.change_s is None and not self.is_repaired
        level = None if is_unknown else self.level(seen.rate_rps)
        if level == self._level:
            return None
        self._level = level
        plan, tuning_s = self._look_up(seen.rate_rps, level)
        warming = calls_in_flight(plan.setting, rate_rps=seen.rate_rps, bound_s=self.bound_s)
        return replace(plan, from_s=past.now_s + tuning_s + SWITCH_S, warming_calls=warming)

    def _look_up(self, rate_rps: float, level: int | None) -> tuple[FunctionPlan, float]:
        """Return the plan for a level and how long its tuning takes: no time where the table has it."""
        known = None if level is None else self._table.get(level)
        if known is not None:
            return known, 0.0
        load = CallLoad(rate_rps, self.bound_s) if self.is_repaired else PUBLISHED_LOAD
        tuned = self.tune(load)
        plan = FunctionPlan(0.0, as_timer(tuned.setting, tuned.timeout_s), load.rate_rps, 0)
        if level is not None:
            self._table[level] = plan
        return plan, tuned.evaluations * SECONDS_PER_EVALUATION
