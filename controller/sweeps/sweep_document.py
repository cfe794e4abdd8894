"""The Sweep document: what `tidegate sweep FILE` runs on one machine and what kubectl applies to a cluster.

It is closed: an unknown field is an error that names its path. Durations and decimals are texts, as in every Kubernetes
document without floats; only the arrivals keep the form that all commands share (docs/sweeps.md shows each field).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import yaml

from controller.domain.arrival_process import arrival_process_from_document, arrival_process_to_document
from controller.domain.quantities import decimal, duration_s
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.sweeps.fields import Fields
from controller.sweeps.model_choice import GENERATED_PAYLOADS
from controller.sweeps.parameters import Parameter, parse_parameter

if TYPE_CHECKING:
    from pathlib import Path

API_VERSION = "tidegate.dev/v1alpha1"
Strategy = Literal["Grid", "Random", "Optuna"]
LONGEST_TRIAL_S = 86_400
MOST_TRIALS = 10_000
"""Trials of one sweep: at the shortest useful run this is more than a day."""
_STRATEGIES: tuple[Strategy, ...] = ("Grid", "Random", "Optuna")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Workload:
    """What each trial is asked to answer: the same seeded schedule every time."""

    arrivals: dict[str, object]
    """An arrivals document without references: the instants of a trace stand in it, so that a sweep which is resumed
    meets the same traffic even when the file has changed."""
    seed: int
    duration_s: float
    payloads: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """A campaign of trials, each a run of one setting under one workload."""

    name: str
    parameters: tuple[Parameter, ...]
    strategy: Strategy
    workload: Workload
    slo: LatencySlo
    max_trials: int | None
    """None only for a grid, which is then run whole."""
    max_failed_trials: int
    patience: int | None
    """Trials in a row without a better setting after which the sweep ends; None never ends it early."""
    document: dict[str, object]
    """The document it was read from."""


def read_sweep(path: Path) -> Sweep:
    """Read a Sweep from a YAML or JSON file.

    Raises:
        BadInputError: the file cannot be read, is no YAML, or is no Sweep.
    """
    try:
        document = cast("object", yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); give a Sweep document") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: is no text in UTF-8; give a Sweep document") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise BadInputError(f"{path}: line {line}: is no YAML ({error.problem}); correct it") from error
    except RecursionError as error:
        raise BadInputError(f"{path}: is nested too deeply; correct it") from error
    except (yaml.YAMLError, ValueError) as error:
        raise BadInputError(f"{path}: is no YAML ({' '.join(str(error).split())}); correct it") from error
    return sweep_from_document(document, where=f"{path}:", base=path.parent)


def sweep_from_document(document: object, *, where: str, base: Path) -> Sweep:
    """Turn a parsed document into a Sweep.

    Args:
        document: what YAML or JSON gave.
        where: what messages begin with, such as `FILE:`.
        base: folder that the file of a trace is relative to.

    Raises:
        BadInputError: a field is unknown, missing, of the wrong type or out of range; the message names its path.
    """
    top = Fields.of(document, where)
    top.take_choice("apiVersion", (API_VERSION,))
    top.take_choice("kind", ("Sweep",))
    metadata = Fields.of(top.take("metadata", dict), top.path("metadata"))
    name = metadata.take("name", str)
    if not _NAME.fullmatch(name):
        raise BadInputError(f"{metadata.path('name')}: needs lower-case letters, digits and '-', got {name!r}")
    # A document from a cluster carries more metadata; on one machine it has no meaning but is no mistake.
    metadata.finish(*("namespace", "labels", "annotations"))
    spec = Fields.of(top.take("spec", dict), top.path("spec"))
    top.finish("status")
    _check_target(spec)
    parameters = _parameters(spec)
    strategy = _STRATEGIES[_STRATEGIES.index(cast("Strategy", spec.take_choice("strategy", _STRATEGIES)))]
    workload = _workload(Fields.of(spec.take("workload", dict), spec.path("workload")), base)
    slo = _slo(Fields.of(spec.take("objective", dict), spec.path("objective")))
    max_trials = _count(spec, "maxTrials", 1) if spec.has("maxTrials") or strategy != "Grid" else None
    max_failed = _count(spec, "maxFailedTrials", 0) if spec.has("maxFailedTrials") else 3
    patience = _count(spec, "patience", 1) if spec.has("patience") else None
    spec.finish()
    if patience is not None and strategy == "Grid":
        raise BadInputError(f"{spec.path('patience')}: a grid is run whole; remove it or choose Random or Optuna")
    return Sweep(name, parameters, strategy, workload, slo, max_trials, max_failed, patience, _as_json(document, where))


def _as_json(document: object, where: str) -> dict[str, object]:
    """Return the document as JSON gives it back, so that a sweep read from its folder equals the one started."""
    try:
        return cast("dict[str, object]", json.loads(json.dumps(document, default=str)))
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{where} contains itself; remove the YAML anchor") from error


def _check_target(spec: Fields) -> None:
    """Targets are checked and not used: on one machine there is one service. `cancel` ends a sweep in a cluster."""
    listed = cast("list[object]", spec.take("targetRefs", list)) if spec.has("targetRefs") else []
    where = spec.path("targetRefs")
    targets = [(each, f"{where}[{index}]") for index, each in enumerate(listed)]
    if spec.has("targetRef"):
        if listed:
            raise BadInputError(f"{where}: stands beside targetRef; give one of them")
        targets = [(spec.document["targetRef"], spec.path("targetRef"))]
    for each, path in targets:
        target = Fields.of(each, path)
        for name in ("apiVersion", "kind", "name"):
            target.take(name, str)
        target.take_choice("kind", ("Service", "InferenceService"))
        target.finish()
    if spec.has("cancel"):
        spec.take("cancel", bool)


def _parameters(spec: Fields) -> tuple[Parameter, ...]:
    listed = cast("list[object]", spec.take("parameters", list))
    where = spec.path("parameters")
    if not listed:
        raise BadInputError(f"{where}: needs at least one parameter")
    found = tuple(parse_parameter(each, f"{where}[{index}]") for index, each in enumerate(listed))
    for index, parameter in enumerate(found):
        if parameter.name in {earlier.name for earlier in found[:index]}:
            raise BadInputError(f"{where}[{index}].name: {parameter.name} is there twice; join their values")
    return found


def _workload(fields: Fields, base: Path) -> Workload:
    arrivals = cast("dict[str, object]", fields.take("arrivals", dict))
    process = arrival_process_from_document(arrivals, where=fields.path("arrivals"), base=base)
    length_s = duration_s(fields.take("duration", str), fields.path("duration"))
    if length_s < 1:
        raise BadInputError(f"{fields.path('duration')}: needs at least 1s, got {fields.document['duration']!r}")
    if length_s > LONGEST_TRIAL_S:
        raise BadInputError(f"{fields.path('duration')}: needs at most 24h, got {fields.document['duration']!r:.80}")
    workload = Workload(
        arrivals=arrival_process_to_document(process),
        seed=_count(fields, "seed", 0) if fields.has("seed") else 0,
        duration_s=length_s,
        payloads=_payloads(fields, base),
        protocol=fields.take_choice("protocol", ("v1", "v2"), "v2"),
    )
    fields.finish()
    return workload


def _payloads(fields: Fields, base: Path) -> str:
    """Return a kind of texts, or the path of a file, which the document gives relative to itself."""
    name = fields.take_or("payloads", "short")
    if name in GENERATED_PAYLOADS:
        return name
    path = base / name
    if not path.is_file():
        known = ", ".join(GENERATED_PAYLOADS)
        raise BadInputError(f"{fields.path('payloads')}: {name!r} is neither {known} nor a file beside the document")
    return str(path)


def _slo(objective: Fields) -> LatencySlo:
    slo = Fields.of(objective.take("slo", dict), objective.path("slo"))
    objective.finish()
    for name in ("quantile", "latency"):
        if not slo.has(name):
            slo.finish("quantile", "latency")
            raise BadInputError(f"{slo.path(name)}: is missing")
    quantile = decimal(slo.document["quantile"], slo.path("quantile"))
    bound_s = duration_s(slo.document["latency"], slo.path("latency"))
    slo.finish()
    try:
        return LatencySlo(quantile, bound_s)
    except BadInputError as error:
        raise BadInputError(f"{slo.where}: {error}") from error


def _count(fields: Fields, name: str, least: int) -> int:
    value = fields.take(name, int)
    if not least <= value <= (MOST_TRIALS if name.startswith("max") else 2**31 - 1):
        raise BadInputError(f"{fields.path(name)}: needs a whole number of at least {least}, got {value}")
    return value
