"""Baselines that know the future: what following traffic perfectly, each second or each hour, would cost.

They are no policies one could run. They know the law behind the arrivals at every moment, and in hindsight the
quantile they should have planned for: the least that keeps 95 % of the windows, the rule that everybody is judged by.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.attainment import cheapest, worst
from controller.baselines.fixed import Fixed
from controller.baselines.judge import Verdict, judge
from controller.domain.slo import ALLOWED_VIOLATION_RATIO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.baselines.attainment import AttainmentTable
    from controller.baselines.judge import Trial
    from controller.baselines.protocol import Past
    from controller.domain.arrival_map import Map
    from controller.domain.arrival_process import PoissonProcess
    from controller.performance_model.prediction import TimerSetting

HOUR_S = 3600.0
LADDER = (
    0.3,
    0.5,
    0.6,
    0.7,
    0.8,
    0.85,
    0.90,
    0.92,
    0.94,
    0.95,
    0.955,
    0.96,
    0.965,
    0.97,
    0.975,
    0.98,
    0.985,
    0.99,
    0.995,
    0.999,
)
"""Planning quantiles tried in hindsight, for an objective of 0.95; below it, because short phases may be given up."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """A law that holds from an instant to the next stretch."""

    from_s: float
    law: PoissonProcess | Map


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Settings written down beforehand, one a period from `from_s` on."""

    from_s: float
    period_s: float
    settings: tuple[TimerSetting, ...]

    def decide(self, past: Past) -> TimerSetting:
        """Return the setting of this period."""
        index = math.floor((past.now_s - self.from_s) / self.period_s + 1e-9)
        return self.settings[min(index, len(self.settings) - 1)]


def every_second(trial: Trial, stretches: Sequence[Stretch], table: AttainmentTable, *, hourly: Verdict) -> Verdict:
    """Return what the per-second oracle comes to: at each second the cheapest setting for the law that holds then.

    Where it would be cheaper to change but once an hour, as `hourly` did, it does that.
    """
    starts = [each.from_s for each in stretches]
    seconds = np.arange(trial.from_s, trial.until_s, 1.0).tolist()
    held = [stretches[bisect_right(starts, second + 1e-9) - 1].law for second in seconds]
    laws = {law: table.of(law) for law in held}

    def attempt(quantile: float) -> Verdict:
        best = {law: table.setting(_cheapest(each.cost_usd, each.share, quantile)) for law, each in laws.items()}
        return judge(Scheduled(trial.from_s, 1.0, tuple(best[law] for law in held)), trial)

    low, high = 0, len(LADDER) - 1
    best = attempt(LADDER[high])
    while low < high:
        middle = (low + high) // 2
        found = attempt(LADDER[middle])
        if _is_kept(found):
            best, high = found, middle
        else:
            low = middle + 1
    return min((best, hourly), key=lambda each: (not _is_kept(each), each.cost_per_request_usd))


def every_hour(trial: Trial, stretches: Sequence[Stretch], table: AttainmentTable) -> Verdict:
    """Return what the hourly oracle comes to: one setting an hour, the cheapest that keeps that hour's windows.

    Tried are the cheapest settings over the hour's laws, each weighted by its arrivals, that reach a quantile in the
    mean or under every law.
    """
    n_hours = math.ceil((trial.until_s - trial.from_s) / HOUR_S - 1e-9)
    chosen: list[TimerSetting] = []
    for hour in range(n_hours):
        from_s = trial.from_s + hour * HOUR_S
        part = replace(trial, from_s=from_s, until_s=min(from_s + HOUR_S, trial.until_s))
        weights = _weights(part, stretches)
        held, shares = [table.of(law) for law in weights], np.array(list(weights.values()))
        cost_usd = shares @ np.stack([law.cost_usd for law in held])
        mean = (shares @ np.stack([law.share for law in held])).astype(np.float32)
        tried = {_cheapest(cost_usd, share, quantile) for quantile in LADDER for share in (mean, worst(held))}
        chosen.append(_best([table.setting(index) for index in sorted(tried)], part))
    return judge(Scheduled(trial.from_s, HOUR_S, tuple(chosen)), trial)


def _best(settings: Sequence[TimerSetting], trial: Trial) -> TimerSetting:
    """Return the cheapest setting that keeps the windows of a trial, or the one that comes closest."""
    verdicts = [(judge(Fixed(setting), trial), setting) for setting in settings]
    kept = [each for each in verdicts if _is_kept(each[0])]
    if kept:
        return min(kept, key=lambda each: each[0].cost_per_request_usd)[1]
    return min(verdicts, key=lambda each: (each[0].window_violation_ratio, each[0].cost_per_request_usd))[1]


def _is_kept(verdict: Verdict) -> bool:
    return verdict.window_violation_ratio <= ALLOWED_VIOLATION_RATIO


def _cheapest(cost_usd: NDArray[np.float64], share: NDArray[np.float32], quantile: float) -> int:
    """Return the cheapest setting to the last digit: an oracle needs no reserve."""
    return cheapest(cost_usd, share, quantile, nearly=0.0)


def _weights(trial: Trial, stretches: Sequence[Stretch]) -> dict[PoissonProcess | Map, float]:
    """Return the share of a trial's arrivals that came under each law, where there were any: phases come back."""
    edges = [each.from_s for each in stretches]
    counts = np.diff(np.append(np.searchsorted(trial.judged, edges), trial.judged.size))
    total: dict[PoissonProcess | Map, float] = {}
    for each, count in zip(stretches, counts.tolist(), strict=True):
        if count:
            total[each.law] = total.get(each.law, 0.0) + count / trial.judged.size
    return total
