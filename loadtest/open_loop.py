"""Send each request of a schedule when it is due, whether or not earlier answers are in (an open loop).

One greenlet waits for the instants and starts a greenlet for each request; nothing else decides when something is
sent. Three times are kept of each: intended, sent, done. Where the generator itself fell behind, the figures say so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import gevent
from gevent.event import Event

from loadtest.connections import NoAnswerError
from loadtest.outcomes import Outcomes, classify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.connections import Answer

HIGHEST_PRIORITY = 2
"""Of libev's five: when an instant is due and answers are waiting too, sending comes first."""


class Exchange(Protocol):
    """How a request travels."""

    def __call__(self, request: bytes, /) -> Answer:
        """Send one ready-made request and wait for its answer, or raise NoAnswerError."""
        ...


class Listener(Protocol):
    """Who wants to know of each request that ended."""

    def __call__(self, latency_s: float, answer_bytes: int, reason: str | None, /) -> None:
        """Hear what the user felt, and why it was no right answer (None if it was)."""
        ...


@dataclass(frozen=True, slots=True)
class Sending:
    """What one generator sends, in order of time, and within which bounds.

    Attributes:
        intended_s: when each request is due, seconds from the start of the run.
        requests: the bytes of each.
        is_right: body of a 200 → whether it is a right answer.
        max_in_flight: requests that may wait for an answer at once; one more is skipped and counted.
        timeout_s: how long after the last send the run waits for answers.
    """

    intended_s: Sequence[float]
    requests: Sequence[bytes]
    is_right: Callable[[bytes], bool]
    max_in_flight: int
    timeout_s: float


class OpenLoop:
    """Runs a `Sending` once."""

    def __init__(self, sending: Sending, exchange: Exchange, listener: Listener) -> None:
        self.outcomes = Outcomes.none_yet(len(sending.requests))
        self._sending = sending
        self._exchange = exchange
        self._listener = listener
        self._all_in = Event()
        self._is_sending = True
        self._is_over = False

    def run(self, zero_s: float) -> None:
        """Send everything and return when the last answer is in, or when the timeout after the last send has passed.

        Args:
            zero_s: the start of the run on the clock of `time.monotonic`.
        """
        outcomes, sending = self.outcomes, self._sending
        try:
            for position, intended_s in enumerate(sending.intended_s):
                _wait_until(zero_s + intended_s)
                if outcomes.in_flight >= sending.max_in_flight:
                    outcomes.skipped += 1
                else:
                    outcomes.in_flight += 1
                    gevent.spawn_raw(self._send, position, zero_s)
            self._is_sending = False
            if outcomes.in_flight:
                self._all_in.wait(sending.timeout_s)
        finally:
            # An answer that comes after this must not change what is being written down.
            self._is_over = True

    def _send(self, position: int, zero_s: float) -> None:
        outcomes = self.outcomes
        outcomes.sent_s[position] = time.monotonic() - zero_s
        outcomes.sent += 1
        try:
            self._record(position, zero_s)
        finally:
            outcomes.in_flight -= 1
            if not (outcomes.in_flight or self._is_sending):
                self._all_in.set()

    def _record(self, position: int, zero_s: float) -> None:
        outcomes, sending = self.outcomes, self._sending
        try:
            answer = self._exchange(sending.requests[position])
        except NoAnswerError as error:
            self._tell(position, time.monotonic() - zero_s, 0, str(error))
            return
        done_s = time.monotonic() - zero_s
        if self._is_over:
            return
        name, reason = classify(answer, sending.is_right)
        outcomes.done_s[position] = done_s
        outcomes.status[position] = answer.status
        outcomes.request_class[position] = name
        self._tell(position, done_s, len(answer.body), reason)

    def _tell(self, position: int, ended_s: float, answer_bytes: int, reason: str | None) -> None:
        latency_s = ended_s - self._sending.intended_s[position]
        self.outcomes.recent_s.append(latency_s)
        if reason is not None:
            self.outcomes.reasons[reason] += 1
        self._listener(latency_s, answer_bytes, reason)


def _wait_until(due_s: float) -> None:
    """Let others run until `due_s` on the monotonic clock; returns at once when it has passed.

    libev waits in whole milliseconds, so the wait ends up to 1 ms after the instant; it counts from the time at which
    its loop last looked at the clock, which is refreshed first, or the wait would end early after a busy stretch.
    """
    hub = gevent.get_hub()
    while (remaining_s := due_s - time.monotonic()) > 0:
        hub.loop.update_now()
        hub.wait(hub.loop.timer(remaining_s, priority=HIGHEST_PRIORITY))
