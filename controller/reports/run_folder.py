"""Reads the folder of one run, the only place where a report touches its files."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.instance_log import InstanceRow, read_instance_log
from controller.domain.request_log import RequestLog, read_request_log
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.reports.journal import AppliedChange, Decision, read_applied, read_decisions
from controller.reports.json_fields import Document, mapping, number, read_object, read_object_if_there, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Everything one run left behind. Times are seconds since the start of its schedule."""

    path: Path
    run: Document
    """run.json: command, versions, seeds, settings."""
    load: Document
    """load.json: what the load generator says about itself; empty where it said nothing."""
    requests: RequestLog
    instances: tuple[InstanceRow, ...]
    decisions: tuple[Decision, ...]
    applied: tuple[AppliedChange, ...]
    controller_cpu_s: float
    """CPU seconds of the loop; 0 where none ran."""
    scheduled: int | None
    """Requests in schedule.csv; None where the run kept none."""
    schedule_digest: str
    """First 12 hex digits of the SHA-256 of schedule.csv; empty where there is none."""

    @property
    def horizon_s(self) -> float:
        """Until when instances are billed: the end of the schedule and its tail, or the last answer if later."""
        planned = _sum_of_known(number(self.run, "duration_s"), number(self.run, "tail_s"))
        done = self.requests.done_s[np.isfinite(self.requests.done_s)]
        intended = self.requests.intended_s
        return max(planned, float(done.max(initial=0.0)), float(intended.max(initial=0.0)))


def read_run_folder(path: Path) -> RunFolder:
    """Read a run's folder.

    Raises:
        BadInputError: it is missing or half-written, or its run did not come to its end.
    """
    if not path.is_dir():
        raise BadInputError(f"{path}: no such folder; give the folder of a finished run, such as runs/demo-1")
    run = read_object(path / "run.json")
    if run.get("finished") is False:
        why = text(run, "why", "no reason given")
        raise BadInputError(f"{path}: the run did not come to its end ({why}); run it again")
    schedule = _schedule_lines(path / "schedule.csv")
    return RunFolder(
        path,
        run,
        read_object_if_there(path / "load.json"),
        read_request_log(path / "requests.csv"),
        tuple(read_instance_log(path / "instances.csv")),
        read_decisions(path / "decisions.jsonl"),
        read_applied(path / "settings.jsonl"),
        _sum_of_known(number(read_object_if_there(path / "controller.json"), "cpu_s")),
        None if schedule is None else max(len(schedule) - 1, 0),
        "" if schedule is None else hashlib.sha256(b"\n".join(schedule)).hexdigest()[:12],
    )


def slo_of(*documents: Mapping[str, object]) -> LatencySlo | None:
    """Return the objective that the first of these documents states under `slo`."""
    for document in documents:
        stated = mapping(document, "slo")
        quantile, bound_s = number(stated, "quantile"), number(stated, "bound_s")
        if math.isfinite(quantile) and math.isfinite(bound_s):
            return LatencySlo(quantile, bound_s)
    return None


def _schedule_lines(path: Path) -> list[bytes] | None:
    if not path.is_file():
        return None
    try:
        return path.read_bytes().splitlines()
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); make it readable") from error


def _sum_of_known(*values: float) -> float:
    return sum(value for value in values if math.isfinite(value))
