"""Builds and writes the report of a folder: a demo's three columns, or the one column of a single run."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from controller.domain.prices import DEFAULT_PRICE_LIST, load_prices
from controller.errors import BadInputError
from controller.reports.column import Column, Figures, Kind, live_column
from controller.reports.facts import facts_of
from controller.reports.findings import Report
from controller.reports.forecast import forecasts_of
from controller.reports.json_fields import Document, mapping, number, objects, read_object, text
from controller.reports.page import run_page
from controller.reports.run_folder import RunFolder, read_run_folder, slo_of
from controller.reports.validation import why_invalid
from controller.reports.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from controller.domain.prices import Prices

COLUMNS = ("tidegate", "defaults", "best_fixed")
MANIFEST = "demo.json"


def build_report(folder: Path) -> Report:
    """Read a demo folder (demo.json and a folder for each column) or the folder of one run.

    Raises:
        BadInputError: the folder, or a part of it, is missing or half-written.
    """
    if not folder.is_dir():
        raise BadInputError(f"{folder}: no such folder; give the folder of a finished run, such as runs/demo-1")
    if (folder / MANIFEST).is_file():
        return _demo_report(folder, read_object(folder / MANIFEST))
    run = read_run_folder(folder)
    name = folder.resolve().name
    return _report(folder, {}, {name if name in COLUMNS else "run": run}, ())


def write_report(folder: Path) -> tuple[Report, Path]:
    """Write report.json and report.html into the folder, over what is there; return the report and its page.

    Raises:
        BadInputError: the folder cannot be read as a run, or not be written.
    """
    report = build_report(folder)
    write_whole(folder / "report.json", json.dumps(report.to_document(), indent=1, allow_nan=False) + "\n")
    write_whole(folder / "report.html", run_page(report))
    return report, folder / "report.html"


def _demo_report(folder: Path, manifest: Document) -> Report:
    simulated = _simulated(manifest)
    runs = {name: read_run_folder(folder / name) for name in COLUMNS if (folder / name).is_dir()}
    only_simulated = [name for name in COLUMNS if name not in runs and simulated.get(name)]
    missing = [name for name in COLUMNS if name not in runs and name not in only_simulated]
    if missing or not runs:
        raise BadInputError(
            f"{folder}: the demo did not finish, {' and '.join(missing or COLUMNS)} did not run; "
            f"run make demo again, or give one of its finished runs, such as {folder}/tidegate"
        )
    columns = [_simulated_column(name, simulated[name]) for name in only_simulated]
    return _report(folder, manifest, runs, columns)


def _report(folder: Path, manifest: Document, runs: dict[str, RunFolder], simulated: Sequence[Column]) -> Report:
    slo = slo_of(manifest, *(run.run for run in runs.values()))
    if slo is None:
        raise BadInputError(f'{folder}: states no objective; add "slo": {{"quantile", "bound_s"}} to its run.json')
    prices = _prices(manifest, runs)
    live = [live_column(name, run, slo, prices.cluster, kind=_kind(run)) for name, run in runs.items()]
    columns = tuple(sorted((*live, *simulated), key=_place))
    main = runs.get("tidegate") or next(iter(runs.values()))
    return Report(
        name=folder.resolve().name,
        slo=slo,
        prices=prices,
        columns=columns,
        expected={name: figures for name, figures in _simulated(manifest).items() if name in runs},
        decisions=main.decisions,
        applied=main.applied,
        forecasts=forecasts_of(main, slo, prices.cluster),
        phases_s=_phase_starts(main),
        facts=facts_of(manifest, columns, slo, prices),
        why_invalid=why_invalid(columns),
    )


def _simulated(manifest: Document) -> dict[str, Document]:
    """Return what demo.json states of a simulation, by column; the best fixed setting was found by one."""
    best = mapping(manifest, "best_fixed")
    stated = {"best_fixed": best} if "p95_s" in best else {}
    return stated | {name: mapping(mapping(manifest, "simulated"), name) for name in mapping(manifest, "simulated")}


def _place(column: Column) -> int:
    return COLUMNS.index(column.name) if column.name in COLUMNS else len(COLUMNS)


def _kind(run: RunFolder) -> Kind:
    return "simulated" if text(run.run, "kind") == "simulated" else "live"


def _prices(manifest: Document, runs: dict[str, RunFolder]) -> Prices:
    named = (text(document, "prices") for document in (manifest, *(run.run for run in runs.values())))
    return load_prices(next((name for name in named if name), DEFAULT_PRICE_LIST))


def _simulated_column(name: str, document: Document) -> Column:
    figures = Figures(
        requests=int(_or_zero(number(document, "requests"))),
        by_class={},
        late=int(_or_zero(number(document, "late"))),
        window_violation_ratio=number(document, "window_violation_ratio"),
        p50_s=number(document, "p50_s"),
        p95_s=number(document, "p95_s"),
        p99_s=number(document, "p99_s"),
        cost_usd=number(document, "cost_usd"),
        cost_per_million_usd=number(document, "cost_per_million_usd"),
        cold_starts=int(_or_zero(number(document, "cold_starts"))),
    )
    return Column(name, "simulated", figures, None, None)


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _phase_starts(run: RunFolder) -> tuple[float, ...]:
    """Return where the phases of a `phases` document begin, but for the first; they repeat until the schedule ends."""
    durations = [number(phase, "duration_s") for phase in objects(mapping(run.run, "arrivals"), "phases")]
    end_s = number(run.run, "duration_s")
    if not durations or not all(duration > 0 for duration in durations) or not end_s < math.inf:
        return ()
    starts: list[float] = []
    at_s = durations[0]
    while at_s < end_s and len(starts) < 1000:
        starts.append(at_s)
        at_s += durations[len(starts) % len(durations)]
    return tuple(starts)
