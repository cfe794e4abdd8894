"""One generator: a process that sends its share of the schedule and reports what happened as plain lists.

A run on one machine has one; `locust --processes N` or `--worker` gives more, each with every N-th request.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import time
from typing import TYPE_CHECKING, TypedDict

import gevent

from loadtest.connections import Connections
from loadtest.open_loop import OpenLoop, Sending
from loadtest.progress import show_progress

if TYPE_CHECKING:
    from loadtest.open_loop import Listener
    from loadtest.options import LoadOptions

REAL_TIME_PRIORITY = 1
"""Lowest of the real-time class. Beside a busy loop on its core, on a machine with six runnable processes for two
cores, sends were at most 1.3 ms late, against 10 ms with niceness -20 and 44 ms with -5. The kernel leaves the others
5 % of each core whatever happens."""
NICENESS = -10
"""Where real time is not allowed but this is."""
YOUNG_OBJECTS = 20_000
"""New objects between two looks of the garbage collector; all that exists before the run is left out of them."""


class Share(TypedDict):
    """What one generator did: columns of requests.csv by position in its share, and its own figures."""

    worker: int
    sent_s: list[float]
    done_s: list[float]
    status: list[int]
    request_class: list[str]
    reasons: dict[str, int]
    skipped: int
    priority: str
    cpu_s: float
    elapsed_s: float


class Generator:
    """Sends the requests whose index is `worker` modulo `workers`."""

    def __init__(self, options: LoadOptions, address: str, listener: Listener, *, worker: int, workers: int) -> None:
        schedule = options.schedule
        requests = options.protocol.requests(options.target, options.payloads.texts)
        sending = Sending(
            intended_s=schedule.intended_s[worker::workers].tolist(),
            requests=[requests[text] for text in schedule.text_id[worker::workers].tolist()],
            is_right=options.protocol.is_right,
            max_in_flight=max(1, options.max_in_flight // workers),
            timeout_s=options.timeout_s,
        )
        self._worker = worker
        self._duration_s = options.duration_s
        self._connections = Connections(options.target, address, timeout_s=options.timeout_s)
        self._loop = OpenLoop(sending, self._connections.exchange, listener)
        self._priority = "ordinary"
        self._zero_s = 0.0
        self._cpu_before_s = 0.0

    def run(self, zero_s: float) -> Share:
        """Send everything and wait for the answers.

        Args:
            zero_s: time zero of the run on the clock of `time.monotonic`.
        """
        self._priority = _claim_the_machine()
        self._zero_s, self._cpu_before_s = zero_s, time.process_time()
        progress = gevent.spawn(show_progress, self._loop.outcomes, zero_s=zero_s, duration_s=self._duration_s)
        try:
            self._loop.run(zero_s)
        finally:
            progress.kill(block=False)
            self._connections.close()
        return self.share()

    def share(self) -> Share:
        """Return what has happened so far."""
        outcomes = self._loop.outcomes
        return {
            "worker": self._worker,
            "sent_s": outcomes.sent_s,
            "done_s": outcomes.done_s,
            "status": outcomes.status,
            "request_class": list(outcomes.request_class),
            "reasons": dict(outcomes.reasons),
            "skipped": outcomes.skipped,
            "priority": self._priority,
            "cpu_s": time.process_time() - self._cpu_before_s,
            "elapsed_s": time.monotonic() - self._zero_s,
        }


def _claim_the_machine() -> str:
    """Take priority, file handles and freedom from long garbage collections, as far as the system gives them.

    Returns:
        The priority that was given.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    with contextlib.suppress(OSError, AttributeError):  # only Linux has it, and only some users may
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(REAL_TIME_PRIORITY))
        return "real time"
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        return f"nice {NICENESS}"
    return "ordinary"
