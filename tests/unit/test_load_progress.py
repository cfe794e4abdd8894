from __future__ import annotations

from loadtest.outcomes import Outcomes
from loadtest.progress import progress_line


def test_the_line_tells_what_was_sent_what_waits_and_the_latest_latencies():
    outcomes = Outcomes.none_yet(200)
    outcomes.sent, outcomes.in_flight = 120, 3
    outcomes.recent_s = [i / 1000 for i in range(100)]
    assert progress_line(outcomes, 12.34, 20.0) == "  12.3 of 20 s   sent 120/200   in flight 3   p95 now 95 ms"


def test_each_line_speaks_of_the_time_since_the_line_before():
    outcomes = Outcomes.none_yet(1)
    outcomes.recent_s = [0.1]
    progress_line(outcomes, 1.0, 20.0)
    assert progress_line(outcomes, 2.0, 20.0).endswith("p95 now -")


def test_skipped_sends_are_shown_at_once():
    outcomes = Outcomes.none_yet(1)
    outcomes.skipped = 4
    assert progress_line(outcomes, 1.0, 20.0).endswith("skipped 4")
