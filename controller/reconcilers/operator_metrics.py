"""What the operator counts of itself, and its text for Prometheus; few series, so a client library is not needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

Pair = tuple[str, str]


@dataclass(slots=True)
class OperatorMetrics:
    """Counts since the start of the process."""

    decisions: Counter[str] = field(default_factory=Counter[str])
    """By action."""
    changes: Counter[str] = field(default_factory=Counter[str])
    """By price: hot, warm, slow."""
    heartbeats: Counter[str] = field(default_factory=Counter[str])
    """By result: merged, untuned, refused, too-fast."""
    objective_met: dict[Pair, str] = field(default_factory=dict[Pair, str])
    """Status of the condition SLOMet, by tuning."""

    def text(self) -> str:
        """Return the exposition format of Prometheus."""
        lines: list[str] = []
        for name, label, counts, about in (
            ("tidegate_decisions_total", "action", self.decisions, "Decisions by action."),
            ("tidegate_changes_total", "price", self.changes, "Applied changes by price."),
            ("tidegate_heartbeats_total", "result", self.heartbeats, "Heartbeats by result."),
        ):
            lines += [f"# HELP {name} {about}", f"# TYPE {name} counter"]
            lines += [f'{name}{{{label}="{each}"}} {count}' for each, count in sorted(counts.items())]
        name = "tidegate_objective_met"
        lines += [f"# HELP {name} 1 while the latency objective holds, 0 while it does not.", f"# TYPE {name} gauge"]
        lines += [
            f'{name}{{namespace="{namespace}",tuning="{tuning}"}} {1 if status == "True" else 0}'
            for (namespace, tuning), status in sorted(self.objective_met.items())
            if status != "Unknown"
        ]
        return "\n".join(lines) + "\n"
