"""`tidegate tune` and `tidegate sweep`: flags, what is printed, and exit codes; the trials come from a formula."""

import argparse
import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from controller import cli
from controller.commands import sweep as sweep_command
from controller.commands import trials, tune
from controller.commands.trials_table import one_line, trials_table
from controller.domain.quantities import decimal, decimal_text, duration_s, duration_text
from controller.domain.serving_config import ServingConfig
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.sweeps.records import TrialFigures, TrialRecord
from controller.sweeps.runner import FormulaRunner, Outcome, TooManyFailuresError

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SLO = LatencySlo(0.95, 0.25)


def figures(config):
    """A larger target is cheaper and slower."""
    p95_s = 0.02 + 0.004 * config.target / 4
    return TrialFigures(
        requests=200,
        p50_s=p95_s / 2,
        p95_s=p95_s,
        p99_s=2 * p95_s,
        slo_quantile_s=p95_s,
        window_violation_ratio=0.0,
        cost_per_million_usd=0.5 + 20 / config.target,
    )


def record(number, *, state="Complete", why="", **changes):
    config = ServingConfig(**changes)
    return TrialRecord(number=number, parameters=changes, state=state, why=why, figures=figures(config))


def flags(tmp_path, *more):
    parser = argparse.ArgumentParser()
    tune.add_arguments(parser)
    given = ("--arrivals", str(EXAMPLES / "bursts.json"), "--slo-quantile", "0.95", "--slo-s", "0.25")
    return parser.parse_args([*given, "--out", str(tmp_path / "out"), *more])


def campaign(tmp_path, *more):
    arguments = flags(tmp_path, *more)
    return trials.Campaign(tune.tune_sweep(arguments), arguments.out, "local", "fake", arguments.resume)


class BrokenRunner:
    async def run(self, setting, folder):
        return Outcome("Failed", "no instance came up")


class InterruptedRunner:
    """Ctrl-C comes during the third trial."""

    def __init__(self):
        self.inner = FormulaRunner(figures, ServingConfig())

    async def run(self, setting, folder):
        if len(self.inner.asked) == 2:
            raise asyncio.CancelledError
        return await self.inner.run(setting, folder)


def test_flags_become_a_sweep_document():
    sweep = tune.tune_sweep(flags(Path(), "--trials", "7", "--seed", "5", "--duration-s", "2.5"))

    assert (sweep.strategy, sweep.max_trials, sweep.slo) == ("Optuna", 7, SLO)
    assert (sweep.workload.seed, sweep.workload.duration_s) == (5, 2.5)
    assert sweep.workload.arrivals["kind"] == "mmpp"
    assert sweep.document["spec"]["objective"] == {"slo": {"quantile": "0.95", "latency": "250ms"}}


def test_a_tune_begins_with_the_untuned_default_and_ends_with_something_better(tmp_path, capsys):
    wanted = campaign(tmp_path, "--trials", "8")

    result = trials.run_campaign("tune", wanted, FormulaRunner(figures, ServingConfig()))

    default = result.records[0]
    untuned = ServingConfig()
    assert all(default.parameters[name] == getattr(untuned, name) for name in default.parameters)
    assert len(result.records) == 8
    assert result.best.figures.cost_per_million_usd <= default.figures.cost_per_million_usd
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"trial {number}/8" for number in range(1, 9)]


def test_what_was_found_has_a_page_and_a_document(tmp_path):
    wanted = campaign(tmp_path, "--trials", "4")
    result = trials.run_campaign("tune", wanted, FormulaRunner(figures, ServingConfig()))

    page = trials.write_page(wanted.folder)

    assert "<svg" in page.read_text()
    document = json.loads(json.dumps(trials.result_document(wanted, result), allow_nan=False))
    assert [each["number"] for each in document["trials"]] == [0, 1, 2, 3]
    assert document["best"] in document["trials"]


def test_the_table_marks_the_best_trial_and_tells_reasons_below(tmp_path):
    late = record(1, target=50.0, state="Invalid", why="twice: the load generator was late")
    broken = replace(
        record(2, target=10.0, state="Failed", why="no instance came up"),
        figures=TrialFigures(),
    )

    lines = trials_table([record(0, target=100.0), late, broken], SLO).splitlines()

    assert lines[0].split()[:3] == ["trial", "target", "p95"]
    assert lines[1].split() == ["*0", "100", "120", "ms", "100.0%", "$0.700", "0", "0", "inside"]
    assert lines[2].endswith("invalid")
    assert lines[3].split()[2:] == ["-"] * 5 + ["failed"]
    assert lines[4:] == [
        "trial 1 invalid: twice: the load generator was late",
        "trial 2 failed: no instance came up",
    ]


