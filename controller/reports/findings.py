"""A report as a value: what was measured, against what, and whether it may be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.reports.json_fields import Document, json_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.domain.prices import Prices
    from controller.domain.slo import LatencySlo
    from controller.reports.column import Bill, Column, Figures
    from controller.reports.forecast import Forecast
    from controller.reports.journal import AppliedChange, Decision

SCHEMA = 1
CHANGE_KINDS = ("alarm", "regime")


@dataclass(frozen=True, slots=True)
class Report:
    """One demo, or one run (then there is one column)."""

    name: str
    """Name of the folder."""
    slo: LatencySlo
    prices: Prices
    columns: tuple[Column, ...]
    expected: dict[str, Document]
    """Figures that a simulation gave for a column before it ran live, by column."""
    decisions: tuple[Decision, ...]
    applied: tuple[AppliedChange, ...]
    forecasts: tuple[Forecast, ...]
    phases_s: tuple[float, ...]
    """Instants at which the schedule's own law changed, where its document says so."""
    facts: tuple[tuple[str, str], ...]
    """How it was measured: what, value."""
    why_invalid: tuple[str, ...]

    @property
    def main(self) -> Column:
        """The column that the headline is about: tidegate where it ran."""
        return self.column("tidegate") or self.columns[0]

    @property
    def changes(self) -> tuple[Decision, ...]:
        """The decisions that answered a detected change: alarms and regime changes."""
        return tuple(each for each in self.decisions if each.kind in CHANGE_KINDS)

    @property
    def horizon_s(self) -> float:
        """The end of the longest run shown."""
        return max((column.run.horizon_s for column in self.columns if column.run is not None), default=0.0)

    def column(self, name: str) -> Column | None:
        """Return a column by its name, None where it did not run."""
        return next((column for column in self.columns if column.name == name), None)

    def to_document(self) -> Document:
        """Return report.json; a number that does not exist (no requests, no answer) is null."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "slo": {"quantile": self.slo.quantile, "bound_s": self.slo.bound_s},
            "prices": self.prices.version,
            "valid": not self.why_invalid,
            "why_invalid": list(self.why_invalid),
            "columns": {column.name: _column_document(column) for column in self.columns},
            "expected": self.expected,
            "changes": [_change_document(each) for each in self.changes],
            "decisions": [each.document for each in self.decisions],
            "predicted_against_observed": [_forecast_document(each) for each in self.forecasts],
            "facts": dict(self.facts),
        }


def _column_document(column: Column) -> Document:
    return {"kind": column.kind, **_figures_document(column.figures), **_bill_document(column.bill)}


def _figures_document(figures: Figures) -> Document:
    return {
        "requests": figures.requests,
        "errors": figures.by_class.get("error", 0),
        "rejected": figures.by_class.get("rejected", 0),
        "expired": figures.by_class.get("expired", 0),
        "late": figures.late,
        "by_class": figures.by_class,
        "window_violation_ratio": json_number(figures.window_violation_ratio),
        "p50_s": json_number(figures.p50_s),
        "p95_s": json_number(figures.p95_s),
        "p99_s": json_number(figures.p99_s),
        "cost_usd": json_number(figures.cost_usd),
        "cost_per_million_usd": json_number(figures.cost_per_million_usd),
        "cold_starts": figures.cold_starts,
    }


def _bill_document(bill: Bill | None) -> Document:
    if bill is None:
        return {"instance_seconds": None}
    return {
        "instance_seconds": json_number(bill.instance_s),
        "starting_instance_seconds": json_number(bill.starting_s),
        "vcpu_seconds": json_number(bill.vcpu_s),
        "gb_seconds": json_number(bill.gb_s),
    }


def _change_document(decision: Decision) -> Document:
    return {
        "at_s": decision.at_s,
        "kind": decision.kind,
        "rate_rps": json_number(decision.rate_rps),
        "fano": json_number(decision.fano),
        "reason": decision.reason,
    }


def _forecast_document(forecast: Forecast) -> Document:
    predicted = forecast.predicted
    pairs: Sequence[tuple[str, float, float]] = (
        ("p95_s", predicted.p95_s, forecast.p95_s),
        ("attainment", predicted.attainment, forecast.attainment),
        ("cost_per_million_usd", predicted.cost_per_million_usd, forecast.cost_per_million_usd),
    )
    return {
        "from_s": forecast.from_s,
        "until_s": forecast.until_s,
        "requests": forecast.requests,
        **{name: {"predicted": json_number(said), "observed": json_number(seen)} for name, said, seen in pairs},
    }
