"""OPTIMISE with few measurements: fit, ask the fit for every setting, measure what it likes best, and fit again.

Meant for a batching function whose settings cannot be tried by the hundred, since each trial is a reconfiguration and
real calls. The fit is given as a function, so that nothing here depends on how it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from controller.domain.function_grid import FunctionGrid, FunctionSetting
from controller.domain.function_times import FunctionBelief, FunctionSample
from controller.errors import NothingFeasibleError
from controller.performance_model.poisson_calls import CallLoad, CallTimes, predict_calls

if TYPE_CHECKING:
    from controller.domain.prices import LambdaPrices

Fit = Callable[[Sequence[FunctionSample], FunctionGrid], FunctionBelief]
Measure = Callable[[FunctionSetting], FunctionSample]

LATE_ALLOWED = 0.05
"""Share of requests beyond the bound where the objective is a p95."""
LATE_PLANNED = 0.035
"""What a setting may be predicted to have: noise is known from a dozen calls."""
CAUTION = 1.5
"""Standard errors by which a call is taken to be slower than believed, when a setting must be safe."""
HOPE = 0.5
"""Standard errors by which it is taken to be faster, when a setting is only to be tried."""
RESERVES = (1.0, 1.08, 1.16, 1.25, 1.35, 1.5)
"""A call is given so many times its predicted time; the wait after its first request is what is left of the bound."""
NOISE_POINTS = 20
TAIL = 5.0
"""Degrees of freedom of the noise's law: a dozen pairs of calls do not tell a noisy neighbour from a normal law."""
WORTH_TRYING = 0.01
"""A setting is tried when it may be cheaper by this share than the best that is safe."""
EVALUATIONS = 12
VERIFICATIONS = 3
"""The last of them measure the setting that is about to be returned: what looks best is often what was measured on a
lucky day."""


@dataclass(frozen=True, slots=True)
class FoundSetting:
    """What a search returns.

    Attributes:
        place: of the cheapest safe setting on the flattened grid.
        timeout_s: wait after a call's first request.
        cost_usd: predicted, of a request.
        late_share: predicted, cautiously.
        evaluations: settings that were measured.
    """

    place: int
    timeout_s: float
    cost_usd: float
    late_share: float
    evaluations: int


def profile_settings(grid: FunctionGrid) -> tuple[FunctionSetting, ...]:
    """Return what is measured first: each term of the law shows in some of them, and how memory use grows in three."""
    most_b, most_c, most_mb = grid.most_per_process, grid.most_processes, grid.memories_mb[-1]
    return (
        FunctionSetting(1, 1, most_mb),
        FunctionSetting(most_b, 1, most_mb),
        FunctionSetting(max(1, most_b // 2), most_c, most_mb),
        FunctionSetting(1, 1, most_mb // 2),
        FunctionSetting(most_b, 1, most_mb // 2),
        FunctionSetting(max(1, most_b // 4), 1, most_mb // 4),
    )


@dataclass(frozen=True, slots=True)
class MeasuredSearch:
    """A search; equal answers of `measure` give an equal result.

    Attributes:
        grid: of settings.
        measure: calls the function at a setting.
        fit: from samples to what is believed of every setting.
        prices: of a call.
    """

    grid: FunctionGrid
    measure: Measure
    fit: Fit
    prices: LambdaPrices

    def run(self, load: CallLoad, *, evaluations: int = EVALUATIONS) -> FoundSetting:
        """Return the best setting for a load.

        Raises:
            NothingFeasibleError: no setting is predicted to meet the objective.
        """
        samples = self._profile()
        while True:
            belief = self.fit(samples, self.grid)
            safe = self._best(belief, load, -CAUTION, LATE_PLANNED)
            if len(samples) >= evaluations:
                break
            wanted = safe[0]
            if len(samples) < evaluations - VERIFICATIONS or not np.isfinite(safe[2]):
                wanted = self._worth_trying(belief, load, safe, samples)
            samples.append(self.measure(self.grid.setting(wanted)))
        place, timeout_s, cost_usd, late_share = safe
        if not np.isfinite(cost_usd):
            raise NothingFeasibleError(
                f"objective: no setting is predicted to answer 95 % within {load.bound_s:g} s at {load.rate_rps:g}/s"
            )
        return FoundSetting(place, timeout_s, cost_usd, late_share, len(samples))

    def _profile(self) -> list[FunctionSample]:
        samples: list[FunctionSample] = []
        for wanted in profile_settings(self.grid):
            setting = wanted
            if any(not each.is_failed for each in samples):
                setting = _with_enough_memory(wanted, self.fit(samples, self.grid), self.grid)
            samples.append(self.measure(setting))
        return samples

    def _worth_trying(
        self, belief: FunctionBelief, load: CallLoad, safe: _Choice, samples: Sequence[FunctionSample]
    ) -> int:
        """Return the place of what may be cheaper than the safe one, else of that one."""
        tried = [self.grid.place(each.setting) for each in samples]
        place, _, cost_usd, _ = self._best(belief, load, HOPE, LATE_ALLOWED, without=tried)
        if cost_usd < safe[2] * (1 - WORTH_TRYING):
            return place
        return safe[0]

    def _best(
        self,
        belief: FunctionBelief,
        load: CallLoad,
        hope: float,
        late_allowed: float,
        *,
        without: Sequence[int] = (),
    ) -> _Choice:
        """Return place, timeout, cost and lateness of the cheapest setting if calls are `hope` errors faster."""
        seconds = belief.seconds * np.maximum(1 - hope * belief.relative_error, 0.1)
        seconds = np.where(belief.fits, seconds, np.inf)
        noise = np.exp(belief.cv * stdtrit(TAIL, (np.arange(NOISE_POINTS) + 0.5) / NOISE_POINTS))
        calls = CallTimes(self.grid, seconds, noise / noise.mean())
        best: _Choice = (0, 0.0, np.inf, 1.0)
        for reserve in RESERVES:
            delay_s = np.maximum(0.0, load.bound_s - reserve * seconds)
            outcomes = predict_calls(calls, load, delay_s=delay_s, prices=self.prices)
            cost = np.where(outcomes.late_share <= late_allowed, outcomes.cost_usd, np.inf).ravel()
            cost[list(without)] = np.inf
            place = int(np.argmin(cost))
            if cost[place] < best[2]:
                best = (place, float(delay_s.flat[place]), float(cost[place]), float(outcomes.late_share.flat[place]))
        return best


_Choice = tuple[int, float, float, float]


def _with_enough_memory(wanted: FunctionSetting, belief: FunctionBelief, grid: FunctionGrid) -> FunctionSetting:
    """Return the setting with more memory where it would run out of it, or with less to hold."""
    fits = belief.fits[:, wanted.processes - 1, :]
    b = wanted.per_process
    while b > 1 and not fits[b - 1].any():
        b -= 1
    enough = [memory for memory, is_enough in zip(grid.memories_mb, fits[b - 1], strict=True) if is_enough]
    memory_mb = min((memory for memory in enough if memory >= wanted.memory_mb), default=grid.memories_mb[-1])
    return FunctionSetting(b, wanted.processes, memory_mb)
