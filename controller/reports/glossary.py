"""The words of a report, each explained in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.domain.slo import ALLOWED_VIOLATION_RATIO, WINDOW_ARRIVALS
from controller.reports import formats
from controller.reports.prose import prose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.domain.slo import LatencySlo

Pairs = tuple[tuple[str, str], ...]
_WORDS: Pairs = (
    ("late", "over the bound, or without a right answer: rejected, expired and failed requests are late."),
    ("p95", "95 % of all requests were at least this fast; likewise p50 and p99."),
    ("cold start", "an instance had to start, because there was none or too few."),
    ("alarm", "the law of the arrivals seems to have changed; hot and warm settings may move."),
    ("regime change", "a new level that lasted and that chance does not explain; slow settings may move too."),
    (
        "hot, warm, slow",
        "the price of a change: inside a running server; about two seconds, without a restart; new instances.",
    ),
    ("untuned defaults", "what Knative and our server do when nobody sets anything."),
    (
        "best fixed in hindsight",
        "the cheapest setting of the grid that would have held this very schedule, had it been known.",
    ),
    (
        "cost per million requests",
        "the cost of all instances, divided by all requests of the schedule, answered or not.",
    ),
)


def glossary(slo: LatencySlo) -> Pairs:
    """Return (term, explanation), with the numbers of this objective."""
    allowed = f"{WINDOW_ARRIVALS * (1 - slo.quantile):.4g}"
    return (
        ("window", f"{WINDOW_ARRIVALS} consecutive arrivals; it violates when more than {allowed} of them were late."),
        ("objective", f"held when at most {formats.share(ALLOWED_VIOLATION_RATIO)} of the windows violate."),
        *_WORDS,
    )


def definitions(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a list of terms and what they mean, as HTML."""
    return f"<dl>{''.join(f'<dt>{prose(term)}</dt><dd>{prose(words)}</dd>' for term, words in pairs)}</dl>"
