"""Ours on the law of BATCH's buffer: the exact model, the whole grid, decided again every few seconds and at alarms.

Every second of arrivals goes through the project's detector. A decision takes the cheapest setting for the present rate
and for what may follow before it is noticed, that keeps the objective at that rate, at both ends of its credible
interval, and at each level that traffic had in the last minutes, because a bursty law comes back to them. The quantile
it plans for is the least of a ladder that keeps the windows: in a simulation at the present rate, and on the arrivals
just seen.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.rate_detector import RateDetector
from controller.baselines.attainment import cheapest, on_grid, worst
from controller.baselines.judge import FORGIVEN_S
from controller.baselines.replay import replay
from controller.domain.slo import ALLOWED_VIOLATION_RATIO, window_violation_ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.baselines.attainment import AttainmentTable
    from controller.baselines.protocol import Past
    from controller.performance_model.prediction import TimerSetting

BIN_S = 1.0
DECIDE_EVERY_S = 5.0
"""Between two decisions where nothing alarms; a decision takes about a millisecond."""
MEMORY_S = 600.0
"""How long a level that traffic has left is still reckoned with."""
SHORTEST_LEVEL_S = 2.0
REACTION_S = 3.0
"""From a change to the next setting: the detector's median delay for a doubled rate (docs/performance-model.md)."""
CREDIBLE = 2.0
"""Standard errors of the present rate that are allowed for, either way."""
LADDER = (0.970, 0.975, 0.980, 0.985, 0.990, 0.993, 0.996)
"""Planning quantiles for an objective of 0.95: from 0.970, below which about half of the windows violate, upwards. For
another quantile the distance to 1 is scaled."""
PLANNED_RATIO = ALLOWED_VIOLATION_RATIO / 2
"""Share of windows that may violate in a simulation; the other half is for what was not foreseen."""
SIMULATED_ARRIVALS = 50_000
CHECKED_ARRIVALS, LEAST_CHECKED = 4096, 1024
"""Most and least of the present level's own arrivals on which a setting is tried before it is taken."""
DOUBT = 2.5
"""Standard errors by which those may miss the planning quantile; late requests come in batches."""


def planning_quantile(step: float, quantile: float) -> float:
    """Return what a step of the ladder is for an objective's quantile."""
    return 1 - (1 - step) * (1 - quantile) / 0.05


class Seconds:
    """Counts the arrivals of a policy's past, each second once."""

    counted = 0
    """Seconds so far."""

    def over(self, past: Past) -> list[int]:
        """Return the counts of the seconds that have ended since this was last asked."""
        end = math.floor(past.now_s / BIN_S + 1e-9)
        edges = np.searchsorted(past.arrival_s, np.arange(self.counted, end + 1) * BIN_S)
        self.counted = end
        return np.diff(edges).tolist()


