"""Optuna's part of a sweep: the next setting, given the finished trials.

Ask and tell, with nothing kept between two trials but their records: the study is rebuilt from them, and the sampler's
seed is that of the sweep and the trial's number. So a sweep that was interrupted asks for the very settings it would
have asked for otherwise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from controller.domain.serving_config import ServingConfig
from controller.domain.slo import ALLOWED_VIOLATION_RATIO
from controller.sweeps.grid import MOST_DRAWS, is_possible, nearest
from controller.sweeps.parameters import Choices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.trial import FrozenTrial

    from controller.domain.slo import LatencySlo
    from controller.sweeps.parameters import Interval, Parameter, Setting
    from controller.sweeps.records import TrialRecord

RANDOM_TRIALS = 5
"""Trials drawn at random before the model is believed. Optuna's own default of 10 would be most of a tune of 12."""
WORST_CONSTRAINT = 10.0
"""A latency without bound counts as eleven times the bound: finite, so that two hopeless settings can be compared."""
FAILED_CONSTRAINT = 2.0
"""A run that broke off counts as infeasible, about as much as a latency of three times the bound."""


def next_setting(
    parameters: Sequence[Parameter],
    records: Sequence[TrialRecord],
    slo: LatencySlo,
    *,
    seed: int,
    pending: Sequence[Setting] = (),
) -> Setting | None:
    """Return the setting to try next: first the one nearest to the untuned default, then what Optuna asks for.

    Args:
        parameters: what is searched.
        records: the finished trials, oldest first.
        slo: the objective; a trial outside it is infeasible, among the others cost decides.
        seed: of the sweep.
        pending: settings of trials that run at the same time: they are taken, but nothing is known of them yet.

    Returns:
        A possible setting that was not tried, or None when Optuna proposes none any more.
    """
    if not records and not pending:
        untuned = ServingConfig().to_document()
        first = {each.setting: nearest(each.domain, untuned[each.setting] or 0) for each in parameters}
        if is_possible(first):
            return first
    study = _study(parameters, records, slo, [seed, len(records) + len(pending)])
    taken = [*(record.parameters for record in records), *pending]
    for _ in range(MOST_DRAWS):
        trial = study.ask(_distributions(parameters))
        setting = {each.setting: _value(each.domain, trial.params[each.setting]) for each in parameters}
        if setting not in taken and is_possible(setting):
            return setting
        # Told as failed it carries no value: a repeated setting must not weigh twice.
        study.tell(trial, state=TrialState.FAIL)
    return None


def _study(
    parameters: Sequence[Parameter], records: Sequence[TrialRecord], slo: LatencySlo, seeds: list[int]
) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    drawn = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=RANDOM_TRIALS)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    for record in records:
        # An invalid run says something about the load generator and nothing about the setting.
        if record.state != "Invalid":
            study.add_trial(_told(parameters, record, slo))
    return study


def _told(parameters: Sequence[Parameter], record: TrialRecord, slo: LatencySlo) -> FrozenTrial:
    cost = record.figures.cost_per_million_usd
    return create_trial(
        params={each.setting: _coordinate(each.domain, record.parameters[each.setting]) for each in parameters},
        distributions=_distributions(parameters),
        value=math.log(cost) if 0 < cost < math.inf else 0.0,
        constraints=constraints_of(record, slo),
    )


def constraints_of(record: TrialRecord, slo: LatencySlo) -> dict[str, float]:
    """Return the constraints of a trial, each met when it is at most 0: how far, in shares of its bound, it is off."""
    if record.state == "Failed":
        return {"ran": FAILED_CONSTRAINT}
    late = (record.figures.slo_quantile_s - slo.bound_s) / slo.bound_s
    windows = (record.figures.window_violation_ratio - ALLOWED_VIOLATION_RATIO) / ALLOWED_VIOLATION_RATIO
    return {"latency": min(late, WORST_CONSTRAINT), "windows": min(windows, WORST_CONSTRAINT)}


def _distributions(parameters: Sequence[Parameter]) -> dict[str, BaseDistribution]:
    return {each.setting: _distribution(each.domain) for each in parameters}


def _distribution(domain: Choices | Interval) -> BaseDistribution:
    """A list becomes the index into it: the values are ordered, and an index is on the grid by construction."""
    if isinstance(domain, Choices):
        return IntDistribution(0, len(domain.values) - 1)
    if domain.is_whole:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.is_log)
    return FloatDistribution(domain.low, domain.high, log=domain.is_log)


def _coordinate(domain: Choices | Interval, value: float) -> float:
    return domain.values.index(value) if isinstance(domain, Choices) else value


def _value(domain: Choices | Interval, coordinate: float) -> int | float:
    if isinstance(domain, Choices):
        return domain.values[int(coordinate)]
    return int(coordinate) if domain.is_whole else min(max(round(coordinate, 6), domain.low), domain.high)
