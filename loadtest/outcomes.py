"""What became of each request, and which class it belongs to."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.domain.request_log import RequestRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controller.domain.request_log import RequestClass
    from loadtest.connections import Answer
    from loadtest.schedule import Schedule


@dataclass(slots=True)
class Outcomes:
    """Times since the start of the run, by position: NaN where nothing was sent or no answer came.

    Each request counts as an error until its right answer is in. `reasons` counts why answers were not right;
    `recent_s` holds the latencies since someone last took them.
    """

    sent_s: list[float]
    done_s: list[float]
    status: list[int]
    request_class: list[RequestClass]
    sent: int = 0
    skipped: int = 0
    in_flight: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    recent_s: list[float] = field(default_factory=list)

    @classmethod
    def none_yet(cls, count: int) -> Outcomes:
        """Return outcomes of that many requests before the first is sent."""
        return cls([math.nan] * count, [math.nan] * count, [0] * count, ["error"] * count)


def classify(answer: Answer, is_right: Callable[[bytes], bool]) -> tuple[RequestClass, str | None]:
    """Return the class of an answered request and, unless the answer is right, the reason in a few words."""
    if answer.status == 429:
        return "rejected", "429: the queue is full"
    if answer.status == 504:
        return "expired", "504: its deadline passed in the queue"
    if answer.status != 200:
        return "error", f"HTTP status {answer.status}"
    if not is_right(answer.body):
        return "error", "200 without exactly one label"
    return ("cold_start" if answer.is_cold_start else "ok"), None


def request_rows(schedule: Schedule, outcomes: Outcomes, *, warm_up_s: float) -> Iterator[RequestRow]:
    """Yield the rows of requests.csv; what was due before `warm_up_s` becomes a class of its own."""
    planned = (schedule.intended_s.tolist(), schedule.tokens.tolist())
    seen = (outcomes.sent_s, outcomes.done_s, outcomes.status, outcomes.request_class)
    for index, (due_s, tokens, sent_s, done_s, status, name) in enumerate(zip(*planned, *seen, strict=True)):
        yield RequestRow(index, due_s, sent_s, done_s, status, "warm_up" if due_s < warm_up_s else name, tokens)
