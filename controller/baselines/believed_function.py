"""What ours believes of a batching function after twelve measured settings, and the cheapest of them for any rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from controller.baselines.call_table import tabulate_function
from controller.baselines.function_plan import as_timer
from controller.baselines.judge import FORGIVEN_S
from controller.baselines.replay import replay
from controller.baselines.tidegate import LADDER, PLANNED_RATIO, SIMULATED_ARRIVALS, planning_quantile
from controller.domain.slo import window_violation_ratio
from controller.optimizer.function_prospect import CAUTION, RESERVES
from controller.optimizer.measured_search import MeasuredSearch
from controller.performance_model.poisson_calls import CallLoad, CallTimes, PricedCalls
from controller.profiling.function_law import fit_function

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.function_grid import FunctionGrid, FunctionSetting
    from controller.domain.function_times import FunctionBelief, FunctionSample
    from controller.domain.prices import LambdaPrices
    from controller.domain.slo import LatencySlo
    from controller.optimizer.measured_search import Measure
    from controller.performance_model.prediction import TimerSetting

NOISE_POINTS, TAIL = 20, 8.0
"""Of the smooth law of noise: factors, and degrees of freedom of its logarithm (Student's t)."""
LOOKED_AT = 512
"""Settings, from the cheapest up, whose lateness is worked out for each reserve."""
RATE_STEP = 1.05
"""Ratio of neighbouring rates for which settings are looked up: the cost of a setting hardly changes between them."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What an environment of a function is made with."""

    processes: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting and what a request is believed to cost under it."""

    setting: TimerSetting
    cost_usd: float

    @property
    def copy(self) -> Copy:
        """What its environments are made with."""
        return copy_of(self.setting)


def copy_of(setting: TimerSetting) -> Copy:
    """Return what the environments of a setting are made with."""
    return Copy(setting.processes, setting.memory_mb)


def measure_function(grid: FunctionGrid, measure: Measure, load: CallLoad, prices: LambdaPrices) -> FunctionBelief:
    """Return what is believed of a function after the measurements that a search for one load makes.

    Raises:
        NothingFeasibleError: no setting is predicted to meet the objective.
        BadInputError: every call failed.
    """
    samples: list[FunctionSample] = []

    def record(setting: FunctionSetting) -> FunctionSample:
        samples.append(measure(setting))
        return samples[-1]

    MeasuredSearch(grid, record, fit_function, prices).run(load)
    return fit_function(samples, grid)


class BelievedFunction:
    """The cheapest setting for any rate, by what is believed; remembered by rate.

    Args:
        grid: of settings.
        belief: of all of them; calls are taken to be slower by the search's caution.
        slo: the objective.
        prices: of a call.
        rng: for the simulated arrivals and calls, drawn once.
    """

    def __init__(
        self,
        grid: FunctionGrid,
        belief: FunctionBelief,
        slo: LatencySlo,
        prices: LambdaPrices,
        rng: np.random.Generator,
    ) -> None:
        seconds = np.where(belief.fits, belief.seconds * (1 + CAUTION * belief.relative_error), np.inf)
        self._noises = (belief.noise, smooth_noise(float(belief.noise.std())))
        self._grid, self._slo = grid, slo
        self._priced = PricedCalls(grid, seconds, prices)
        self._tables = [tabulate_function(CallTimes(grid, seconds, noise), prices) for noise in self._noises]
        self._unit = np.cumsum(rng.exponential(size=SIMULATED_ARRIVALS))
        self._luck = int(rng.integers(2**63))
        self._found: dict[tuple[float, Copy | None], Choice | None] = {}

    def cheapest(self, rate_rps: float, copy: Copy | None = None) -> Choice | None:
        """Return the cheapest setting that keeps the windows at about a rate; None where nothing is in time.

        Args:
            rate_rps: of Poisson arrivals.
            copy: that is stayed with; None for any.
        """
        key = (RATE_STEP ** round(math.log(rate_rps) / math.log(RATE_STEP)), copy)
        if key not in self._found:
            self._found[key] = self._search(*key)
        return self._found[key]

    def start_usd(self, setting: TimerSetting) -> float:
        """Return the price of a call with one request, such as warms an environment."""
        return float(self._tables[0].usd[self._tables[0].row(setting), 0])

    def _search(self, rate_rps: float, copy: Copy | None) -> Choice | None:
        load, is_wanted = CallLoad(rate_rps, self._slo.bound_s), self._is_of(copy)
        best: Choice | None = None
        for step in LADDER:
            found = self._cheapest_on_time(load, 1 - planning_quantile(step, self._slo.quantile), is_wanted)
            if found is None:
                break
            best = found
            if self._keeps_windows(best.setting, rate_rps):
                break
        return best

    def _cheapest_on_time(self, load: CallLoad, late_allowed: float, is_wanted: NDArray[np.bool_]) -> Choice | None:
        """Return the cheapest setting whose share of late requests is allowed under both laws of noise."""
        best: Choice | None = None
        for reserve in RESERVES:
            delay_s = np.maximum(0.0, load.bound_s - reserve * self._priced.full_s)
            timed = self._priced.under(load, delay_s)
            cost_usd = np.where(is_wanted, timed.cost_usd, np.inf)
            places = np.argsort(cost_usd, kind="stable")[:LOOKED_AT]
            late = np.max([timed.late_share(noise, places) for noise in self._noises], axis=0)
            on_time = places[(late <= late_allowed) & np.isfinite(cost_usd[places])]
            if on_time.size and (best is None or cost_usd[on_time[0]] < best.cost_usd):
                place = int(on_time[0])
                setting = as_timer(self._grid.setting(place), float(delay_s[place]))
                best = Choice(setting, float(cost_usd[place]))
        return best

    def _keeps_windows(self, setting: TimerSetting, rate_rps: float) -> bool:
        """Say whether a simulation at the rate keeps the windows under both laws of noise."""
        arrival_s = self._unit / rate_rps
        batches = replay(arrival_s, [(0.0, setting)])
        for table in self._tables:
            rows = np.full(batches.size.size, table.row(setting))
            made = table.make(rows, batches.size, np.random.default_rng(self._luck))
            late = batches.latency_s(arrival_s, made.seconds) > self._slo.bound_s + FORGIVEN_S
            if window_violation_ratio(late, self._slo.quantile) > PLANNED_RATIO:
                return False
        return True

    def _is_of(self, copy: Copy | None) -> NDArray[np.bool_]:
        """Return which places of the grid a copy serves; all of them for None."""
        is_wanted = np.full(self._grid.shape, copy is None, dtype=np.bool_)
        if copy is not None:
            is_wanted[:, copy.processes - 1, self._grid.memories_mb.index(copy.memory_mb)] = True
        return is_wanted.ravel()


def smooth_noise(cv: float) -> NDArray[np.float64]:
    """Return equally likely factors of mean 1 with heavy tails: calls that were seen show no tail of their own."""
    factors = np.exp(cv * stdtrit(TAIL, (np.arange(NOISE_POINTS) + 0.5) / NOISE_POINTS))
    return factors / factors.mean()
