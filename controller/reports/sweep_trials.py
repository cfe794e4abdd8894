"""Reads the folder of a sweep (sweep.json, trials.json) and finds its best trial and its Pareto front."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from controller.domain.documents import read_json
from controller.domain.slo import ALLOWED_VIOLATION_RATIO, LatencySlo
from controller.errors import BadInputError
from controller.reports.json_fields import Document, mapping, number, read_object, text

if TYPE_CHECKING:
    from pathlib import Path

_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_REMEDY = "give the folder of a sweep, or run it again"


@dataclass(frozen=True, slots=True)
class Trial:
    """One record of trials.json. A latency is infinite where its request got no right answer."""

    number: int
    parameters: dict[str, float]
    state: str
    why: str
    requests: int
    rejected: int
    cold_starts: int
    p95_s: float
    slo_quantile_s: float
    window_violation_ratio: float
    cost_per_million_usd: float

    @property
    def is_complete(self) -> bool:
        """Whether its run ended and may be trusted."""
        return self.state == "Complete"

    def holds(self, slo: LatencySlo) -> bool:
        """Return whether it kept the objective, in both notions of it."""
        return (
            self.is_complete
            and self.slo_quantile_s <= slo.bound_s
            and self.window_violation_ratio <= ALLOWED_VIOLATION_RATIO
        )


@dataclass(frozen=True, slots=True)
class SweepRun:
    """A sweep as far as it got."""

    name: str
    slo: LatencySlo
    phase: str
    """Running, Complete or Failed."""
    trials: tuple[Trial, ...]

    @property
    def knobs(self) -> tuple[str, ...]:
        """The settings that were varied."""
        return tuple(dict.fromkeys(name for trial in self.trials for name in trial.parameters))

    @property
    def best(self) -> Trial | None:
        """The cheapest trial that kept the objective, the faster one at equal cost."""
        feasible = [trial for trial in self.trials if trial.holds(self.slo)]
        return min(feasible, key=lambda each: (each.cost_per_million_usd, each.p95_s), default=None)

    @property
    def pareto(self) -> tuple[Trial, ...]:
        """The complete trials that no other one beats in both cost and p95, by rising cost."""
        known = [trial for trial in self.trials if trial.is_complete and math.isfinite(trial.p95_s)]
        front: list[Trial] = []
        for trial in sorted(known, key=lambda each: (each.cost_per_million_usd, each.p95_s)):
            if not front or trial.p95_s < front[-1].p95_s:
                front.append(trial)
        return tuple(front)


def read_sweep_run(folder: Path) -> SweepRun:
    """Read a sweep's folder.

    Raises:
        BadInputError: a file is missing or half-written, or states no objective.
    """
    document = read_object(folder / "sweep.json")
    sweep = mapping(document, "document")
    stated = mapping(mapping(mapping(sweep, "spec"), "objective"), "slo")
    quantile, bound_s = _decimal(stated.get("quantile")), _duration_s(text(stated, "latency"))
    if not (math.isfinite(quantile) and bound_s > 0):
        raise BadInputError(
            f"{folder / 'sweep.json'}: states no spec.objective.slo with quantile and latency; {_REMEDY}"
        )
    return SweepRun(
        text(mapping(sweep, "metadata"), "name", folder.resolve().name),
        LatencySlo(quantile, bound_s),
        text(mapping(document, "status"), "phase", "Running"),
        tuple(_trials(folder / "trials.json")),
    )


def _trials(path: Path) -> list[Trial]:
    if not path.is_file():
        raise BadInputError(f"{path}: no trial has finished yet; go on with the sweep (--resume)")
    found = read_json(path, remedy=_REMEDY)
    if not isinstance(found, list):
        raise BadInputError(f"{path}: needs a list of trials, got {type(found).__name__}; {_REMEDY}")
    return [_trial(each, f"{path}: trial {place}") for place, each in enumerate(cast("list[object]", found))]


def _trial(value: object, where: str) -> Trial:
    if not isinstance(value, dict):
        raise BadInputError(f"{where}: needs an object, got {type(value).__name__}; {_REMEDY}")
    document = cast("Document", value)
    parameters = mapping(document, "parameters")
    return Trial(
        int(_count(document, "number")),
        {name: number(parameters, name) for name in parameters},
        text(document, "state", "Failed"),
        text(document, "why"),
        int(_count(document, "requests")),
        int(_count(document, "rejected")),
        int(_count(document, "cold_starts")),
        _latency_s(document, "p95_s"),
        _latency_s(document, "slo_quantile_s"),
        number(document, "window_violation_ratio"),
        number(document, "cost_per_million_usd"),
    )


def _count(document: Document, key: str) -> float:
    value = number(document, key)
    return value if math.isfinite(value) else 0


def _latency_s(document: Document, key: str) -> float:
    """Null is what JSON makes of a quantile without an answer."""
    return math.inf if document.get(key, math.nan) is None else number(document, key)


def _decimal(value: object) -> float:
    try:
        return float(value) if isinstance(value, (str, int)) else math.nan
    except ValueError:
        return math.nan


def _duration_s(words: str) -> float:
    return sum(float(amount) * _UNIT_S[unit] for amount, unit in _PART.findall(words))
