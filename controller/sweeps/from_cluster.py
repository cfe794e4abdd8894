"""A Sweep and its SweepTrials in a cluster, to and from the values that a sweep on one machine works with (pure).

The trials are the study: whoever starts the operator again, or asks for a report, rebuilds all of it from them.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from controller.domain.quantities import duration_s, whole
from controller.errors import BadInputError
from controller.sweeps.parameters import KNOBS
from controller.sweeps.records import TrialFigures, TrialRecord
from controller.sweeps.sweep_document import API_VERSION, sweep_from_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.sweeps.parameters import Setting
    from controller.sweeps.records import TrialState
    from controller.sweeps.sweep_document import Sweep

LONGEST_NAME = 52
"""Of a Sweep: the names of its trials, Jobs and pods are longer by what tells them apart, and end at 63."""
LARGEST_ARRIVALS = 100_000
"""Bytes of an arrivals document: it is one argument of the load generator, and Linux takes 128 KiB for one."""
NOWHERE = Path("/nonexistent")
ENDED: tuple[TrialState, ...] = ("Complete", "Failed", "Invalid")


def sweep_of(document: Mapping[str, Any]) -> Sweep:
    """Return the Sweep of an object in a cluster.

    Raises:
        BadInputError: something that no rule of the API server can see.
    """
    name, spec = str(document["metadata"]["name"]), document["spec"]
    if len(name) > LONGEST_NAME:
        raise BadInputError(f"Sweep {name}: its name has {len(name)} letters, more than {LONGEST_NAME}; shorten it")
    arrivals = (spec.get("workload") or {}).get("arrivals")
    # A file would be looked for where the operator runs.
    if isinstance(arrivals, dict) and "file" in arrivals:
        raise BadInputError("spec.workload.arrivals.file: a cluster has no such file; give the instants as times_s")
    if len(json.dumps(arrivals)) > LARGEST_ARRIVALS:
        raise BadInputError(f"spec.workload.arrivals: is longer than {LARGEST_ARRIVALS} bytes; shorten it")
    plain = {"apiVersion": API_VERSION, "kind": "Sweep", "metadata": {"name": name}, "spec": spec}
    return sweep_from_document(plain, where="Sweep:", base=NOWHERE)


def arrivals_hash(document: Mapping[str, Any]) -> str:
    """Return what tells one arrivals document from another."""
    text = json.dumps(document["spec"]["workload"].get("arrivals"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def target_references(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the references to the targets of a Sweep, each once."""
    spec = document["spec"]
    listed = cast("list[dict[str, Any]]", spec.get("targetRefs") or [spec["targetRef"]])
    return [each for index, each in enumerate(listed) if each not in listed[:index]]


def parameters_text(sweep: Sweep, setting: Setting) -> list[dict[str, str]]:
    """Return a setting as the parameters of a SweepTrial: named and written as the Sweep writes them."""
    return [
        {"name": each.name, "value": KNOBS[each.name].text(setting[each.setting])}
        for each in sweep.parameters
        if each.setting in setting
    ]


def setting_of(parameters: Sequence[Mapping[str, Any]]) -> Setting:
    """Return the setting of a SweepTrial.

    Raises:
        BadInputError: it was not written by `parameters_text`.
    """
    found: Setting = {}
    for each in parameters:
        knob, text = KNOBS.get(str(each.get("name"))), str(each.get("value"))
        if knob is None:
            raise BadInputError(f"SweepTrial: unknown parameter {each.get('name')!r}; it was made by another version")
        value: object = int(text) if knob.read is whole and text.isdecimal() else text
        found[knob.setting] = knob.read(value, f"SweepTrial: parameter {each['name']}")
    return found


def is_ended(trial: Mapping[str, Any]) -> bool:
    """Return whether a SweepTrial has come to its end."""
    return (trial.get("status") or {}).get("phase") in ENDED


def record_of(trial: Mapping[str, Any]) -> TrialRecord:
    """Return the record of a SweepTrial that has ended.

    Raises:
        BadInputError: its figures cannot be read.
    """
    status = trial["status"]
    return TrialRecord(
        number=int(trial["spec"]["number"]),
        parameters=setting_of(trial["spec"]["parameters"]),
        state=status["phase"],
        why=str(status.get("why") or ""),
        figures=_figures(status.get("figures")),
    )


def _figures(figures: Mapping[str, Any] | None) -> TrialFigures:
    """Return figures; a run that broke off has none, in others a latency that is absent is infinite."""
    if figures is None:
        return TrialFigures()
    kept = figures.get("attainment")
    cost = figures.get("costPerMillionUsd")
    return TrialFigures(
        requests=int(figures.get("requests") or 0),
        rejected=int(figures.get("rejected") or 0),
        errors=int(figures.get("errors") or 0),
        cold_starts=int(figures.get("coldStarts") or 0),
        p50_s=_latency_s(figures, "p50"),
        p95_s=_latency_s(figures, "p95"),
        p99_s=_latency_s(figures, "p99"),
        slo_quantile_s=_latency_s(figures, "atObjective"),
        window_violation_ratio=math.nan if kept is None else round(1 - float(kept), 9),
        cost_per_million_usd=math.nan if cost is None else float(cost),
    )


def _latency_s(figures: Mapping[str, Any], name: str) -> float:
    return duration_s(figures[name], f"SweepTrial: figures.{name}") if figures.get(name) else math.inf
