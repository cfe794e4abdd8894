"""JBMP and ours online: the same traffic, the same function, one judge, and all that each of them pays."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.call_table import tabulate_function
from controller.baselines.fixed import Fixed
from controller.baselines.function_plan import as_timer, evaluation_usd
from controller.baselines.jbmp import Jbmp
from controller.baselines.jbmp_regret import OUR_CALLS
from controller.baselines.jbmp_surfaces import PROFILE_CALLS
from controller.baselines.jbmp_tuner import JbmpTuner
from controller.baselines.judge import FORGIVEN_S, Trial, judge
from controller.baselines.tidegate_function import TidegateFunction
from controller.domain.slo import LatencySlo
from controller.reproduce.jbmp_contest import DRIVER_LOAD, KEPT, RELOADING, TIDEGATE, draw_both, find_unbatched
from controller.reproduce.online_traffic import ONLINE_TRAFFIC, STEPS
from controller.reproduce.streams import Purpose, luck, stream
from controller.reproduce.traces import HOUR_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from controller.baselines.call_table import CallTable
    from controller.baselines.function_plan import FunctionPlan
    from controller.baselines.jbmp_surfaces import FunctionSurface, Network
    from controller.baselines.judge import Verdict
    from controller.baselines.protocol import Policy
    from controller.domain.function_grid import FunctionSetting
    from controller.domain.function_times import FunctionSample
    from controller.domain.prices import LambdaPrices
    from controller.reproduce.jbmp_contest import Effort
    from controller.reproduce.traces import Traffic

NAIVE, WARM = "unbatched, model loaded for each request", "unbatched, warm"
PUBLISHED = "JBMP as published, model loaded for each call"
DESIGNS = (NAIVE, WARM, PUBLISHED, RELOADING, KEPT, TIDEGATE)
LOADING = (NAIVE, PUBLISHED, RELOADING)
"""Those whose function loads its model for each call."""
SLO = LatencySlo(0.95, DRIVER_LOAD.bound_s)
NEAR = 2.0
"""A plan follows a step when it is for the new rate within this factor, which is nowhere near a tenth of it."""
BACK_BIN_S, BACK_BINS = 10.0, 60
"""After steps, p95 is looked at in bins of ten seconds, of all steps together, for ten minutes."""


@dataclass(slots=True)
class PaidSampling:
    """Calls a function to measure it, and keeps the bill.

    Args:
        surface: the function.
        prices: of a call.
        rng: noise of the calls.
        timed_calls: of each setting, after a cold one.
    """

    surface: FunctionSurface
    prices: LambdaPrices
    rng: np.random.Generator
    timed_calls: int = PROFILE_CALLS
    paid_usd: float = field(init=False, default=0.0)

    def __call__(self, setting: FunctionSetting) -> FunctionSample:
        """Return what the timed calls took."""
        sample = self.surface.sample(setting, self.rng, calls=self.timed_calls)
        self.paid_usd += evaluation_usd(sample, self.prices)
        return sample


@dataclass(frozen=True, slots=True)
class OnlineOutcome:
    """How one design did with one function under one traffic.

    Attributes:
        traffic: its name.
        network: family of the function.
        function: which of them, from 1.
        design: what served it.
        usd_per_million: of all calls: those of requests, of measuring settings and of warming copies.
        overhead_usd_per_million: of it, for measuring and warming.
        window_violation_ratio: share of windows that violate the objective.
        p95_s: latency.
        mean_batch_size: requests a call.
        changes: of the setting.
        followed_s: from each tenfold step to a plan for its rate, or to the end of the phase where none came.
        back_s: from a step until p95 of all steps is inside the objective for good; at most ten minutes. 0: never out.
    """

    traffic: str
    network: Network
    function: int
    design: str
    usd_per_million: float
    overhead_usd_per_million: float
    window_violation_ratio: float
    p95_s: float
    mean_batch_size: float
    changes: int
    followed_s: tuple[float, ...]
    back_s: float


@dataclass(frozen=True, slots=True, eq=False)
class OnlineBout:
    """One function under one traffic.

    Attributes:
        traffic: arrivals; the first hour is history.
        network: family of the function.
        function: which of them, from 1.
        loading: the function that loads its model for each call.
        warm: the same one, keeping it.
        prices: of a call.
        seed: of the reproduction.
        place: of the traffic and of the function, for streams of noise.
    """

    traffic: Traffic
    network: Network
    function: int
    loading: FunctionSurface
    warm: FunctionSurface
    prices: LambdaPrices
    seed: int
    place: tuple[int, int]

    def outcome(self, design: str) -> OnlineOutcome:
        """Return how a design does.

        Raises:
            NothingFeasibleError: nothing can serve the function in time.
        """
        surface = self.loading if design in LOADING else self.warm
        # Each design draws the same noise: who measures the same settings in the same order sees the same times.
        rng = stream(self.seed, Purpose.ONLINE_NOISE, *self.place)
        sampling = PaidSampling(surface, self.prices, rng, OUR_CALLS if design == TIDEGATE else PROFILE_CALLS)
        policy = self._policy(design, surface, sampling)
        calls = tabulate_function(surface.calls, self.prices)
        noise = luck(self.seed, Purpose.ONLINE_CALLS, *self.place)
        trial = Trial(self.traffic.arrival_s, HOUR_S, self.traffic.until_s, calls, SLO, noise)
        verdict = judge(policy, trial)
        plans = policy.plans if isinstance(policy, Jbmp | TidegateFunction) else []
        overhead_usd = (sampling.paid_usd + warming_cost_usd(plans, calls)) / trial.judged.size
        steps = tenfold_steps(self.traffic)
        return OnlineOutcome(
            traffic=self.traffic.name,
            network=self.network,
            function=self.function,
            design=design,
            usd_per_million=1e6 * (verdict.cost_per_request_usd + overhead_usd),
            overhead_usd_per_million=1e6 * overhead_usd,
            window_violation_ratio=verdict.window_violation_ratio,
            p95_s=verdict.quantile_s(SLO.quantile),
            mean_batch_size=verdict.mean_batch_size,
            changes=len(verdict.changes) - 1,
            followed_s=tuple(followed_s(plans, steps, self.traffic.until_s)) if plans else (),
            back_s=back_inside_s(trial, verdict, [at_s for at_s, _ in steps]),
        )

    def _policy(self, design: str, surface: FunctionSurface, sampling: PaidSampling) -> Policy:
        grid = surface.calls.grid
        if design in (NAIVE, WARM):
            setting, _ = find_unbatched(surface, DRIVER_LOAD, self.prices)
            return Fixed(as_timer(setting, 0.0))
        if design == TIDEGATE:
            rng = stream(self.seed, Purpose.ONLINE_SIMULATION, *self.place)
            return TidegateFunction(grid, sampling, SLO, self.prices, rng)
        is_repaired = design != PUBLISHED
        return Jbmp(JbmpTuner(grid, sampling, is_repaired).tune, SLO.bound_s, is_repaired)


def online_bouts(effort: Effort, seed: int, prices: LambdaPrices) -> Iterator[OnlineBout]:
    """Yield every function under every traffic."""
    numbers = range(effort.online_functions)
    functions: list[tuple[Network, int]] = [(network, each) for network in effort.online_networks for each in numbers]
    for at, (name, draw_traffic) in enumerate(ONLINE_TRAFFIC.items()):
        if name not in effort.online_traffic:
            continue
        traffic = draw_traffic(stream(seed, Purpose.ONLINE_TRAFFIC, at), effort.online_hours + 1)
        for place, (network, number) in enumerate(functions):
            surfaces = draw_both(network, partial(stream, seed, Purpose.ONLINE_FUNCTION, place))
            yield OnlineBout(traffic, network, number + 1, *surfaces, prices, seed, (at, place))


def warming_cost_usd(plans: Sequence[FunctionPlan], calls: CallTable) -> float:
    """Return what the dummy calls cost that warmed the copies of plans, each with one request."""
    made = [plan for plan in plans if plan.warming_calls]
    one_usd = (float(calls.usd[calls.row(plan.setting), 0]) for plan in made)
    # A copy without enough memory fails its dummy call, which is not priced.
    return sum(plan.warming_calls * usd for plan, usd in zip(made, one_usd, strict=True) if np.isfinite(usd))


def tenfold_steps(traffic: Traffic) -> list[tuple[float, float]]:
    """Return when the rate rose or fell tenfold in the judged part, and to what; nothing for other traffic."""
    if traffic.name != STEPS:
        return []
    rates = ((each.from_s, each.law) for each in traffic.stretches if each.from_s > HOUR_S)
    return [(from_s, law.rate_rps) for from_s, law in rates]


def followed_s(plans: Sequence[FunctionPlan], steps: Sequence[tuple[float, float]], until_s: float) -> Iterator[float]:
    """Yield how long it took from each step to a plan for about its rate, or to the end of its phase."""
    ends = [*(at_s for at_s, _ in steps), until_s][1:]
    for (at_s, rate_rps), end_s in zip(steps, ends, strict=True):
        near = (
            plan.from_s
            for plan in plans
            if at_s <= plan.from_s < end_s and rate_rps / NEAR <= plan.rate_rps <= rate_rps * NEAR
        )
        yield next(near, end_s) - at_s


def back_inside_s(trial: Trial, verdict: Verdict, steps_s: Sequence[float]) -> float:
    """Return how long after a step the p95 of all steps together is beyond the bound for the last time."""
    arrival_s, back_s = trial.judged, 0.0
    for place in range(BACK_BINS):
        edges = [(at_s + place * BACK_BIN_S, at_s + (place + 1) * BACK_BIN_S) for at_s in steps_s]
        seen = [verdict.latency_s[slice(*np.searchsorted(arrival_s, edge))] for edge in edges]
        latency_s = np.concatenate([*seen, np.zeros(0)])
        late = latency_s > trial.slo.bound_s + FORGIVEN_S
        if late.size and late.mean() > 1 - trial.slo.quantile:
            back_s = (place + 1) * BACK_BIN_S
    return back_s


def online_outcomes(
    effort: Effort, seed: int, prices: LambdaPrices, tell: Callable[[str], None]
) -> Iterator[OnlineOutcome]:
    """Yield every design with every function under every traffic."""
    for bout in online_bouts(effort, seed, prices):
        tell(f"online: {bout.traffic.name}")
        for design in DESIGNS:
            yield bout.outcome(design)
