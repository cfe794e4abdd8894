"""The bounded queue in front of a sink: requests join it, the policy forms batches, answers complete their futures."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from inference_service.batching.batch import Batch, QueuedRequest
from inference_service.batching.policy import BatchLimits, decide
from inference_service.errors import (
    DeadlineError,
    QueueFullError,
    RuntimeFailedError,
    TooLargeError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference_service.batching.sinks.protocol import Sink
    from inference_service.counters import Counters
    from inference_service.hot_settings import HotSettings
    from inference_service.inference import BatchAnswer, TokenIds


_LATE_S = 1.0
"""How long after its last deadline a batch may still be answered."""
_HUNG_S = 30.0
"""After this time more its worker is taken for hung, and replaced."""


class Batcher:
    """Single-threaded: everything happens on the event loop that `submit` is called from."""

    def __init__(
        self,
        sink: Sink,
        settings: HotSettings,
        counters: Counters,
        labels: Sequence[str],
        now_s: Callable[[], float] = time.monotonic,  # uvloop's own clock ticks in whole milliseconds
    ) -> None:
        self._sink = sink
        self._counters = counters
        self._labels = labels
        self._now_s = now_s
        self._loop = asyncio.get_running_loop()
        self._queue: list[QueuedRequest] = []
        self._retries: deque[QueuedRequest] = deque()
        self._out: set[Batch] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        self.apply(settings)
        sink.on_free_slot(self._advance)

    def apply(self, settings: HotSettings) -> None:
        """Obey new hot settings from now on."""
        self._limits = BatchLimits(settings.max_batch_size, settings.batch_tokens, settings.max_queue_delay_s)
        self._max_queue_length = settings.max_queue_length
        if self._queue:
            self._advance()

    def check_room(self, n: int) -> None:
        """Refuse early, before any work is put into a request of n instances.

        Raises:
            QueueFullError: the arrivals are counted, as rejected ones.
            TooLargeError: they could never fit.
        """
        if len(self._queue) + n <= self._max_queue_length:
            return
        if n > self._max_queue_length:
            bound = self._max_queue_length
            raise TooLargeError(f"the call has {n} instances, the queue takes {bound} at most; send several calls")
        now_s = self._now_s()
        self._counters.bins.add(now_s, n)
        self._counters.bins.censor(now_s)
        self._counters.count_rejected(QueueFullError.reason, n)
        waiting, bound = len(self._queue), self._max_queue_length
        raise QueueFullError(f"the queue holds {waiting} of {bound} requests and {n} more do not fit; try again later")

    def submit(self, inputs: Sequence[TokenIds], timeout_s: float) -> list[QueuedRequest]:
        """Queue all instances of a request, or none of them.

        Raises:
            QueueFullError: they do not all fit.
        """
        self.check_room(len(inputs))
        now_s = self._now_s()
        requests = [QueuedRequest(ids, now_s, now_s + timeout_s, self._loop.create_future()) for ids in inputs]
        counters = self._counters
        counters.bins.add(now_s, len(requests))
        counters.accepted += len(requests)
        for request in requests:
            counters.count_length(request.tokens)
        self._queue += requests
        counters.queue_length = len(self._queue)
        if self._sink.has_free_slot():
            self._advance()
        else:
            self._wake_at(now_s + timeout_s)
        return requests

    def cancel(self, requests: Sequence[QueuedRequest]) -> None:
        """The client has gone: requests that still wait leave the queue, those in a batch are computed for nobody."""
        for request in requests:
            if request.answer.done():
                continue
            request.answer.cancel()
            self._counters.cancelled += 1
            if request in self._queue:
                self._queue.remove(request)
            elif request in self._retries:
                self._retries.remove(request)
        self._counters.queue_length = len(self._queue)

    def count_unfinished(self) -> int:
        """Requests that wait or are being computed."""
        return len(self._queue) + len(self._retries) + sum(batch.size for batch in self._out)

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is being computed."""
        return not self.count_unfinished()

    def give_up(self) -> None:
        """Time has run out: whoever still waits for an answer gets an error."""
        error = UnavailableError("the server stopped before this request was done; send it to another one")
        for request in [*self._queue, *self._retries, *(each for batch in self._out for each in batch.requests)]:
            if not request.answer.done():
                self._counters.failed += 1
                request.answer.set_exception(error)
        self._queue.clear()
        self._retries.clear()
        self._counters.queue_length = 0

    def _advance(self) -> None:
        """Send batches while a worker is free and one is due; then arm the timer for what the policy waits for."""
        while True:
            now_s = self._now_s()
            self._expire_retries(now_s)
            while self._retries and self._sink.has_free_slot():
                self._send(Batch([self._retries.popleft()]))
            verdict = decide(self._queue, now_s, self._limits, has_free_worker=self._sink.has_free_slot())
            for position in verdict.expired:
                self._expire(self._queue[position], now_s)
            batch = Batch([self._queue[position] for position in verdict.batch])
            if verdict.expired or verdict.batch:
                gone = {*verdict.expired, *verdict.batch}
                self._queue = [request for i, request in enumerate(self._queue) if i not in gone]
                self._counters.queue_length = len(self._queue)
            if not verdict.batch:
                break
            for request in batch.requests:
                self._counters.queue_wait_s.observe(now_s - request.arrived_s)
            self._send(batch)
        if verdict.wake_s is not None:
            self._wake_at(verdict.wake_s)
        if self._retries:
            self._wake_at(min(request.deadline_s for request in self._retries))

    def _expire_retries(self, now_s: float) -> None:
        for request in [each for each in self._retries if each.deadline_s <= now_s]:
            self._retries.remove(request)
            self._expire(request, now_s)

    def _send(self, batch: Batch) -> None:
        self._counters.in_flight += batch.size
        self._out.add(batch)
        answer = self._sink.send([request.token_ids for request in batch.requests])
        last_s = max(request.deadline_s for request in batch.requests)
        watch = self._loop.call_later(max(0.0, last_s - self._now_s()) + _LATE_S, self._give_up_on, batch, answer)
        answer.add_done_callback(partial(self._complete, batch, watch))

    def _give_up_on(self, batch: Batch, answer: asyncio.Future[BatchAnswer]) -> None:
        """Nobody waits in vain for a worker that hangs; one that goes on hanging is replaced."""
        now_s = self._now_s()
        for request in batch.requests:
            self._expire(request, now_s, "its worker has not answered")
        watch = self._loop.call_later(_HUNG_S, answer.cancel)
        answer.add_done_callback(lambda _: watch.cancel())

    def _complete(self, batch: Batch, watch: asyncio.TimerHandle, answer: asyncio.Future[BatchAnswer]) -> None:
        watch.cancel()
        self._counters.in_flight -= batch.size
        self._out.discard(batch)
        if answer.cancelled():  # its requests have had their answers
            return
        error = answer.exception()
        if error is None:
            self._hand_out(batch, answer.result())
            return
        # The network said no to this text alone: a second time would be no different.
        is_final = isinstance(error, RuntimeFailedError) and batch.size == 1
        for request in batch.requests:
            if request.answer.done():
                continue
            if is_final or request.is_retried:
                self._counters.failed += 1
                request.answer.set_exception(error)
            else:
                # Alone, so that whatever brought the batch down cannot do it to its neighbours again.
                request.is_retried = True
                self._retries.append(request)
        self._advance()

    def _hand_out(self, batch: Batch, answer: BatchAnswer) -> None:
        self._counters.count_batch(
            size=batch.size, tokens=batch.tokens, padded_tokens=batch.padded_tokens, service_s=answer.service_s
        )
        for request, prediction in zip(batch.requests, batch.split(answer, self._labels), strict=True):
            if not request.answer.done():
                self._counters.answered += 1
                request.answer.set_result(prediction)

    def _expire(self, request: QueuedRequest, now_s: float, what: str = "nothing was computed") -> None:
        if request.answer.done():
            return
        self._counters.expired += 1
        waited_s = now_s - request.arrived_s
        request.answer.set_exception(DeadlineError(f"the deadline passed after {waited_s:.3f} s; {what}"))

    def _wake_at(self, when_s: float) -> None:
        """Arm the timer, unless it already rings earlier."""
        if self._timer is not None and self._timer_s <= when_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = when_s
        self._timer = self._loop.call_later(max(0.0, when_s - self._now_s()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._advance()
