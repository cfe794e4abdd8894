"""How far from the true optimum tuners end up on functions they have not seen (check B1 of the digest).

One rule judges all: a setting is deployed with the timeout its tuner gave it; its cost is what a request then costs
under Poisson arrivals, by the calls that really leave and not by full ones; the objective is broken where more than
5 % of requests take longer than the bound. The optimum is the cheapest setting that keeps it, the timeout being what
the bound leaves of the true latency or of a multiple of it, whichever is cheapest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from controller.baselines.jbmp_surfaces import PROFILE_CALLS
from controller.baselines.jbmp_tuner import JbmpTuner
from controller.errors import NothingFeasibleError
from controller.optimizer.function_prospect import LATE_ALLOWED
from controller.optimizer.measured_search import MeasuredSearch
from controller.performance_model.cheapest_calls import CheapestCalls, Punctuality, find_cheapest
from controller.performance_model.poisson_calls import CallLoad, PricedCalls
from controller.profiling.function_law import fit_function

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.baselines.jbmp_surfaces import FunctionSurface
    from controller.domain.function_grid import FunctionSetting
    from controller.domain.function_times import FunctionSample
    from controller.domain.prices import LambdaPrices

Tuner = Literal["ours", "jbmp repaired", "jbmp as published"]
LOADS = tuple(CallLoad(rate_rps, bound_s) for rate_rps in (2.0, 5.0, 10.0, 20.0, 50.0) for bound_s in (1.0, 2.0))
"""The ten pairs of rate and objective."""
OUR_CALLS = 14
"""Calls that ours times at one setting: 168 in all, of JBMP's 180; each has another one before it that is dropped."""
RESERVES = tuple(np.linspace(1.0, 2.0, 11).tolist())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one tuner's choice.

    Attributes:
        tuner: whose.
        setting: chosen; None where the tuner found nothing that it would deploy.
        cost_usd: of a request, by the calls that really leave; infinite where some of them fail.
        regret: cost over that of the optimum, less 1; below 0 where breaking the objective saved money.
        late_share: of requests beyond the bound.
        evaluations: settings that were measured.
        calls: that were timed at them.
    """

    tuner: Tuner
    setting: FunctionSetting | None
    cost_usd: float
    regret: float
    late_share: float
    evaluations: int
    calls: int

    @property
    def is_broken(self) -> bool:
        """Whether the objective is."""
        return self.late_share > LATE_ALLOWED


@dataclass(frozen=True, slots=True)
class Contest:
    """One function under one load.

    Attributes:
        surface: the function.
        load: Poisson arrivals and the bound.
        prices: of a call.
        seed: of the noise of what tuners measure.
    """

    surface: FunctionSurface
    load: CallLoad
    prices: LambdaPrices
    seed: int

    def find_optimum(self) -> CheapestCalls:
        """Return the true optimum.

        Raises:
            NothingFeasibleError: no setting keeps the objective, so there is nothing to compare.
        """
        calls = self.surface.calls
        table = PricedCalls(calls.grid, calls.seconds, self.prices)
        best = find_cheapest(table, self.load, Punctuality(LATE_ALLOWED, calls.noise, RESERVES))
        if best is None:
            raise NothingFeasibleError(f"{self.surface.name}: nothing answers 95 % within {self.load.bound_s:g} s")
        return best

    def judge(self, tuners: Sequence[Tuner]) -> list[Verdict]:
        """Return what becomes of each tuner's choice.

        Raises:
            NothingFeasibleError: see `find_optimum`.
        """
        optimum_usd = self.find_optimum().cost_usd
        return [self._judge(tuner, optimum_usd) for tuner in tuners]

    def _judge(self, tuner: Tuner, optimum_usd: float) -> Verdict:
        calls, rng = self.surface.calls, np.random.default_rng(self.seed)
        timed = OUR_CALLS if tuner == "ours" else PROFILE_CALLS

        def sample(setting: FunctionSetting) -> FunctionSample:
            return self.surface.sample(setting, rng, calls=timed)

        if tuner == "ours":
            try:
                found = MeasuredSearch(calls.grid, sample, fit_function, self.prices).run(self.load)
            except NothingFeasibleError:
                return Verdict(tuner, None, np.inf, np.inf, 1.0, 0, 0)
            setting, timeout_s, evaluations = found.setting, found.calls.timeout_s, found.evaluations
        else:
            tuned = JbmpTuner(calls.grid, sample, is_repaired=tuner == "jbmp repaired").tune(self.load)
            setting, timeout_s, evaluations = tuned.setting, tuned.timeout_s, tuned.evaluations
        place = np.array([calls.grid.place(setting)])
        delay_s = np.full(calls.seconds.size, timeout_s)
        deployed = PricedCalls(calls.grid, calls.seconds, self.prices).under(self.load, delay_s)
        cost_usd = float(deployed.cost_usd[place][0])
        late_share = float(deployed.late_share(calls.noise, place)[0])
        regret = cost_usd / optimum_usd - 1
        return Verdict(tuner, setting, cost_usd, regret, late_share, evaluations, evaluations * timed)
