"""JBMP's tuner: Bayesian optimisation of batch, processes and memory.

Cai, Zhou, Zhao and Chen, APSys 2023, doi 10.1145/3609510.3609816. What the abstract leaves open is taken from the
authors' public code as digested in research/parallel_and_jbmp.md (2.3 to 2.6): 5 x 2 x 6 points of a grid, then 30
steps of expected improvement. The latency of a full call, in units of 400 ms, is modelled by a Gaussian process whose
kernel (constant times RBF, both 1) is never fitted and has no noise.

Two variants. *As published*, the constraint L <= SLO - b c / R subtracts seconds from milliseconds, so the time in
which a call fills is ignored; and points may be sampled again. *Repaired*, units agree and no point is sampled twice.
In both, a call that fails tells the surrogate nothing: the code would take the time of the error for a latency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from controller.domain.function_grid import FunctionSetting

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from controller.domain.function_grid import FunctionGrid
    from controller.domain.function_times import FunctionSample
    from controller.performance_model.poisson_calls import CallLoad

LATENCY_UNIT_S = 0.4
SLOT_S = 300.0
"""Cost is reckoned for the calls of so many seconds."""
MARGIN = 0.005
"""Improvement that does not count (xi)."""
STEEPNESS = 100.0
"""Of the factor by which a setting's worth falls beyond the objective."""
JITTER = 1e-10
"""Added to the kernel's diagonal by the library that the code uses; not a noise term."""
INITIAL_SIZES, INITIAL_MEMORIES = 5, 6
STEPS = 30
SECONDS_PER_EVALUATION = 7.5
"""A change of memory, 2 s for it to settle and three calls: 5 to 10 s."""


class FixedProcess:
    """A Gaussian process with unit constant, unit length scales and no noise; posterior on a fixed set of points.

    Rows of the Cholesky factor's product with the covariance to all points are added one by one, so that 90 samples on
    3,000 points take milliseconds.

    Args:
        points: where it is asked, each coordinate in (0, 1], shape (n, d).
    """

    def __init__(self, points: NDArray[np.float64]) -> None:
        self._points = points
        self._rows: list[NDArray[np.float64]] = []
        self._residuals: list[float] = []
        self.mean, self.variance = np.zeros(len(points)), np.ones(len(points))

    def add(self, place: int, value: float) -> None:
        """Take in the value at one of the points."""
        kernel = np.exp(-0.5 * ((self._points - self._points[place]) ** 2).sum(axis=1))
        known = np.array([row[place] for row in self._rows])
        # A point sampled again leaves a pivot of rounding errors; the jitter is what the exact one would be.
        pivot = math.sqrt(max(1.0 + JITTER - float(known @ known), JITTER))
        row = (kernel - (known @ np.array(self._rows) if self._rows else 0.0)) / pivot
        residual = (value - float(known @ np.array(self._residuals))) / pivot
        self._rows.append(row)
        self._residuals.append(residual)
        self.mean = self.mean + row * residual
        self.variance = np.maximum(self.variance - row**2, 0.0)


@dataclass(frozen=True, slots=True)
class TunedFunction:
    """What the tuner returns.

    Attributes:
        setting: the cheapest sampled one that meets the constraint as the tuner reckons it.
        predicted_s: its latency.
        timeout_s: wait after a call's first request, SLO - predicted latency, at least 0.
        meets_constraint: False where no sampled setting did; then it is the one that came closest.
        evaluations: settings that were sampled, failures included.
    """

    setting: FunctionSetting
    predicted_s: float
    timeout_s: float
    meets_constraint: bool
    evaluations: int


@dataclass(slots=True)
class JbmpTuner:
    """Tunes one function for one load.

    Args:
        grid: of settings.
        sample: calls the function at a setting.
        is_repaired: see the module.
    """

    grid: FunctionGrid
    sample: Callable[[FunctionSetting], FunctionSample]
    is_repaired: bool

    def tune(self, load: CallLoad) -> TunedFunction:
        """Return the setting for a load after 90 evaluations."""
        b, c, memory = (np.broadcast_to(axis, self.grid.shape).ravel() for axis in self.grid.axes)
        process = FixedProcess(np.column_stack([b / b.max(), c / c.max(), memory / memory.max()]))
        calls = memory * np.ceil(load.rate_rps * SLOT_S / (b * c))
        limit_s = load.bound_s - b * c / load.rate_rps / (1.0 if self.is_repaired else 1000.0)
        found: dict[int, float] = {}
        failed: set[int] = set()

        def evaluate(place: int) -> None:
            seen = self.sample(self.grid.setting(place))
            if seen.is_failed:
                failed.add(place)
                return
            found[place] = seen.mean_s
            process.add(place, seen.mean_s / LATENCY_UNIT_S)

        initial = self._initial_places()
        for place in initial:
            evaluate(place)
        for _ in range(STEPS):
            within = [calls[at] * s / LATENCY_UNIT_S for at, s in found.items() if s <= limit_s[at]]
            worth = _expected_improvement(process, calls, limit_s, min(within, default=math.inf))
            worth[list({*failed, *found} if self.is_repaired else failed)] = -math.inf
            evaluate(int(np.argmax(worth)))
        return self._choose(found, calls, limit_s, load, len(initial) + STEPS)

    def _initial_places(self) -> list[int]:
        sizes = np.unique(np.rint(np.linspace(1, self.grid.most_per_process, INITIAL_SIZES)).astype(int))
        memories = np.linspace(self.grid.memories_mb[0], self.grid.memories_mb[-1], INITIAL_MEMORIES)
        settings = (
            FunctionSetting(int(b), c, round(m))
            for b in sizes
            for c in range(1, self.grid.most_processes + 1)
            for m in memories
        )
        return list(dict.fromkeys(self.grid.place(setting) for setting in settings))

    def _choose(
        self,
        found: dict[int, float],
        calls: NDArray[np.float64],
        limit_s: NDArray[np.float64],
        load: CallLoad,
        evaluations: int,
    ) -> TunedFunction:
        within = [place for place, seconds in found.items() if seconds <= limit_s[place]]
        if within:
            best = min(within, key=lambda place: calls[place] * found[place])
        else:
            best = min(found, key=lambda place: found[place] - limit_s[place])
        timeout_s = max(0.0, load.bound_s - found[best])
        return TunedFunction(self.grid.setting(best), found[best], timeout_s, bool(within), evaluations)


def _expected_improvement(
    process: FixedProcess, calls: NDArray[np.float64], limit_s: NDArray[np.float64], best: float
) -> NDArray[np.float64]:
    """Return the expected improvement of cost at every point, times the soft factor of the objective, shape (n,).

    Without any setting inside the objective there is no cost to improve on, and the factor alone leads the search.
    """
    limit = limit_s / LATENCY_UNIT_S
    excess = (limit - process.mean) / np.where(limit == 0, 1e-12, np.abs(limit))
    factor = np.where((process.mean < limit) & (limit > 0), 1.0, np.exp(np.minimum(0.0, STEEPNESS * excess)))
    if math.isinf(best):
        return factor
    spread = np.maximum(calls * np.sqrt(process.variance), 1e-12)
    gain = best - calls * process.mean - MARGIN
    z = gain / spread
    return (gain * ndtr(z) + spread * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)) * factor
