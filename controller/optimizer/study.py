"""OPTIMISE by simulation: Optuna proposes settings, the simulator judges them, the choice among them is a plain rule.

`optimize_by_simulation` is a function of one picklable value, so it runs as well in the caller as in the loop's child
process. Same problem, same seed, same answer, as long as the number of trials ends the search and not its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import optuna

from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.optimizer.objective import Evaluation, Scenario, World, evaluate, served_latency_s

if TYPE_CHECKING:
    from controller.optimizer.search_space import SearchSpace

Judge = Callable[[ServingConfig], Evaluation]
BURST_EVERY_S = 60.0
"""How often a burst is counted on when its cost is added to that of steady traffic."""
BURST_MISSED_ALLOWED = 0.05
"""A burst served this badly is as good as one served well."""
WORTH_OF_BURST = 1.0
"""For a burst that never came yet, ten points more of it inside the objective are worth ten percent more money. Bursts
that did come are part of the recent past, where the objective is a constraint and not a trade."""
DEAREST_HELD = 2.0
"""Instances kept for traffic to come (min_scale) may make a service so many times as dear, even where that would meet
the objective; who wants more sets a bound."""
SLOWEST = 1.5
"""A setting may take so many times the mean latency of the fastest, where all meet the objective."""
SAME_EXCESS = 0.05
"""Among settings that all miss the objective, those within this share of the least miss are alike."""
SAME_WORTH = 0.01
SAME_LATENCY = 0.05
"""Differences below these are none."""
IN_VAIN = 6
"""So many trials without a better setting end a search: its CPU time is paid like that of the service."""
PATIENCE = 1.5
"""Warm starts may take so many times the budget: without them a search knows its neighbourhood only by chance."""
LEAST_TRIALS = 8
"""Trials that are made whatever the time."""
STARTUP_TRIALS = 10
"""Trials, warm starts included, before the sampler begins to model."""


@dataclass(frozen=True, slots=True)
class Problem:
    """All that a search needs."""

    space: SearchSpace
    scenarios: tuple[Scenario, ...]
    world: World
    present: ServingConfig
    starts: tuple[ServingConfig, ...] = ()
    """Warm starts after the present setting: the untuned default, the last best."""
    calibration: Scenario | None = None
    """Arrivals that the present setting has just served; simulated to see how well the simulation does."""
    trials: int = 48
    budget_s: float = 3.0


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        present: what is predicted of the present setting.
        best: of the setting to prefer; equal to `present` where no other is better.
        runners_up: other settings that would do, the next best first.
        evaluated: how many settings were simulated.
        seconds: wall time.
        calibration_s: simulated latency of the slow stretches of what was just served; None if not asked for.
        cpu_s: CPU time of the search, which belongs to the cost of tuning.
    """

    present: Evaluation
    best: Evaluation
    runners_up: tuple[Evaluation, ...]
    evaluated: int
    seconds: float
    calibration_s: float | None = None
    cpu_s: float = field(default=0.0, compare=False)


def optimize_by_simulation(problem: Problem) -> SearchResult:
    """Search the space of a problem, the neighbours of the present setting first."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    known: dict[ServingConfig, Evaluation] = {}

    def judge(config: ServingConfig) -> Evaluation:
        if config not in known:
            known[config] = evaluate(config, problem.scenarios, problem.world)
        return known[config]

    present = judge(problem.present)
    study = new_study(problem.world.seed)
    starts = [problem.present, *problem.starts, *problem.space.one_at_a_time(problem.present)]
    for config in starts:
        study.enqueue_trial(dict(problem.space.places(config)), skip_if_exists=True)
    waiting = len(study.get_trials(deepcopy=False))
    leader, leads_since = present, 0
    for number in range(max(problem.trials, waiting)):
        patience = PATIENCE if number < waiting else 1.0
        if number >= LEAST_TRIALS and time.perf_counter() - began_s > patience * problem.budget_s:
            break
        if number >= waiting and number - leads_since >= IN_VAIN:
            break
        trial = study.ask()
        evaluation = judge(problem.space.suggest(trial))
        tell(study, trial, evaluation)
        if choose([leader, evaluation], leader) is not leader:
            leader, leads_since = evaluation, number
    best = _without_idle_changes(choose(known.values(), present), present, judge)
    others = [each for each in ranked(known.values()) if each.config not in (best.config, problem.present)]
    served = problem.calibration
    served_s = None if served is None else served_latency_s(problem.present, served, problem.world)
    seconds, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return SearchResult(present, best, tuple(others[:3]), len(known), seconds, served_s, cpu_s)


def new_study(seed: int) -> optuna.Study:
    """Return an empty study with a seeded TPE sampler that minimises cost under constraints."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    return optuna.create_study(direction="minimize", sampler=sampler)


