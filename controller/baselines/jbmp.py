"""JBMP online: what setting is in force when, as the rate of a stream of requests changes.

Every 300 s the detector looks back; a rate of another level (steps of 5 requests a second) takes its setting from a
table of earlier tunings, or waits for a tuning of 90 evaluations while the old setting stays in force.

As published (research/parallel_and_jbmp.md, 2.6), the level is the remainder of the division by 5, "no change" counts
as another level, and every tuning is for 10 requests a second within 2 s. Repaired, the level is the quotient,
without a change the rate of the whole window counts, and a tuning is for the rate that was detected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.jbmp_detector import PERIOD_S, detect_rate
from controller.baselines.jbmp_tuner import SECONDS_PER_EVALUATION
from controller.performance_model.poisson_calls import CallLoad

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from controller.baselines.jbmp_tuner import TunedFunction

LEVEL_RPS = 5.0
SWITCH_S = 5.0
"""Until an idle copy of the function has its new memory and is warm."""
PUBLISHED_LOAD = CallLoad(rate_rps=10.0, bound_s=2.0)
"""What the published code tunes for, whatever it has detected."""


@dataclass(frozen=True, slots=True)
class JbmpChange:
    """A setting that comes into force.

    Attributes:
        from_s: when.
        tuned: setting and timeout.
        warming_calls: dummy calls that warm the new copy: as many as are in flight by Little's law.
        evaluations: calls of the tuner's sampler that led to it; 0 where the table had it.
    """

    from_s: float
    tuned: TunedFunction
    warming_calls: int
    evaluations: int


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
    _table: dict[int, TunedFunction] = field(init=False, default_factory=dict["int", "TunedFunction"])
    _level: int | None = field(init=False, default=None)
    _busy_until_s: float = field(init=False, default=0.0)

    def changes(self, arrival_s: NDArray[np.float64], *, until_s: float, start_rps: float) -> list[JbmpChange]:
        """Return the settings of a run, the first from time 0 on, each with the time it comes into force.

        Args:
            arrival_s: instants of requests, ascending, shape (n,).
            until_s: end of the run.
            start_rps: rate that the setting at the start is tuned for, before the run.
        """
        polls = (self.poll(arrival_s, at_s) for at_s in np.arange(PERIOD_S, until_s, PERIOD_S).tolist())
        return [self.start(start_rps), *(change for change in polls if change)]

    def start(self, rate_rps: float) -> JbmpChange:
        """Return the setting that is in force from time 0 on."""
        self._level = self.level(rate_rps)
        return self._change(0.0, rate_rps, self._level)

    def poll(self, arrival_s: NDArray[np.float64], now_s: float) -> JbmpChange | None:
        """Return the setting that a look back leads to, or None to keep the present one.

        Args:
            arrival_s: instants of requests, ascending, shape (n,); those after `now_s` are not looked at.
            now_s: a multiple of 300 s.
        """
        seen = detect_rate(arrival_s, now_s)
        if seen is None or now_s < self._busy_until_s:
            return None
        is_unknown = seen.change_s is None and not self.is_repaired
        level = None if is_unknown else self.level(seen.rate_rps)
        if level == self._level:
            return None
        self._level = level
        change = self._change(now_s, seen.rate_rps, level)
        self._busy_until_s = change.from_s
        return change

    def level(self, rate_rps: float) -> int:
        """Return the level of a rate."""
        return int(rate_rps // LEVEL_RPS) if self.is_repaired else int(rate_rps % LEVEL_RPS)

    def _change(self, at_s: float, rate_rps: float, level: int | None) -> JbmpChange:
        tuned = None if level is None else self._table.get(level)
        evaluations = 0
        if tuned is None:
            tuned = self.tune(CallLoad(rate_rps, self.bound_s) if self.is_repaired else PUBLISHED_LOAD)
            evaluations = tuned.evaluations
            if level is not None:
                self._table[level] = tuned
        waits_s = SWITCH_S + evaluations * SECONDS_PER_EVALUATION if at_s else 0.0
        in_flight = (self.bound_s - tuned.timeout_s) * rate_rps / tuned.setting.max_batch_size
        return JbmpChange(at_s + waits_s, tuned, math.ceil(max(0.0, in_flight)), evaluations)
