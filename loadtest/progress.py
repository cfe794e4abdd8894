"""One calm line about a run at a time: each second on a terminal, every ten seconds in a log."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import gevent

if TYPE_CHECKING:
    from loadtest.outcomes import Outcomes

ON_TERMINAL_S = 1.0
IN_LOG_S = 10.0


def progress_line(outcomes: Outcomes, elapsed_s: float, duration_s: float) -> str:
    """Return the line, and forget the latencies it was made from."""
    recent, outcomes.recent_s = sorted(outcomes.recent_s), []
    p95 = f"{1000 * recent[min(len(recent) - 1, int(0.95 * len(recent)))]:.0f} ms" if recent else "-"
    total = len(outcomes.sent_s)
    return (
        f"{elapsed_s:6.1f} of {duration_s:g} s   sent {outcomes.sent}/{total}   in flight {outcomes.in_flight}"
        f"   p95 now {p95}" + (f"   skipped {outcomes.skipped}" if outcomes.skipped else "")
    )


def show_progress(outcomes: Outcomes, *, zero_s: float, duration_s: float) -> None:
    """Print the line to stderr again and again, until the greenlet is killed."""
    every_s = ON_TERMINAL_S if sys.stderr.isatty() else IN_LOG_S
    while True:
        gevent.sleep(every_s)
        elapsed_s = time.monotonic() - zero_s
        if elapsed_s > 0:
            print(progress_line(outcomes, elapsed_s, duration_s), file=sys.stderr, flush=True)  # noqa: T201  a command
