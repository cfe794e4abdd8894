"""Which settings mattered in a sweep: Optuna's PED-ANOVA over its complete trials."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import optuna
from optuna.distributions import FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from controller.reports.sweep_trials import Trial

FEWEST_TRIALS = 8
"""With fewer trials the shares say more about chance than about the settings."""


def importance(trials: Sequence[Trial], value: Callable[[Trial], float]) -> dict[str, float]:
    """Return for each varied setting its share in what separates the best tenth of trials from all, by falling share.

    Watanabe, Bansal and Hutter 2023 (PED-ANOVA). Empty with fewer than 8 complete trials, or with one varied setting.
    """
    known = [trial for trial in trials if trial.is_complete and math.isfinite(value(trial))]
    ranges = {name: [trial.parameters.get(name, math.nan) for trial in known] for name in _names(known)}
    varied = {
        name: FloatDistribution(min(seen), max(seen))
        for name, seen in ranges.items()
        if all(map(math.isfinite, seen)) and min(seen) < max(seen)
    }
    if len(known) < FEWEST_TRIALS or len(varied) < 2:
        return {}
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
        for trial in known:
            parameters = {name: trial.parameters[name] for name in varied}
            study.add_trial(optuna.create_trial(params=parameters, distributions={**varied}, value=value(trial)))
        return {name: float(share) for name, share in _importances(study).items()}
    finally:
        optuna.logging.set_verbosity(before)


def _importances(study: optuna.Study) -> dict[str, float]:
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def _names(trials: Sequence[Trial]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.parameters))
