"""The order of trials, what is kept of them, when a sweep ends, and how it goes on after a crash."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.sweeps.records import SweepFolder, TrialFigures, TrialRecord, best_of, read_records
from controller.sweeps.runner import (
    FormulaRunner,
    Outcome,
    TooManyFailuresError,
    planned_trials,
    run_sweep,
)
from controller.sweeps.sweep_document import sweep_from_document

DOCUMENT = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "Sweep",
    "metadata": {"name": "sizes"},
    "spec": {
        "parameters": [{"name": "maxBatchSize", "values": [1, 2, 4, 8, 16, 32]}],
        "strategy": "Grid",
        "workload": {"arrivals": {"kind": "poisson", "rate_rps": 5}, "duration": "2s"},
        "objective": {"slo": {"quantile": "0.95", "latency": "500ms"}},
    },
}


def figures(config):
    """The larger the batch the cheaper; above 16 it is too late."""
    p95_s = 0.02 * config.max_batch_size
    return TrialFigures(
        requests=10,
        p50_s=p95_s / 2,
        p95_s=p95_s,
        p99_s=p95_s,
        slo_quantile_s=p95_s,
        window_violation_ratio=0.0,
        cost_per_million_usd=10 / config.max_batch_size,
    )


def sweep(**spec):
    return sweep_from_document({**DOCUMENT, "spec": {**DOCUMENT["spec"], **spec}}, where="s:", base=Path())


def formula_runner():
    return FormulaRunner(figures, ServingConfig())


def folder(tmp_path, **identity):
    return SweepFolder(tmp_path / "out", {"document": {"a": 1}, "model": "fake", **identity})


def ignore(_record):
    pass


class PowerLostError(Exception):
    pass


class CrashingRunner:
    """Works for a while, then the process dies: the trial's folder is there, its record is not."""

    def __init__(self, good_trials):
        self.inner, self.left = formula_runner(), good_trials

    async def run(self, setting, folder):
        if self.left == 0:
            folder.mkdir(parents=True)
            (folder / "run.json").write_text('{"finished": false}')
            raise PowerLostError
        self.left -= 1
        return await self.inner.run(setting, folder)


class StubbornRunner:
    """Some settings come to nothing, however often they are tried."""

    def __init__(self, state, sizes=(1, 4, 16)):
        self.state, self.sizes, self.count = state, sizes, 0

    async def run(self, setting, folder):
        self.count += 1
        if setting["max_batch_size"] in self.sizes:
            return Outcome(self.state, "the load generator was late")
        return Outcome("Complete", figures=figures(ServingConfig(**setting)))


class BusyOnceRunner:
    """The machine is busy during the first run."""

    def __init__(self):
        self.inner = formula_runner()

    async def run(self, setting, folder):
        outcome = await self.inner.run(setting, folder)
        return replace(outcome, state="Invalid", why="late") if len(self.inner.asked) == 1 else outcome


async def test_a_grid_runs_whole_and_the_cheapest_setting_inside_the_objective_wins(tmp_path):
    told = []

    result = await run_sweep(sweep(), formula_runner(), folder(tmp_path), resume=False, tell=told.append)

    assert [each.parameters["max_batch_size"] for each in told] == [1, 2, 4, 8, 16, 32]
    assert result.best.parameters == {"max_batch_size": 16}
    assert result.ended == "all trials are done"
    assert json.loads((tmp_path / "out" / "sweep.json").read_text())["status"] == {
        "phase": "Complete", "trials": 6, "Complete": 6, "Failed": 0, "Invalid": 0,
    }  # fmt: skip


async def test_a_grid_stops_at_max_trials(tmp_path):
    result = await run_sweep(sweep(maxTrials=2), formula_runner(), folder(tmp_path), resume=False, tell=ignore)

    assert len(result.records) == 2
    assert planned_trials(sweep(maxTrials=2)) == 2
    assert planned_trials(sweep()) == 6


async def test_the_records_are_read_back_as_they_were_written(tmp_path):
    result = await run_sweep(sweep(), formula_runner(), folder(tmp_path), resume=False, tell=ignore)

    assert read_records(tmp_path / "out" / "trials.json") == result.records


@pytest.mark.parametrize("strategy", ["Grid", "Random", "Optuna"])
@pytest.mark.parametrize("finished", [0, 1, 4])
async def test_a_sweep_that_crashed_goes_on_as_if_nothing_had_happened(tmp_path, strategy, finished):
    wanted = sweep(strategy=strategy, maxTrials=6)
    whole = await run_sweep(wanted, formula_runner(), folder(tmp_path / "whole"), resume=False, tell=ignore)
    with pytest.raises(PowerLostError):
        await run_sweep(wanted, CrashingRunner(finished), folder(tmp_path), resume=False, tell=ignore)
    again = formula_runner()

    result = await run_sweep(wanted, again, folder(tmp_path), resume=True, tell=ignore)

    assert result == whole
    assert len(again.asked) == 6 - finished


async def test_a_finished_sweep_that_is_resumed_runs_nothing(tmp_path):
    await run_sweep(sweep(), formula_runner(), folder(tmp_path), resume=False, tell=ignore)
    again = formula_runner()

    result = await run_sweep(sweep(), again, folder(tmp_path), resume=True, tell=ignore)

    assert not again.asked
    assert len(result.records) == 6


