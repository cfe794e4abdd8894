"""Whether the figures of a run may be trusted, and if not, why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from controller.reports.json_fields import mapping, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.reports.column import Column
    from controller.reports.json_fields import Document
    from controller.reports.run_folder import RunFolder


def why_invalid(columns: Sequence[Column]) -> tuple[str, ...]:
    """Return one sentence for each reason not to trust the figures; empty for a valid run."""
    runs = [(column.name, column.run) for column in columns if column.run is not None]
    reasons = [f"{name}: {reason}" for name, run in runs for reason in _own_reasons(run)]
    return (*reasons, *_different_schedules(runs))


def _own_reasons(run: RunFolder) -> list[str]:
    reasons = [
        reason
        for source, document in (("run.json", run.run), ("load.json", run.load))
        if document.get("valid") is False
        for reason in _stated_reasons(document) or [f"{source} says the run is invalid and gives no reason"]
    ]
    lost = (run.scheduled or 0) - run.requests.intended_s.size - _left_out(run)
    if lost > 0:
        reasons.append(f"{lost} of {run.scheduled} scheduled requests are missing from requests.csv")
    return list(dict.fromkeys(reasons))


def _left_out(run: RunFolder) -> int:
    """Return how many warm-up requests the run had: they are in the schedule, but not in the figures."""
    count = number(mapping(mapping(run.load, "classes"), "warm_up"), "count")
    return int(count) if math.isfinite(count) else 0


def _stated_reasons(document: Document) -> list[str]:
    """Accept `why` or `why_invalid`, a sentence or a list of them."""
    for key in ("why_invalid", "why"):
        value = document.get(key)
        if isinstance(value, str) and value:
            return [value]
        if isinstance(value, list) and value:
            return [str(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return []


def _different_schedules(runs: Sequence[tuple[str, RunFolder]]) -> list[str]:
    if not runs:
        return []
    first_name, first = runs[0]
    return [
        f"{name}: ran another schedule than {first_name}, so the columns cannot be compared"
        for name, run in runs[1:]
        if not _same_arrivals(first, run)
    ]


def _same_arrivals(one: RunFolder, other: RunFolder) -> bool:
    mine, theirs = one.requests, other.requests
    return np.array_equal(mine.intended_s, theirs.intended_s) and np.array_equal(mine.tokens, theirs.tokens)