class Tidegate:
    """Decides from what the detector makes of the past.

    Args:
        table: what settings attain and cost.
        rng: for the simulated arrivals, drawn once.
        ladder: planning quantiles, rising; of one alone nothing is learned from what was seen.
    """

    def __init__(
        self,
        table: AttainmentTable,
        rng: np.random.Generator,
        *,
        ladder: Sequence[float] = LADDER,
    ) -> None:
        self._table, self._ladder = table, ladder
        self._unit = np.cumsum(rng.exponential(size=SIMULATED_ARRIVALS))
        self._detector = RateDetector()
        self._seconds = Seconds()
        self._next_s = -math.inf
        self._left: list[tuple[float, float]] = []
        """Levels that traffic has left: when, and how many a second it was."""
        self._simulated: dict[tuple[TimerSetting, float], float] = {}

    @property
    def period_s(self) -> float:
        """Asked every second; a decision takes place every five, and at alarms."""
        return BIN_S

    def decide(self, past: Past) -> TimerSetting | None:
        """Return the setting for what comes; None between two decisions."""
        has_alarm = self._observe(past)
        if not has_alarm and past.now_s < self._next_s:
            return None
        self._next_s = past.now_s + DECIDE_EVERY_S
        rate_rps = self._detector.rate_rps
        return self._choose(past, rate_rps) if rate_rps > 0 else None

    def _observe(self, past: Past) -> bool:
        """Feed the detector with the seconds that are over; return whether it alarmed."""
        alarmed = False
        for count in self._seconds.over(past):
            began = self._detector.since_bin
            alarm = self._detector.update(count)
            if alarm is None:
                continue
            alarmed = True
            if (alarm.change_bin - began) * BIN_S >= SHORTEST_LEVEL_S:
                self._left.append((alarm.change_bin * BIN_S, alarm.before))
        self._left = [each for each in self._left if each[0] > past.now_s - MEMORY_S]
        return alarmed

    def _choose(self, past: Past, rate_rps: float) -> TimerSetting:
        table = self._table
        share = worst([table.at_rate(rate) for rate in self._rates(rate_rps)])
        cost_usd, present = self._cost_usd(rate_rps), table.index(past.present)
        found = past.present
        for step in self._ladder:
            quantile = planning_quantile(step, table.slo.quantile)
            found = table.setting(cheapest(cost_usd, share, quantile, present=present))
            if self._keeps_windows(found, rate_rps) and self._holds_now(found, past, quantile):
                break
        return found

    def _rates(self, rate_rps: float) -> set[float]:
        """Return the rates to be prepared for: the present one with its credible interval, and levels left lately."""
        seen_s = max(BIN_S, (self._seconds.counted - self._detector.since_bin) * BIN_S)
        error = math.sqrt(self._detector.fano * rate_rps / seen_s)
        low, high = max(rate_rps - CREDIBLE * error, rate_rps / 4), rate_rps + CREDIBLE * error
        return {on_grid(rate) for rate in (rate_rps, low, high, *self._levels())}

    def _levels(self) -> list[float]:
        return [rate for _, rate in self._left if rate > 0]

    def _cost_usd(self, rate_rps: float) -> NDArray[np.float64]:
        """Return the mean cost of a request while a setting is in force, shape (n_settings,).

        It serves the present level for as long as levels last, and then, until the change is noticed, one of those
        that traffic had before. Where phases are short that counts: at 10 and 120 a second in turn, three seconds of
        the busy phase are more requests than twenty of the quiet one.
        """
        levels = self._levels()
        if not levels:
            return self._table.at_rate(rate_rps).cost_usd
        dwell_s = MEMORY_S / len(self._left)
        weights = defaultdict(float, {on_grid(rate_rps): rate_rps * dwell_s})
        for rate in levels:
            weights[on_grid(rate)] += rate * REACTION_S / len(levels)
        total = sum(weights.values())
        return sum(
            (self._table.at_rate(rate).cost_usd * (weight / total) for rate, weight in weights.items()),
            start=np.zeros(self._table.n_settings),
        )

    def _keeps_windows(self, setting: TimerSetting, rate_rps: float) -> bool:
        """Say whether windows are kept in a simulation of Poisson arrivals at this rate."""
        key = (setting, on_grid(rate_rps))
        if key not in self._simulated:
            late = self._late(self._unit / key[1], setting)
            self._simulated[key] = window_violation_ratio(late, self._table.slo.quantile)
        return self._simulated[key] <= PLANNED_RATIO

    def _holds_now(self, setting: TimerSetting, past: Past, quantile: float) -> bool:
        """Say whether the latest arrivals of the present level would have been in time often enough."""
        since = np.searchsorted(past.arrival_s, self._detector.since_bin * BIN_S)
        seen = past.arrival_s[max(int(since), past.arrival_s.size - CHECKED_ARRIVALS) :]
        if seen.size < LEAST_CHECKED:
            return True
        error = math.sqrt(quantile * (1 - quantile) * setting.max_batch_size / seen.size)
        return float(self._late(seen, setting).mean()) <= 1 - quantile + DOUBT * error

    def _late(self, arrival_s: NDArray[np.float64], setting: TimerSetting) -> NDArray[np.bool_]:
        calls = self._table.calls
        batches = replay(arrival_s, [(0.0, setting)])
        latency_s = batches.latency_s(arrival_s, calls.seconds[calls.row(setting), batches.size - 1])
        return latency_s > self._table.slo.bound_s + FORGIVEN_S
