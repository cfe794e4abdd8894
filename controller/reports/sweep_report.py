"""The report of a sweep or a tune: its trials, their Pareto front, and which settings mattered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from controller.reports import formats
from controller.reports.importance import importance
from controller.reports.json_fields import Document, json_number
from controller.reports.page import document, section
from controller.reports.page_tables import Cell, table
from controller.reports.panels import both_sizes
from controller.reports.prose import prose
from controller.reports.sweep_plot import importance_figure, pareto_figure
from controller.reports.sweep_trials import SweepRun, Trial, read_sweep_run
from controller.reports.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "sweep.json"
Importance = dict[str, dict[str, float]]


def write_sweep_report(folder: Path) -> tuple[Document, Path]:
    """Write report.json and report.html into a sweep's folder; return the document and the page.

    Raises:
        BadInputError: the folder cannot be read as a sweep, or not be written.
    """
    sweep = read_sweep_run(folder)
    shares = {
        "p95_s": importance(sweep.trials, lambda each: each.p95_s),
        "cost_per_million_usd": importance(sweep.trials, lambda each: each.cost_per_million_usd),
    }
    written = sweep_document(sweep, shares)
    write_whole(folder / "report.json", json.dumps(written, indent=1, allow_nan=False) + "\n")
    write_whole(folder / "report.html", sweep_page(sweep, shares))
    return written, folder / "report.html"


def sweep_document(sweep: SweepRun, shares: Importance) -> Document:
    """Return report.json of a sweep."""
    best = sweep.best
    return {
        "schema": 1,
        "kind": "sweep",
        "name": sweep.name,
        "phase": sweep.phase,
        "slo": {"quantile": sweep.slo.quantile, "bound_s": sweep.slo.bound_s},
        "trials": len(sweep.trials),
        "feasible": sum(each.holds(sweep.slo) for each in sweep.trials),
        "best": _trial_document(best) if best is not None else None,
        "pareto": [_trial_document(each) for each in sweep.pareto],
        "importance": shares,
    }


def _trial_document(trial: Trial) -> Document:
    return {
        "number": trial.number,
        "parameters": trial.parameters,
        "p95_s": json_number(trial.p95_s),
        "window_violation_ratio": json_number(trial.window_violation_ratio),
        "cost_per_million_usd": json_number(trial.cost_per_million_usd),
    }


def sweep_headline(sweep: SweepRun) -> str:
    """Return the result in one sentence."""
    goal = f"p{sweep.slo.quantile * 100:g} ≤ {formats.bound(sweep.slo.bound_s)}"
    best = sweep.best
    if best is None:
        return f"None of {len(sweep.trials)} trials kept {goal}."
    setting = formats.listed([f"{name} {formats.setting(name, value)}" for name, value in best.parameters.items()])
    return (
        f"Of {len(sweep.trials)} trials, number {best.number} kept {goal} at the lowest cost, "
        f"{formats.usd(best.cost_per_million_usd)} per million requests: {setting}."
    )


def sweep_page(sweep: SweepRun, shares: Importance) -> str:
    """Return the page of a sweep."""
    going = "" if sweep.phase == "Complete" else f"The sweep is not complete (phase {sweep.phase})."
    head = (
        f'<header><p class="kicker">tidegate sweep · {prose(sweep.name)}</p><h1>{prose(sweep_headline(sweep))}</h1>'
        + (f'<p class="sub">{prose(going)}</p>' if going else "")
        + "</header>"
    )
    front = both_sizes(lambda paper: pareto_figure(sweep, paper), 1.0)
    caption = (
        "Each dot is a trial; hollow red ones missed the objective. The line is the Pareto front: nothing that was "
        "tried is both cheaper and faster. Numbers name trials; the bold one is the best."
    )
    picture = f"<figure>{front}<figcaption>{caption}</figcaption></figure>"
    names = {"p95_s": "For p95", "cost_per_million_usd": "For cost"}
    bars = [
        f"<p>{names[what]}:</p><figure>{both_sizes(lambda paper, of=of: importance_figure(of, paper), 1.0)}</figure>"
        for what, of in shares.items()
        if of
    ]
    mattered = bars or ["<p>Too few trials, or too few settings varied, to tell.</p>"]
    note = '<p class="quiet">Share of what separates the best tenth of the trials from all of them (PED-ANOVA).</p>'
    body = [
        section("front", "Cost against latency", picture),
        section("trials", "Trials", _trials_table(sweep)),
        section("importance", "Which settings mattered", *mattered, note if bars else ""),
    ]
    return document(f"tidegate sweep · {sweep.name}", head + "".join(body))


def _trials_table(sweep: SweepRun) -> str:
    figures = ("p95", "windows inside", "cost", "rejected", "cold starts")
    head = [Cell("trial"), *(Cell(name, "number") for name in (*sweep.knobs, *figures)), Cell("objective", "spaced")]
    rows = [("main" if each is sweep.best else "", _row(sweep, each)) for each in sweep.trials]
    return table(head, rows, caption="In the order they ran; the best one is bold. Cost is per million requests.")


def _row(sweep: SweepRun, trial: Trial) -> list[Cell]:
    verdict = "held" if trial.holds(sweep.slo) else "missed"
    last = (
        Cell(verdict, "spaced") if trial.is_complete else Cell(f"{trial.state.lower()}: {trial.why}", "spaced missed")
    )
    figures = (
        formats.seconds(trial.p95_s),
        formats.share(1 - trial.window_violation_ratio),
        formats.usd(trial.cost_per_million_usd),
        formats.count(trial.rejected),
        formats.count(trial.cold_starts),
    )
    knobs = [formats.setting(name, trial.parameters.get(name)) for name in sweep.knobs]
    shown = figures if trial.is_complete else (formats.NONE,) * len(figures)
    return [Cell(str(trial.number)), *(Cell(words, "number") for words in (*knobs, *shown)), last]