def tell(study: optuna.Study, trial: optuna.Trial, evaluation: Evaluation) -> None:
    """Report an evaluation: the logarithm of its worth, and the constraint, which holds when at most 0."""
    trial.set_constraint("latency", evaluation.excess)
    study.tell(trial, float(np.log(worth(evaluation) + 1e-12)))


def worth(evaluation: Evaluation) -> float:
    """Return USD a second: what a setting costs, a burst now and then included, and what it leaves undone in one."""
    usd_per_s = evaluation.cost_per_s_usd + evaluation.burst_cost_usd / BURST_EVERY_S
    return usd_per_s * (1 + WORTH_OF_BURST * max(0.0, evaluation.burst_missed - BURST_MISSED_ALLOWED))


def finalists(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return the settings that nothing tells apart: the objective first, then money, then latency."""
    left = _without_dear_holding(list(evaluations))
    feasible = [each for each in left if each.is_feasible]
    if feasible:
        fastest = min(each.mean_s for each in feasible)
        left = [each for each in feasible if each.mean_s <= SLOWEST * fastest]
    else:
        least = min(each.excess for each in left)
        left = [each for each in left if each.excess <= least + SAME_EXCESS * (1 + least)]
    cheap = min(worth(each) for each in left)
    left = [each for each in left if worth(each) <= cheap * (1 + SAME_WORTH)]
    fast = min(each.mean_s for each in left)
    return [each for each in left if each.mean_s <= fast * (1 + SAME_LATENCY)]


def _without_dear_holding(evaluations: list[Evaluation]) -> list[Evaluation]:
    least = min(each.config.min_scale for each in evaluations)
    free = [each for each in evaluations if each.config.min_scale == least]
    base = min(free, key=lambda each: (max(0.0, each.excess), each.cost_per_s_usd))
    most = DEAREST_HELD * base.cost_per_s_usd
    return [each for each in evaluations if each.config.min_scale == least or each.cost_per_s_usd <= most]


def choose(evaluations: Iterable[Evaluation], present: Evaluation) -> Evaluation:
    """Return the setting to prefer; the present one if it is among the finalists."""
    best = finalists(evaluations)
    return present if present in best else min(best, key=lambda each: each.mean_s)


def ranked(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return the settings from best to worst by the same order of concerns, without tolerances."""
    return sorted(evaluations, key=lambda each: (max(0.0, round(each.excess, 2)), worth(each), each.mean_s))


def is_no_worse(evaluation: Evaluation, other: Evaluation) -> bool:
    """Whether a setting is as good as another in every concern, within the tolerances."""
    allowed = 0.0 if other.is_feasible else other.excess + SAME_EXCESS * (1 + other.excess)
    return (
        evaluation.excess <= allowed
        and worth(evaluation) <= worth(other) * (1 + SAME_WORTH)
        and evaluation.mean_s <= other.mean_s * (1 + SAME_LATENCY)
    )


def _without_idle_changes(best: Evaluation, present: Evaluation, judge: Judge) -> Evaluation:
    """Take back every change of a knob that buys nothing, so that what is applied is what matters."""
    kept = best
    for name, (before, _) in best.config.changes_from(present.config).items():
        try:
            simpler = judge(replace(kept.config, **{name: before}))
        except BadInputError:  # the old min_scale above the new max_scale: this change is needed
            continue
        if is_no_worse(simpler, best):
            kept = simpler
    return present if is_no_worse(present, best) else kept
