"""The report of a sweep: best trial, Pareto front, and what mattered."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from controller.cli import main
from controller.reports.importance import importance
from controller.reports.panels import WIDE_PX, sheet
from controller.reports.sweep_plot import pareto_figure
from controller.reports.sweep_report import sweep_headline
from controller.reports.sweep_trials import Trial, read_sweep_run

SWEEP = {
    "schema": 1,
    "document": {
        "metadata": {"name": "batch-sizes"},
        "spec": {"objective": {"slo": {"quantile": "0.95", "latency": "300ms"}}},
    },
    "status": {"phase": "Complete"},
}


def trial(number: int, p95_s: float | None, cost_usd: float | None, *, violating: float = 0.0, **extra) -> dict:
    return {
        "number": number,
        "parameters": {"max_batch_size": 2**number, "max_scale": number % 2},
        "state": "Complete",
        "why": "",
        "requests": 1000,
        "rejected": 0,
        "cold_starts": 1,
        "p95_s": p95_s,
        "slo_quantile_s": p95_s,
        "window_violation_ratio": violating,
        "cost_per_million_usd": cost_usd,
        **extra,
    }


def write(folder: Path, trials: list[dict]) -> Path:
    (folder / "sweep.json").write_text(json.dumps(SWEEP))
    (folder / "trials.json").write_text(json.dumps(trials))
    return folder


def test_the_best_trial_is_the_cheapest_that_held_and_ran_validly(tmp_path):
    folder = write(
        tmp_path,
        [
            trial(0, 0.2, 0.5),
            trial(1, 0.25, 0.4),
            trial(2, 0.29, 0.1, violating=0.06),
            trial(3, 0.31, 0.05),
            trial(4, 0.1, 0.01, state="Invalid", why="late"),
            trial(5, None, 0.02),
        ],
    )

    sweep = read_sweep_run(folder)

    assert sweep.best is not None
    assert sweep.best.number == 1
    assert sweep.trials[5].p95_s == math.inf
    assert sweep_headline(sweep) == (
        "Of 6 trials, number 1 kept p95 ≤ 0.3 s at the lowest cost, $0.400 per million requests: "
        "max_batch_size 2 and max_scale 1."
    )


def test_the_front_holds_the_trials_that_nothing_beats_in_both(tmp_path):
    sweep = read_sweep_run(
        write(tmp_path, [trial(0, 0.4, 0.1), trial(1, 0.2, 0.2), trial(2, 0.3, 0.3), trial(3, 0.1, 0.9)])
    )

    assert [each.number for each in sweep.pareto] == [0, 1, 3]


def test_a_sweep_without_a_feasible_trial_says_so(tmp_path):
    sweep = read_sweep_run(write(tmp_path, [trial(0, 0.9, 0.1), trial(1, None, None, state="Failed", why="no port")]))

    assert sweep_headline(sweep) == "None of 2 trials kept p95 ≤ 0.3 s."


def test_a_sweep_of_failures_still_has_a_picture(tmp_path):
    sweep = read_sweep_run(write(tmp_path, [trial(0, None, None, state="Failed")]))

    assert "no complete trial" in pareto_figure(sweep, sheet(WIDE_PX, 1.0)).svg()


def test_the_command_writes_both_files_and_escapes_reasons(tmp_path, capsys):
    folder = write(tmp_path, [trial(0, 0.2, 0.5), trial(1, None, None, state="Failed", why="<script>")])

    assert main(["report", str(folder), "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((folder / "report.json").read_text())
    assert (document["kind"], document["trials"], document["best"]["number"]) == ("sweep", 2, 0)
    assert "<script" not in (folder / "report.html").read_text()


@pytest.fixture
def trials(rng: np.random.Generator) -> list[Trial]:
    return [
        Trial(i, {"matters": m, "is_noise": n}, "Complete", "", 100, 0, 0, m, m, 0.0, 1.0)
        for i, (m, n) in enumerate(rng.uniform(0.1, 1.0, (12, 2)).tolist())
    ]


def test_the_setting_that_decides_has_the_largest_importance(trials):
    shares = importance(trials, lambda each: each.p95_s)

    assert next(iter(shares)) == "matters"
    assert sum(shares.values()) == pytest.approx(1.0)


def test_few_trials_tell_nothing_about_importance(trials):
    assert importance(trials[:7], lambda each: each.p95_s) == {}
