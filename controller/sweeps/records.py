"""What is kept of the trials of a sweep, and the folder that keeps it; a sweep that crashed goes on from here.

FOLDER/sweep.json          the document, how it is run, and where it stands
FOLDER/trials.json         one record a finished trial, in order
FOLDER/trials/007/         the run's folder of trial 7
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from controller.domain.documents import read_json
from controller.domain.slo import ALLOWED_VIOLATION_RATIO
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from controller.domain.slo import LatencySlo
    from controller.sweeps.parameters import Setting

TrialState = Literal["Complete", "Failed", "Invalid"]
"""Complete: measured. Failed: the run broke off. Invalid: it ended, but its figures must not be trusted."""
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFigures:
    """What one run measured. Latencies are infinite where the quantile falls on a request without a right answer."""

    requests: int = 0
    rejected: int = 0
    errors: int = 0
    """Requests without a right answer, the rejected ones included."""
    cold_starts: int = 0
    """Instances that started while the schedule ran."""
    p50_s: float = math.nan
    p95_s: float = math.nan
    p99_s: float = math.nan
    slo_quantile_s: float = math.nan
    """Latency at the objective's own quantile."""
    window_violation_ratio: float = math.nan
    cost_per_million_usd: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One finished trial."""

    number: int
    parameters: Setting
    state: TrialState
    why: str
    """Reason of a state other than Complete; empty otherwise."""
    figures: TrialFigures

    def is_feasible(self, slo: LatencySlo) -> bool:
        """Return whether the objective held: its quantile inside the bound, and at most 5 % of windows violating."""
        return (
            self.state == "Complete"
            and self.figures.slo_quantile_s <= slo.bound_s
            and self.figures.window_violation_ratio <= ALLOWED_VIOLATION_RATIO
        )

    def to_document(self) -> dict[str, object]:
        """Return the record as JSON values; a figure that is no finite number becomes null."""
        figures = {name: _finite_or_none(value) for name, value in asdict(self.figures).items()}
        return {
            "number": self.number,
            "parameters": self.parameters,
            "state": self.state,
            "why": self.why,
            **figures,
        }


def best_of(records: Sequence[TrialRecord], slo: LatencySlo) -> TrialRecord | None:
    """Return the cheapest feasible trial, the faster one at equal cost; None when none is feasible."""
    feasible = [record for record in records if record.is_feasible(slo)]
    return min(feasible, key=lambda each: (each.figures.cost_per_million_usd, each.figures.p95_s), default=None)


@dataclass(frozen=True, slots=True)
class SweepFolder:
    """The files of one sweep."""

    path: Path
    identity: dict[str, object]
    """What makes two sweeps the same, as JSON values: document, model, platform, machine shape."""

    def open(self, *, resume: bool) -> list[TrialRecord]:
        """Create the folder, or read the finished trials of the same sweep back.

        Args:
            resume: whether a sweep that is there may be continued.

        Raises:
            BadInputError: it holds another sweep or anything else, or cannot be written.
        """
        try:
            if not (self.path / "sweep.json").exists():
                self._create()
                self.write_status("Running", [])
                return []
        except OSError as error:
            raise BadInputError(f"{self.path}: cannot be written ({error.strerror}); give another --out") from error
        found = _object(read_json(self.path / "sweep.json", remedy="give another --out"), f"{self.path}/sweep.json")
        if not resume:
            raise BadInputError(f"{self.path}: holds a sweep already; give another --out, or --resume to go on with it")
        for name, value in self.identity.items():
            if found.get(name) != value:
                raise BadInputError(f"{self.path}: was started with another {name}; give another --out")
        return read_records(self.path / "trials.json")

    def _create(self) -> None:
        trials = self.path / "trials"
        # An empty one is ours too: of a sweep whose first file found no room.
        is_ours = not self.path.exists() or (
            self.path.is_dir()
            and all(each == trials and each.is_dir() and not any(each.iterdir()) for each in self.path.iterdir())
        )
        if not is_ours:
            raise BadInputError(f"{self.path}: is there and holds no sweep; give an empty or a new folder as --out")
        trials.mkdir(parents=True, exist_ok=True)

    def trial(self, number: int) -> Path:
        """Return the path for the run of a trial; what an interrupted run left there is removed."""
        folder = self.path / "trials" / f"{number:03}"
        if folder.exists():
            shutil.rmtree(folder)
        return folder

    def write_records(self, records: Sequence[TrialRecord]) -> None:
        """Replace trials.json; a crash leaves the old or the new one, never half of it."""
        _write_json(self.path / "trials.json", [record.to_document() for record in records])

    def write_status(self, phase: str, records: Sequence[TrialRecord]) -> None:
        """Replace sweep.json: what is run, and how far it is."""
        states = [record.state for record in records]
        status = {"phase": phase, "trials": len(states), **{each: states.count(each) for each in get_args(TrialState)}}
        _write_json(self.path / "sweep.json", {"schema": SCHEMA, **self.identity, "status": status})


def read_records(path: Path) -> list[TrialRecord]:
    """Read trials.json; a file that is not there yet holds no trials.

    Raises:
        BadInputError: it is no list of records.
    """
    if not path.exists():
        return []
    found = read_json(path, remedy="give another --out")
    if not isinstance(found, list):
        raise BadInputError(f"{path}: needs a list of trials; give another --out")
    return [_record(each, f"{path}: trial {index}") for index, each in enumerate(cast("list[object]", found))]


def _record(value: object, where: str) -> TrialRecord:
    document = _object(value, where)
    try:
        # What no JSON number can say: a run that broke off has no figures, in others a quantile got no answer.
        null = math.nan if document["state"] == "Failed" else math.inf
        figures: dict[str, Any] = {
            each.name: null if document[each.name] is None else document[each.name] for each in fields(TrialFigures)
        }
        return TrialRecord(
            number=document["number"],
            parameters=document["parameters"],
            state=document["state"],
            why=document["why"],
            figures=TrialFigures(**figures),
        )
    except KeyError as error:
        raise BadInputError(f"{where}: the key {error} is missing; remove the trial or give another --out") from error


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInputError(f"{where}: needs an object; give another --out")
    return cast("dict[str, Any]", value)


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write_json(path: Path, document: object) -> None:
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        # A half-written file in a new folder would make the next attempt take the folder for somebody else's.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise BadInputError(
            f"{path}: cannot be written ({error.strerror}); make room there and go on with --resume"
        ) from error
