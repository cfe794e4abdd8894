"""What the control loop wrote down during a run: decisions.jsonl and settings.jsonl as typed rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from controller.errors import BadInputError
from controller.reports.json_fields import Document, mapping, number, read_lines, text

if TYPE_CHECKING:
    from pathlib import Path

SettingValue = int | float | str | None
PROMISED = ("p95_s", "attainment", "cost_per_million_usd")
Changes = dict[str, tuple[SettingValue, SettingValue]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a decision promised for its setting; NaN where it made no promise."""

    p95_s: float
    attainment: float
    cost_per_million_usd: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of decisions.jsonl. `rate_rps` and `fano` are NaN where they were not known."""

    at_s: float
    kind: str
    action: str
    reason: str
    changes: Changes
    prediction: Prediction | None
    rate_rps: float
    fano: float
    law: str
    document: Document
    """The line as written, for report.json."""


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """One line of settings.jsonl: settings that took effect, and the price of that."""

    at_s: float
    price: str
    changes: Changes


def read_decisions(path: Path) -> tuple[Decision, ...]:
    """Read decisions.jsonl, in order of time; none where the file is absent."""
    return tuple(sorted((_decision(where, line) for where, line in read_lines(path)), key=lambda each: each.at_s))


def read_applied(path: Path) -> tuple[AppliedChange, ...]:
    """Read settings.jsonl, in order of time; none where the file is absent."""
    rows = [
        AppliedChange(_at_s(where, line), text(line, "price"), _changes(mapping(line, "changes")))
        for where, line in read_lines(path)
    ]
    return tuple(sorted(rows, key=lambda each: each.at_s))


def _decision(where: str, line: Document) -> Decision:
    arrivals, promised = mapping(line, "arrivals"), mapping(line, "prediction")
    prediction = Prediction(*(number(promised, name) for name in PROMISED))
    return Decision(
        _at_s(where, line),
        text(line, "kind", "unknown"),
        text(line, "action", "keep"),
        text(line, "reason"),
        _changes(mapping(line, "changes")),
        prediction if any(math.isfinite(number(promised, name)) for name in PROMISED) else None,
        number(arrivals, "rate_rps"),
        number(arrivals, "fano"),
        text(arrivals, "law"),
        line,
    )


def _at_s(where: str, line: Document) -> float:
    at_s = number(line, "at_s")
    if not math.isfinite(at_s):
        raise BadInputError(
            f"{where}: needs at_s, the seconds since the start of the run; got {line.get('at_s')!r:.60}"
        )
    return at_s


def _changes(document: Document) -> Changes:
    """Accept {knob: [old, new]} and, where only the new value was known, {knob: new}."""
    changes: Changes = {}
    for knob, value in document.items():
        pair = cast("list[object]", value) if isinstance(value, list) else [None, value]
        if len(pair) == 2:
            changes[knob] = (_setting(pair[0]), _setting(pair[1]))
    return changes


def _setting(value: object) -> SettingValue:
    return value if value is None or isinstance(value, (int, float, str)) else str(value)
