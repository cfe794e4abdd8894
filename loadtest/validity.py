"""Whether a run may be believed: a generator that was late measures itself and not the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LATE_S = 0.010
"""A send that begins later than this after its instant counts as late."""
MAX_LATE_SHARE = 0.01
"""One late send is forgiven whatever its share: below 100 requests it says nothing about the others."""
MAX_CPU_SHARE = 0.80
"""Above it a single-threaded generator queues inside itself, whatever its clocks say."""


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """How the generators of a run fared.

    Attributes:
        cpu_s: CPU seconds of all of them, from time zero to the last answer.
        cpu_share: CPU seconds per second of the busiest one.
        skipped: sends left out because `max_in_flight` requests were waiting.
        elapsed_s: from time zero to the last answer.
        workers: how many took part.
        priority: which the system gave them.
        reasons: why answers were not right, with counts.
        trouble: what else spoils the run, such as an interruption.
    """

    cpu_s: float
    cpu_share: float
    skipped: int
    elapsed_s: float
    workers: int
    priority: str
    reasons: Mapping[str, int]
    trouble: str | None = None


def why_invalid(late: int, requests: int, figures: GeneratorFigures) -> str | None:
    """Return the reasons why a run is invalid, each with its remedy, or None for a valid one.

    Args:
        late: sends that were late.
        requests: in the schedule.
        figures: of the generators.
    """
    reasons: list[str] = []
    if figures.trouble:
        reasons.append(figures.trouble)
    if figures.skipped:
        reasons.append(f"{figures.skipped} sends were skipped at --max-in-flight; raise it or lower the load")
    if late > max(1, MAX_LATE_SHARE * requests):
        reasons.append(
            f"{late / requests:.1%} of the sends were more than {1000 * LATE_S:.0f} ms late "
            f"(bound {MAX_LATE_SHARE:.0%}); give the generator more of a core or lower the load"
        )
    if figures.cpu_share > MAX_CPU_SHARE:
        reasons.append(
            f"the generator used {figures.cpu_share:.0%} of a core (bound {MAX_CPU_SHARE:.0%}); "
            "lower the load or use locust --processes"
        )
    return "; ".join(reasons) or None
