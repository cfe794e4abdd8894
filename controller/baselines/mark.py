"""MArk (Zhang, Yu, Wang, Yan: USENIX ATC 2019): instances planned ahead, batches on them, functions for what overflows.

Every minute it forecasts the largest load of each of the next sixty minutes and plans, greedily by cost per request,
the instances that will be needed in five. A monitor adds one where answers are late, a bouncer on the instances sends
what would be late to a function (`Overflow`). Constants that the paper leaves open are those of its released code.

The paper forecasts with an LSTM for each workload, whose weights are not used here. The released scheduler does not use
it either: it takes the largest of the last minute's slots, a fifth more, for all that comes (`hold_last_minute`). What
no LSTM can beat is the future itself (`Foresight`). The published system lies between the two.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.mark_plan import Cheapest, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from controller.baselines.protocol import Counts, FleetPast
    from controller.domain.slo import LatencySlo
    from controller.performance_model.instance_group import InstanceType

MINUTE_S = 60.0
SLOT_S = 5.0
"""Rates are sampled in slots; a minute counts as its largest."""
HORIZON = 60
"""Minutes of a forecast."""
HEADROOM = 1.2
KEPT_PLANS = 6
"""An instance is ended when none of so many plans wanted it."""
FORGETTING = 0.999
"""Of the monitor's moving share of late answers, for each answer."""
MOST_LATE = 0.02
"""Share of late answers beyond which the monitor launches; SLmin is 98 %."""
PAUSE_ROUNDS = 5
"""Between two launches of the monitor."""


def hold_last_minute(past: FleetPast) -> NDArray[np.float64]:
    """Return the released forecast: the largest slot of the last minute, a fifth more, for each minute to come."""
    edges = past.now_s - SLOT_S * np.arange(round(MINUTE_S / SLOT_S), -1, -1)
    largest = np.diff(np.searchsorted(past.arrival_s, edges)).max() / SLOT_S
    return np.full(HORIZON, HEADROOM * largest)


class Foresight:
    """The largest slot of each minute that really comes; for the end of a trace its last minute is repeated.

    Args:
        arrival_s: the whole trace.
        until_s: its end.
    """

    def __init__(self, arrival_s: NDArray[np.float64], until_s: float) -> None:
        edges = SLOT_S * np.arange(round(until_s / SLOT_S) + 1)
        self._rates = np.diff(np.searchsorted(arrival_s, edges)) / SLOT_S

    def __call__(self, past: FleetPast) -> NDArray[np.float64]:
        """Return the forecast of the next hour."""
        slots, first = round(MINUTE_S / SLOT_S), round(past.now_s / SLOT_S)
        coming = self._rates[first : first + slots * HORIZON]
        coming = coming[: coming.size // slots * slots]
        if not coming.size:
            return hold_last_minute(past) / HEADROOM
        largest = coming.reshape(-1, slots).max(axis=1)
        return np.concatenate((largest, np.full(HORIZON - largest.size, largest[-1])))


class Mark:
    """Plans every minute.

    Args:
        types: of instances, with the batches that `batching_rule` gives them.
        slo: latency beyond which an answer is a failure.
        forecast: requests a second in each of the next sixty minutes.
    """

    def __init__(
        self,
        types: Sequence[InstanceType],
        slo: LatencySlo,
        forecast: Callable[[FleetPast], NDArray[np.float64]] = hold_last_minute,
    ) -> None:
        self._market = Cheapest.of(types)
        self._slo, self._forecast = slo, forecast
        self._plans: deque[NDArray[np.int64]] = deque(maxlen=KEPT_PLANS)
        self._late = 0.0
        self._pause = 0

    @property
    def period_s(self) -> float:
        """Every minute."""
        return MINUTE_S

    def decide(self, past: FleetPast) -> Counts:
        """Return the instances of each type."""
        wanted = plan(self._market, self._forecast(past), np.array(past.present))
        if self._misses(past.answered_s):
            wanted[0] += 1
        self._plans.append(wanted)
        return tuple(np.max(self._plans, axis=0).tolist())

    def _misses(self, answered_s: NDArray[np.float64] | None) -> bool:
        """Follow the share of late answers; return whether the monitor launches an instance of the first type."""
        self._pause = max(self._pause - 1, 0)
        if answered_s is None or not answered_s.size:
            return False
        weights = FORGETTING ** np.arange(answered_s.size - 1, -1, -1)
        late = answered_s > self._slo.bound_s
        self._late = self._late * FORGETTING**answered_s.size + (1 - FORGETTING) * float(weights @ late)
        if self._late <= MOST_LATE or self._pause:
            return False
        self._pause = PAUSE_ROUNDS
        return True