def test_a_latency_that_nobody_got_is_called_none():
    lost = record(0, target=100.0)
    lost = replace(lost, figures=replace(lost.figures, p95_s=math.inf, slo_quantile_s=math.inf))

    assert one_line(lost, SLO) == "target=100  p95 none  $0.700 per million  outside"


def test_the_conclusion_compares_with_the_untuned_default():
    default, better = record(0, target=100.0), record(1, target=50.0)
    better = replace(better, figures=replace(better.figures, cost_per_million_usd=0.35))

    said = tune.conclusion(better, default, SLO)

    assert said == (
        "best: trial 1 (target 50)\n"
        "p95 70 ms at $0.350 per million requests; the untuned default: 120 ms at $0.700 (50% saved)"
    )


def test_the_conclusion_says_when_the_default_is_outside_the_objective():
    default = record(0, target=100.0)
    default = replace(default, figures=replace(default.figures, slo_quantile_s=0.4, p95_s=0.4))

    assert "400 ms at $0.700, which is outside the objective" in tune.conclusion(record(1, target=50.0), default, SLO)


def test_the_conclusion_says_when_the_default_is_best_or_nothing_is():
    default = record(0, target=100.0)

    assert tune.conclusion(default, default, SLO).startswith("best: the untuned default (target 100)")
    assert tune.conclusion(None, default, SLO) == "nothing found inside 250 ms; the untuned default had 120 ms"


def test_too_many_failures_end_a_tune_with_exit_code_1(tmp_path):
    with pytest.raises(TooManyFailuresError, match=r"4 of 4 trials failed .* no instance came up") as caught:
        trials.run_campaign("tune", campaign(tmp_path), BrokenRunner())

    assert caught.value.exit_code == 1


def test_an_interrupted_campaign_says_what_is_left(tmp_path, capsys):
    assert trials.run_campaign("tune", campaign(tmp_path), InterruptedRunner()) is None

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("tidegate tune: interrupted; every process it started has ended; 2 finished trials lie in ")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trials", "0"], "--trials: needs a whole number from 1"),
        (["--duration-s", "nan"], "--duration-s: needs 1 to 86400 seconds, got nan"),
        (["--seed", "-1"], "--seed: needs a whole number from 0"),
        (["--slo-quantile", "95"], "slo quantile: needs a number between 0 and 1"),
        (["--slo-s", "-1"], "slo bound: needs a positive number"),
        (["--payloads", "nothing"], "--payloads: 'nothing' is neither short, imdb nor a file"),
        (["--arrivals", "nothing.json"], "nothing.json: cannot be read"),
    ],
)
def test_a_bad_flag_gets_one_line(tmp_path, more, message):
    with pytest.raises(BadInputError) as caught:
        tune.tune_sweep(flags(tmp_path, *more))

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sweep", "missing.yaml"], "tidegate sweep: missing.yaml: cannot be read"),
        (["sweep", "{examples}/sweep.yaml", "--model", "no"], "tidegate sweep: model no: has no manifest.json"),
        (["sweep", "{examples}/sweep.yaml", "--platform", "x"], "tidegate sweep: argument --platform: invalid choice"),
        (["tune", "--slo-s", "1"], "tidegate tune: the following arguments are required: --arrivals, --slo-quantile"),
    ],
)  # fmt: skip
def test_bad_input_ends_with_exit_code_2_and_one_line(tmp_path, monkeypatch, capsys, command, message):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as caught:  # as the console script does
        raise SystemExit(cli.main([word.format(examples=EXAMPLES) for word in command]))

    said = capsys.readouterr()
    assert caught.value.code == 2
    assert said.err.startswith(message)
    assert said.err.count("\n") == 1
    assert not said.out
    assert not (tmp_path / "runs").exists()


def test_a_sweep_is_named_after_its_document():
    parser = argparse.ArgumentParser()
    sweep_command.add_arguments(parser)

    arguments = parser.parse_args(["s.yaml"])

    assert (arguments.model, arguments.platform, arguments.out, arguments.resume) == ("demo", "local", None, False)


@pytest.mark.parametrize("seconds", [1.0, 0.25, 0.0005, 90.0, 1.5, 1e-9])
def test_durations_are_read_back_as_they_are_written(seconds):
    assert duration_s(duration_text(seconds), "here") == seconds


@pytest.mark.parametrize("value", [0.95, 0.999, 1.0, 10.0])
def test_decimals_are_read_back_as_they_are_written(value):
    assert decimal(decimal_text(value), "here") == value
