"""OPTIMISE with few measurements: fit, ask the fit for every setting, measure what it likes best, and fit again.

Meant for a batching function whose settings cannot be tried by the hundred, since each trial is a reconfiguration and
real calls. The fit is given as a function, so that nothing here depends on how it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.domain.function_grid import FunctionGrid, FunctionSetting
from controller.domain.function_times import FunctionBelief, FunctionSample
from controller.errors import BadInputError, NothingFeasibleError
from controller.optimizer.function_prospect import Prospect

if TYPE_CHECKING:
    from controller.domain.prices import LambdaPrices
    from controller.performance_model.cheapest_calls import CheapestCalls
    from controller.performance_model.poisson_calls import CallLoad

Fit = Callable[[Sequence[FunctionSample], FunctionGrid], FunctionBelief]
Measure = Callable[[FunctionSetting], FunctionSample]

EVALUATIONS = 12
VERIFICATIONS = 1
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
        FunctionSetting(1, 1, most_mb // 6),
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
            prospect = Prospect(self.grid, self.prices, load, self.fit(samples, self.grid))
            safe = prospect.cheapest()
            tried = [self.grid.place(each.setting) for each in samples]
            if len(samples) >= evaluations:
                # A setting that was not measured is believed, and beliefs were off by five errors at the worst.
                safe = prospect.cheapest(tried) or safe
                break
            is_last = len(samples) >= evaluations - VERIFICATIONS
            place = safe.place if is_last and safe else prospect.worth_measuring(safe, tried)
            if place is None:
                break
            samples.append(self.measure(self.grid.setting(place)))
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


def _with_enough_memory(wanted: FunctionSetting, belief: FunctionBelief, grid: FunctionGrid) -> FunctionSetting:
    """Return the setting with more memory where it would run out of it, or with less to hold."""
    fits = belief.fits[:, wanted.processes - 1, :]
    b = wanted.per_process
    while b > 1 and not fits[b - 1].any():
        b -= 1
    enough = [memory for memory, is_enough in zip(grid.memories_mb, fits[b - 1], strict=True) if is_enough]
    memory_mb = min((memory for memory in enough if memory >= wanted.memory_mb), default=grid.memories_mb[-1])
    return FunctionSetting(b, wanted.processes, memory_mb)
