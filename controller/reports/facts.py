"""How a run was measured: the facts that someone needs to repeat it, or to doubt it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import numpy as np

from controller.domain.serving_config import AutoscalerSettings, ServingConfig
from controller.domain.slo import ALLOWED_VIOLATION_RATIO, WINDOW_ARRIVALS
from controller.reports import formats
from controller.reports.json_fields import Document, mapping, number, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from controller.domain.prices import Prices
    from controller.domain.slo import LatencySlo
    from controller.reports.column import Column
    from controller.reports.run_folder import RunFolder

Fact = tuple[str, str]


def facts_of(manifest: Document, columns: Sequence[Column], slo: LatencySlo, prices: Prices) -> tuple[Fact, ...]:
    """Return (what, value) in reading order; only facts that the folder states."""
    runs = [(column.name, column.run) for column in columns if column.run is not None]
    return (
        ("objective", _objective(slo)),
        *_schedule(manifest, runs[0][1]),
        ("latency", "from the intended send time to the answer, so a late sender or a queue cannot hide"),
        *((f"load generator, {formats.title_of(name)}", _lateness(run)) for name, run in runs),
        ("prices", _price_list(prices)),
        *(
            (f"settings of {formats.title_of(name)}", settings)
            for name, run in runs
            if (settings := _settings(name, run))
        ),
        *_autoscaler(runs[0][1]),
        *_service(runs[0][1]),
        *_versions(runs[0][1]),
    )


def _objective(slo: LatencySlo) -> str:
    return (
        f"p{slo.quantile * 100:g} ≤ {formats.bound(slo.bound_s)} in at least "
        f"{formats.share(1 - ALLOWED_VIOLATION_RATIO)} of the windows of {WINDOW_ARRIVALS} consecutive arrivals"
    )


def _schedule(manifest: Document, run: RunFolder) -> Iterator[Fact]:
    seed = number(manifest, "seed") if "seed" in manifest else number(run.run, "seed")
    if math.isfinite(seed):
        yield "seed of the schedule", f"{seed:.0f}"
    if run.schedule_digest:
        yield "schedule", f"{formats.count(run.scheduled or 0)} requests, SHA-256 {run.schedule_digest}…"
    duration_s = number(run.run, "duration_s")
    if math.isfinite(duration_s):
        yield "length of the schedule", formats.instant(duration_s)
    capacity_rps = number(manifest, "capacity_rps")
    if math.isfinite(capacity_rps):
        yield "measured capacity of one core", f"{formats.rate(capacity_rps)}; the schedule is scaled to it"


def _lateness(run: RunFolder) -> str:
    behind_s = run.requests.sent_s - run.requests.intended_s
    behind_s = behind_s[np.isfinite(behind_s)]
    if behind_s.size == 0:
        return "sent nothing"
    p99_s, worst_s = (float(np.quantile(behind_s, each, method="inverted_cdf")) for each in (0.99, 1.0))
    cpu_share = number(mapping(run.load, "generator"), "cpu_share")
    cpu = f", used {formats.share(cpu_share)} of a core" if math.isfinite(cpu_share) else ""
    return f"sent 99 % within {formats.seconds(p99_s)} of the intended time, all within {formats.seconds(worst_s)}{cpu}"


def _price_list(prices: Prices) -> str:
    cluster = prices.cluster
    return (
        f"list {prices.version}: ${cluster.vcpu_second_usd:.7f} a vCPU second, ${cluster.gb_second_usd:.7f} a GB second"
    )


def _settings(name: str, run: RunFolder) -> str:
    """Return the settings a run began with: all of the defaults' own, else those that differ from the defaults."""
    stated = mapping(run.run, "config") or mapping(run.run, "settings")
    if not stated:
        return ""
    untuned = {} if name == "defaults" else ServingConfig().to_document()
    differing = {knob: value for knob, value in stated.items() if value != untuned.get(knob)}
    words = _listed(differing) or "all at their defaults"
    return f"{words} at its start" if name == "tidegate" else words


def _autoscaler(run: RunFolder) -> Iterator[Fact]:
    stated = mapping(run.run, "autoscaler")
    knative = asdict(AutoscalerSettings())
    if stated:
        changed = _listed({name: value for name, value in stated.items() if value != knative.get(name)})
        yield "autoscaler, all columns", f"Knative's defaults but for {changed}" if changed else "Knative's defaults"


def _listed(settings: Document) -> str:
    plain = {name: value for name, value in settings.items() if isinstance(value, (int, float, str))}
    return ", ".join(f"{name} {formats.setting(name, value)}" for name, value in plain.items())


def _service(run: RunFolder) -> Iterator[Fact]:
    for name in ("model", "payloads", "protocol"):
        if words := text(run.run, name):
            yield name, words
    machine = mapping(run.run, "machine")
    cores, servers = number(machine, "cores"), run.run.get("server_cpus")
    if math.isfinite(cores):
        kind = " ".join(words for key in ("system", "architecture") if (words := text(machine, key)))
        shared = f"; servers have {len(cast('list[object]', servers))} of them" if isinstance(servers, list) else ""
        yield "machine", f"{cores:.0f} cores, {kind}{shared}"


def _versions(run: RunFolder) -> Iterator[Fact]:
    versions = {name: value for name, value in mapping(run.run, "versions").items() if isinstance(value, str)}
    if versions:
        yield "versions", ", ".join(f"{name} {value}" for name, value in versions.items())
    started = text(run.run, "started_at")
    if started:
        yield "started", started