async def test_a_folder_with_a_sweep_needs_resume(tmp_path):
    await run_sweep(sweep(), formula_runner(), folder(tmp_path), resume=False, tell=ignore)

    with pytest.raises(BadInputError, match="holds a sweep already; give another --out, or --resume"):
        await run_sweep(sweep(), formula_runner(), folder(tmp_path), resume=False, tell=ignore)


async def test_another_sweep_is_not_resumed(tmp_path):
    await run_sweep(sweep(), formula_runner(), folder(tmp_path), resume=False, tell=ignore)

    with pytest.raises(BadInputError, match="was started with another model"):
        await run_sweep(sweep(), formula_runner(), folder(tmp_path, model="demo"), resume=True, tell=ignore)


async def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")

    with pytest.raises(BadInputError, match="holds no sweep"):
        await run_sweep(sweep(), formula_runner(), folder(tmp_path), resume=True, tell=ignore)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("damage", ["{", "{}", '[{"number": 0}]', "[3]"])
async def test_damaged_records_are_named(tmp_path, damage):
    await run_sweep(sweep(), formula_runner(), folder(tmp_path), resume=False, tell=ignore)
    (tmp_path / "out" / "trials.json").write_text(damage)

    with pytest.raises(BadInputError, match=r"trials.json"):
        await run_sweep(sweep(), formula_runner(), folder(tmp_path), resume=True, tell=ignore)


@pytest.mark.parametrize("state", ["Failed", "Invalid"])
async def test_more_failures_than_allowed_end_the_sweep(tmp_path, state):
    with pytest.raises(TooManyFailuresError, match=r"2 of 3 trials .* 002: .*the load generator was late"):
        await run_sweep(sweep(maxFailedTrials=1), StubbornRunner(state), folder(tmp_path), resume=False, tell=ignore)

    status = json.loads((tmp_path / "out" / "sweep.json").read_text())["status"]
    assert (status["phase"], status[state]) == ("Failed", 2)


async def test_failures_inside_the_allowance_are_counted_and_the_rest_judged(tmp_path):
    result = await run_sweep(sweep(), StubbornRunner("Invalid"), folder(tmp_path), resume=False, tell=ignore)

    assert [each.state for each in result.records].count("Invalid") == 3
    assert result.best.parameters == {"max_batch_size": 8}


async def test_whoever_resumes_gets_the_allowance_anew(tmp_path):
    wanted = sweep(maxFailedTrials=1)
    with pytest.raises(TooManyFailuresError):
        await run_sweep(wanted, StubbornRunner("Failed"), folder(tmp_path), resume=False, tell=ignore)

    result = await run_sweep(wanted, StubbornRunner("Failed"), folder(tmp_path), resume=True, tell=ignore)

    assert [each.state for each in result.records].count("Failed") == 3


async def test_an_invalid_run_is_repeated_once(tmp_path):
    runner = BusyOnceRunner()

    result = await run_sweep(sweep(), runner, folder(tmp_path), resume=False, tell=ignore)

    assert [each.state for each in result.records] == ["Complete"] * 6
    assert len(runner.inner.asked) == 7


async def test_a_failed_run_is_not_repeated(tmp_path):
    runner = StubbornRunner("Failed")

    await run_sweep(sweep(), runner, folder(tmp_path), resume=False, tell=ignore)

    assert runner.count == 6


async def test_patience_ends_a_search_that_no_longer_gains(tmp_path):
    wanted = sweep(strategy="Random", maxTrials=6, patience=2)

    result = await run_sweep(wanted, formula_runner(), folder(tmp_path), resume=False, tell=ignore)

    assert len(result.records) == min(6, result.best.number + 1 + 2)


async def test_a_search_ends_when_every_setting_was_tried(tmp_path):
    wanted = sweep(strategy="Random", maxTrials=50)

    result = await run_sweep(wanted, formula_runner(), folder(tmp_path), resume=False, tell=ignore)

    assert (len(result.records), result.ended) == (6, "no further setting")


def test_a_trial_is_feasible_by_its_quantile_and_its_windows():
    slo = sweep().slo
    good = TrialRecord(number=0, parameters={}, state="Complete", why="", figures=figures(ServingConfig()))

    assert good.is_feasible(slo)
    assert not replace(good, figures=replace(good.figures, slo_quantile_s=0.6)).is_feasible(slo)
    assert not replace(good, figures=replace(good.figures, window_violation_ratio=0.06)).is_feasible(slo)
    assert not replace(good, state="Invalid").is_feasible(slo)
    assert best_of([], slo) is None


def test_an_infinite_latency_is_written_as_null_and_read_as_infinite(tmp_path):
    lost = TrialRecord(number=0, parameters={}, state="Complete", why="", figures=TrialFigures(p99_s=math.inf))
    SweepFolder(tmp_path, {}).write_records([lost])

    assert json.loads((tmp_path / "trials.json").read_text())[0]["p99_s"] is None
    assert math.isinf(read_records(tmp_path / "trials.json")[0].figures.p99_s)


def test_a_full_disk_at_the_start_leaves_a_folder_that_can_be_used_again(tmp_path, monkeypatch):
    whole = Path.write_text

    def full(path, content, **options):
        whole(path, content[:5], **options)
        raise OSError(28, "No space left on device")

    folder = SweepFolder(tmp_path / "out", {"model": "fake"})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(BadInputError, match=r"sweep.json: cannot be written \(No space left on device\)"):
            folder.open(resume=False)

    assert [path.name for path in folder.path.iterdir()] == ["trials"]
    assert folder.open(resume=False) == []
