"""Runs the trials of a sweep one after another, and decides when it is over.

Each trial starts from the same state, a platform that was just started with the trial's setting: what an earlier trial
left behind (warm instances, a queue, an autoscaler in panic) would otherwise be counted for the next one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

from controller.errors import BadInputError, TidegateError
from controller.sweeps.grid import grid_settings, random_setting
from controller.sweeps.records import SweepFolder, TrialFigures, TrialRecord, TrialState, best_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from controller.domain.serving_config import ServingConfig
    from controller.sweeps.parameters import Setting
    from controller.sweeps.sweep_document import Sweep

EndReason = Literal["all trials are done", "no better setting", "no further setting"]


class TooManyFailuresError(TidegateError):
    """More trials failed or were invalid than the document allows."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run came to."""

    state: TrialState
    why: str = ""
    figures: TrialFigures = field(default_factory=TrialFigures)


class TrialRunner(Protocol):
    """Runs one setting under the sweep's workload and leaves the run's files in a folder."""

    async def run(self, setting: Setting, folder: Path) -> Outcome: ...  # noqa: D102  the class says it


@dataclass(frozen=True, slots=True)
class Result:
    """A sweep that came to its end."""

    records: list[TrialRecord]
    best: TrialRecord | None
    ended: EndReason


def planned_trials(sweep: Sweep) -> int:
    """Return how many trials the sweep runs at most.

    Raises:
        BadInputError: a grid that cannot be laid out.
    """
    if sweep.strategy != "Grid":
        return sweep.max_trials or 0
    settings = len(grid_settings(sweep.parameters))
    return min(settings, sweep.max_trials or settings)


async def run_sweep(
    sweep: Sweep, runner: TrialRunner, folder: SweepFolder, *, resume: bool, tell: Callable[[TrialRecord], None]
) -> Result:
    """Run what is left of a sweep.

    Args:
        sweep: what to run.
        runner: runs one trial.
        folder: where records and runs are kept.
        resume: whether finished trials in the folder are taken over.
        tell: called with every record, those that are read back included.

    Raises:
        BadInputError: the folder or the document cannot be used, or the first trial found its input unusable.
        TooManyFailuresError: more trials than allowed came to nothing.
    """
    planned = planned_trials(sweep)
    records = folder.open(resume=resume)
    resumed = len(records)
    for record in records:
        tell(record)
    ended: EndReason = "all trials are done"
    while len(records) < planned:
        if is_out_of_patience(sweep, records):
            ended = "no better setting"
            break
        setting = propose(sweep, records)
        if setting is None:
            ended = "no further setting"
            break
        number = len(records)
        outcome = await _run_trial(runner, setting, folder, number)
        records.append(
            TrialRecord(
                number=number, parameters=setting, state=outcome.state, why=outcome.why, figures=outcome.figures
            )
        )
        folder.write_records(records)
        folder.write_status("Running", records)
        tell(records[-1])
        # Whoever resumes a sweep has seen why it stopped: only what fails from then on counts.
        _check_failures(sweep, records[resumed:], folder, records)
    folder.write_status("Complete", records)
    return Result(records, best_of(records, sweep.slo), ended)


def propose(sweep: Sweep, records: list[TrialRecord], pending: Sequence[Setting] = ()) -> Setting | None:
    """Return the setting of the next trial; a function of the document and the trials only.

    Args:
        sweep: what is run.
        records: the finished trials.
        pending: settings of trials that run at the same time.
    """
    taken = [*(record.parameters for record in records), *pending]
    match sweep.strategy:
        case "Grid":
            return next((each for each in grid_settings(sweep.parameters) if each not in taken), None)
        case "Random":
            return random_setting(sweep.parameters, taken, seed=sweep.workload.seed)
        case "Optuna":
            # Imported here: a grid needs no Optuna, whose import takes half a second.
            from controller.sweeps.study import next_setting  # noqa: PLC0415

            return next_setting(sweep.parameters, records, sweep.slo, seed=sweep.workload.seed, pending=pending)


def is_out_of_patience(sweep: Sweep, records: list[TrialRecord]) -> bool:
    """Return whether the best trial is too long ago; while nothing was feasible the search goes on."""
    best = best_of(records, sweep.slo)
    return sweep.patience is not None and best is not None and len(records) - 1 - best.number >= sweep.patience


async def _run_trial(runner: TrialRunner, setting: Setting, folder: SweepFolder, number: int) -> Outcome:
    """Run a trial; an invalid one once more, since the machine was at fault and not the setting."""
    outcome = await runner.run(setting, folder.trial(number))
    if outcome.state != "Invalid":
        return outcome
    again = await runner.run(setting, folder.trial(number))
    return replace(again, why=f"twice: {again.why}") if again.state == "Invalid" else again


def _check_failures(sweep: Sweep, counted: list[TrialRecord], folder: SweepFolder, records: list[TrialRecord]) -> None:
    broken = [record for record in counted if record.state != "Complete"]
    if len(broken) > sweep.max_failed_trials:
        folder.write_status("Failed", records)
        last = broken[-1]
        raise TooManyFailuresError(
            f"{len(broken)} of {len(counted)} trials failed or were invalid, more than maxFailedTrials "
            f"{sweep.max_failed_trials}; the last one, {last.number:03}: {last.why}; "
            f"the runs lie in {folder.path}; remove the cause and go on with --resume"
        )


@dataclass(slots=True)
class FormulaRunner:
    """A trial without a service: figures from a formula. Tests and rehearsals of a sweep document use it."""

    formula: Callable[[ServingConfig], TrialFigures]
    base: ServingConfig
    asked: list[Setting] = field(default_factory=list["Setting"])

    async def run(self, setting: Setting, folder: Path) -> Outcome:
        """Apply the formula to the base setting with `setting` put over it."""
        self.asked.append(setting)
        await asyncio.to_thread(folder.mkdir, parents=True)
        try:
            config = type(self.base).from_document({**self.base.to_document(), **setting}, where="setting")
        except BadInputError as error:
            return Outcome("Failed", str(error))
        return Outcome("Complete", figures=self.formula(config))
