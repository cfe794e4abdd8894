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
from controller.errors import BadInputError, NothingFeasibleError
from controller.performance_model.cheapest_calls import CheapestCalls, Punctuality, find_cheapest
from controller.performance_model.poisson_calls import CallLoad, PricedCalls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.prices import LambdaPrices

Fit = Callable[[Sequence[FunctionSample], FunctionGrid], FunctionBelief]
Measure = Callable[[FunctionSetting], FunctionSample]

LATE_ALLOWED = 0.05
"""Share of requests beyond the bound where the objective is a p95."""
LATE_PLANNED = 0.045
"""What a setting may be predicted to have: noise is known from a dozen calls."""
CAUTION = 1.0
"""Standard errors by which a call is taken to be slower than believed, when a setting must be safe."""
HOPE = 0.5
"""Standard errors by which it is taken to be faster, when a setting is only to be tried."""
RESERVES = (1.0, 1.08, 1.16, 1.25, 1.35, 1.5)
"""A call is given so many times its predicted time; the wait after its first request is what is left of the bound."""
NOISE_POINTS = 20
TAIL = 8.0
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
        setting: the cheapest that is safe.
        calls: its place, timeout, cost and lateness, predicted cautiously.
        evaluations: settings that were measured, repetitions included.
    """

    setting: FunctionSetting
    calls: CheapestCalls
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
            BadInputError: every call failed, or fewer evaluations than the profile needs.
        """
        least = len(profile_settings(self.grid))
        if evaluations < least:
            raise BadInputError(f"evaluations: the profile alone needs {least}, got {evaluations}")
        samples = self._profile()
        while True:
            belief = self.fit(samples, self.grid)
            safe = self._cheapest(belief, load, _SAFE)
            if len(samples) >= evaluations:
                break
            is_last = len(samples) >= evaluations - VERIFICATIONS
            wanted = safe if is_last and safe else self._worth_trying(belief, load, safe, samples)
            if wanted is None:
                break
            samples.append(self.measure(self.grid.setting(wanted.place)))
        if safe is None:
            raise NothingFeasibleError(
                f"objective: no setting is predicted to answer 95 % within {load.bound_s:g} s at {load.rate_rps:g}/s"
            )
        return FoundSetting(self.grid.setting(safe.place), safe, len(samples))

    def _profile(self) -> list[FunctionSample]:
        samples: list[FunctionSample] = []
        for wanted in profile_settings(self.grid):
            setting = wanted
            if any(not each.is_failed for each in samples):
                setting = _with_enough_memory(wanted, self.fit(samples, self.grid), self.grid)
            samples.append(self.measure(setting))
        return samples

    def _worth_trying(
        self, belief: FunctionBelief, load: CallLoad, safe: CheapestCalls | None, samples: Sequence[FunctionSample]
    ) -> CheapestCalls | None:
        """Return what was not measured and may be cheaper than the safe setting, else that one."""
        tried = [self.grid.place(each.setting) for each in samples]
        hoped = self._cheapest(belief, load, _HOPED, without=tried)
        if hoped and (safe is None or hoped.cost_usd < safe.cost_usd * (1 - WORTH_TRYING)):
            return hoped
        return safe

    def _cheapest(
        self, belief: FunctionBelief, load: CallLoad, stance: _Stance, *, without: Sequence[int] = ()
    ) -> CheapestCalls | None:
        seconds = belief.seconds * np.maximum(1 + stance.slower * belief.relative_error, 0.1)
        table = PricedCalls(self.grid, np.where(belief.fits, seconds, np.inf), self.prices)
        rule = Punctuality(stance.late_allowed, _noise_laws(belief), RESERVES)
        return find_cheapest(table, load, rule, without=without)


@dataclass(frozen=True, slots=True)
class _Stance:
    """How many standard errors slower than believed calls are taken to be, and how many requests may be late."""

    slower: float
    late_allowed: float


_SAFE, _HOPED = _Stance(CAUTION, LATE_PLANNED), _Stance(-HOPE, LATE_ALLOWED)


def _noise_laws(belief: FunctionBelief) -> tuple[NDArray[np.float64], ...]:
    """Return factors by two laws that a safe setting must stand both of: a smooth one, and the calls as they were.

    Equal calls that differ by a neighbour have two humps, which a smooth law of the same spread puts too close.
    """
    smooth = np.exp(belief.cv * stdtrit(TAIL, (np.arange(NOISE_POINTS) + 0.5) / NOISE_POINTS))
    return smooth / smooth.mean(), belief.noise


def _with_enough_memory(wanted: FunctionSetting, belief: FunctionBelief, grid: FunctionGrid) -> FunctionSetting:
    """Return the setting with more memory where it would run out of it, or with less to hold."""
    fits = belief.fits[:, wanted.processes - 1, :]
    b = wanted.per_process
    while b > 1 and not fits[b - 1].any():
        b -= 1
    enough = [memory for memory, is_enough in zip(grid.memories_mb, fits[b - 1], strict=True) if is_enough]
    memory_mb = min((memory for memory in enough if memory >= wanted.memory_mb), default=grid.memories_mb[-1])
    return FunctionSetting(b, wanted.processes, memory_mb)
