"""The best setting where an evaluation is a simulation: Optuna proposes, the stationary quantile decides.

The counterpart of `performance_model/exact_optimum.py` for the other two server laws. It judges by the quantile over
all requests, as `predict` reports it; the loop plans for windows (`study.py`) and the two notions are never mixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.service_time import TokenServiceTimes
from controller.domain.slo import LatencySlo
from controller.optimizer.search_space import SearchSpace, search_space
from controller.optimizer.study import new_study
from controller.performance_model.finite_servers import simulate
from controller.performance_model.prediction import Prediction, predict_from_simulation

if TYPE_CHECKING:
    import optuna
    from numpy.typing import NDArray

    from controller.domain.prices import Prices
    from controller.domain.service_time import ServiceTimes
    from controller.domain.serving_config import InstanceShape, ServerLaw, ServingConfig
    from controller.optimizer.search_space import Bounds
    from controller.performance_model.exact_optimum import Budget

WORST_RATIO = 10.0
"""A quantity this many times its bound, or infinite, is all the same to the sampler."""
SAME_COST = 1e-3
"""Relative; one server that is always there costs the same whatever its setting, but for when its last batch ends."""
SCALE_KNOBS = ("min_scale", "max_scale", "target")


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedProblem:
    """What to optimise for and over; every setting meets the same arrivals and the same noise.

    Attributes:
        law: of the platform.
        arrivals_s: shape (n,).
        tokens: shape (n,), or None.
        service: seconds of a batch.
        present: gives the settings that are not searched, and the first one tried.
        shape: of an instance; its memory, and the CPU that memory buys, are those of a setting that has a memory.
        memories_mb: tried, ascending; with fewer than two the present setting's is kept.
        bounds: lowest and highest value by knob.
        prices: the cluster's are used.
        quantiles: to report; the objective's comes first.
        trials: settings tried.
        seed: of the sampler and of the noise.
    """

    law: ServerLaw
    arrivals_s: NDArray[np.float64]
    tokens: NDArray[np.int64] | None
    service: ServiceTimes
    present: ServingConfig
    shape: InstanceShape
    memories_mb: tuple[int, ...]
    bounds: Bounds
    prices: Prices
    quantiles: tuple[str, ...]
    trials: int
    seed: int


@dataclass(frozen=True, slots=True)
class SimulatedChoice:
    """A setting with what its simulation showed."""

    config: ServingConfig
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class SimulatedOptimum:
    """The best setting, or the closest one where none is feasible."""

    best: SimulatedChoice
    is_feasible: bool
    evaluated: int


def find_simulated_optimum(problem: SimulatedProblem, objective: LatencySlo | Budget) -> SimulatedOptimum:
    """Search by a seeded TPE sampler with the objective as a constraint, from warm starts on the grid."""
    space = _space(problem)
    known: dict[ServingConfig, Prediction] = {}
    study = new_study(problem.seed)
    for config in [problem.present, *space.one_at_a_time(problem.present)]:
        study.enqueue_trial(dict(space.places(config)), skip_if_exists=True)
    for _ in range(problem.trials):
        trial = study.ask()
        config = space.suggest(trial)
        if config not in known:
            known[config] = _simulate(problem, config)
        _tell(study, trial, known[config], objective)
    return _choose([SimulatedChoice(config, seen) for config, seen in known.items()], objective)


def _space(problem: SimulatedProblem) -> SearchSpace:
    """Return the knobs that the server law has and that can make a difference."""
    whole = search_space(problem.present, shape=problem.shape, workers=problem.present.workers, bounds=problem.bounds)
    idle = set(SCALE_KNOBS) if problem.law == "finite_work_conserving" else set[str]()
    idle |= {"batch_tokens"} if problem.tokens is None else set()
    values: dict[str, tuple[float, ...]] = {name: grid for name, grid in whole.values.items() if name not in idle}
    if len(problem.memories_mb) > 1:
        values["memory_mb"] = problem.memories_mb
    return SearchSpace(values, whole.fixed)


def _shape(problem: SimulatedProblem, memory_mb: int | None) -> InstanceShape:
    """Return what an instance of this memory is billed for: where memory buys CPU, as much as its workers can use."""
    if memory_mb is None:
        return problem.shape
    bought = problem.service.vcpu_per_mb if isinstance(problem.service, TokenServiceTimes) else None
    vcpu = problem.shape.vcpu if bought is None else min(problem.shape.vcpu, bought * memory_mb)
    return replace(problem.shape, memory_mb=memory_mb, vcpu=vcpu)


def _simulate(problem: SimulatedProblem, config: ServingConfig) -> Prediction:
    rng = np.random.default_rng(problem.seed)
    result = simulate(
        problem.law,
        problem.arrivals_s,
        problem.tokens,
        config=config,
        service=problem.service,
        rng=rng,
        shape=_shape(problem, config.memory_mb),
    )
    return predict_from_simulation(
        result,
        max_batch_size=config.max_batch_size,
        quantiles=problem.quantiles,
        prices=problem.prices,
        memory_mb=config.memory_mb,
    )


def _latency_s(prediction: Prediction) -> float:
    return next(iter(prediction.latency_quantiles_s.values()))


def _tell(study: optuna.Study, trial: optuna.Trial, seen: Prediction, objective: LatencySlo | Budget) -> None:
    """Report the logarithm of what is made small, and the constraint (at most 0 holds)."""
    if isinstance(objective, LatencySlo):
        small, ratio = seen.cost_per_request_usd, _latency_s(seen) / objective.bound_s
    else:
        small, ratio = _latency_s(seen), seen.cost_per_request_usd / objective.usd_per_request
    trial.set_constraint("objective", min(ratio, WORST_RATIO) - 1)
    study.tell(trial, math.log(min(small, 1e9) + 1e-12))


def _choose(choices: list[SimulatedChoice], objective: LatencySlo | Budget) -> SimulatedOptimum:
    if isinstance(objective, LatencySlo):
        feasible = [each for each in choices if _latency_s(each.prediction) <= objective.bound_s]
        best, closest = _cheapest, _fastest
    else:
        feasible = [each for each in choices if each.prediction.cost_per_request_usd <= objective.usd_per_request]
        best, closest = _fastest, _cheapest
    if feasible:
        return SimulatedOptimum(best(feasible), is_feasible=True, evaluated=len(choices))
    return SimulatedOptimum(closest(choices), is_feasible=False, evaluated=len(choices))


def _cheapest(choices: list[SimulatedChoice]) -> SimulatedChoice:
    """Return the fastest of those whose cost is the least within what a simulation can tell."""
    least = min(each.prediction.cost_per_request_usd for each in choices)
    return _fastest([each for each in choices if each.prediction.cost_per_request_usd <= least * (1 + SAME_COST)])


def _fastest(choices: list[SimulatedChoice]) -> SimulatedChoice:
    """Return the setting with the least quantile; of equals the cheapest, then the one with the smallest delay."""
    return min(
        choices,
        key=lambda each: (
            _latency_s(each.prediction),
            each.prediction.cost_per_request_usd,
            each.config.max_queue_delay_s,
        ),
    )
