"""Requests inside simulated pods: the queue, the batches that free workers take, and their ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.performance_model.batch_choice import choose_batch, is_full
from controller.performance_model.batch_durations import BatchDurations
from controller.performance_model.request_ledger import EXPIRED, REJECTED

if TYPE_CHECKING:
    import numpy as np

    from controller.domain.service_time import ServiceTimes
    from controller.domain.serving_config import ServingConfig
    from controller.performance_model.pod import Pod
    from controller.performance_model.pod_scaling import Job, Timers
    from controller.performance_model.request_ledger import RequestLedger
    from controller.performance_model.shared_cores import SharedCores

REQUEST_TIMEOUT_S = 30.0
"""Deadline of a request, from its arrival; the server's default, and the activator hands on what is left of it."""


class PodBatching:
    """What servers do with the requests they are sent.

    Args:
        config: the setting at the start.
        service: seconds of a batch on a whole core.
        rng: noise of service times.
    """

    def __init__(self, config: ServingConfig, *, service: ServiceTimes, rng: np.random.Generator) -> None:
        self.config = config
        self.batches: list[tuple[int, int, float]] = []
        """Size, padded tokens and seconds of every batch, in order of its end."""
        self._service, self._rng = service, rng
        self._durations = BatchDurations(service, memory_mb=config.memory_mb, rng=rng)

    def connect(self, ledger: RequestLedger, cores: SharedCores[Job], timers: Timers) -> None:
        """Take the parts of the simulation that requests move through."""
        self._ledger, self._cores, self._timers = ledger, cores, timers

    def apply(self, config: ServingConfig) -> None:
        """Take over the hot settings, and the memory that service times depend on."""
        if config.memory_mb != self.config.memory_mb:
            self._durations = BatchDurations(self._service, memory_mb=config.memory_mb, rng=self._rng)
        self.config = config

    def join(self, pod: Pod, request: int, now_s: float) -> None:
        """Have a request join a pod's queue, or be rejected by it."""
        self._ledger.joined_s[request] = now_s
        pod.taken.append(request)
        if len(pod.queue) >= self.config.max_queue_length:
            pod.rejected += 1
            self._ledger.refuse(request, now_s, REJECTED)
            return
        pod.queue.append(request)
        pod.held += 1
        if pod.busy < self.config.workers:
            self.dispatch(pod, now_s)

    def dispatch(self, pod: Pod, now_s: float) -> None:
        """Let free workers take what is due."""
        config, ledger = self.config, self._ledger
        while pod.queue and pod.busy < config.workers:
            # The activator is first in, first out, so the oldest is first here too.
            if ledger.arrival_s[pod.queue[0]] + REQUEST_TIMEOUT_S <= now_s:
                self._expire(pod, now_s)
                continue
            queue = pod.queue
            if config.max_batch_size == 1 or (len(queue) == 1 and not config.max_queue_delay_s):
                # Nothing to choose; this is most batches at low load.
                self._begin(pod, [queue.pop(0)], now_s)
                continue
            chosen = choose_batch([ledger.tokens[request] for request in queue], config)
            if config.max_queue_delay_s > 0 and not is_full(len(chosen), len(queue), config):
                due_s = ledger.joined_s[queue[0]] + config.max_queue_delay_s
                if now_s < due_s:
                    self._wake(pod, due_s)
                    break
            if len(chosen) == len(queue):
                batch, pod.queue = queue, []
            else:
                batch = [queue[index] for index in chosen]
                taken = set(chosen)
                pod.queue = [request for index, request in enumerate(queue) if index not in taken]
            self._begin(pod, batch, now_s)

    def _begin(self, pod: Pod, batch: list[int], now_s: float) -> None:
        ledger, size = self._ledger, len(batch)
        longest = ledger.tokens[batch[0]] if size == 1 else max([ledger.tokens[request] for request in batch])
        pod.busy += 1
        for request in batch:
            pod.queue_wait_s += now_s - ledger.joined_s[request]
        self._cores.add(now_s, self._durations.draw_s(size, longest), (pod, batch, now_s, size * longest))

    def _expire(self, pod: Pod, now_s: float) -> None:
        """Refuse the oldest request of a pod's queue."""
        self._ledger.refuse(pod.queue.pop(0), now_s, EXPIRED)
        pod.held -= 1
        pod.expired += 1

    def _wake(self, pod: Pod, due_s: float) -> None:
        if pod.due_s == due_s:
            return
        pod.due_s = due_s

        def wake(now_s: float) -> None:
            pod.due_s = math.inf
            self.dispatch(pod, now_s)

        self._timers.at(due_s, wake)

    def finish(self, pod: Pod, batch: list[int], seconds: float, *, padded_tokens: int, now_s: float) -> None:
        """Answer a batch and let the worker take the next one."""
        size = len(batch)
        pod.busy -= 1
        pod.held -= size
        pod.answered += size
        record = (size, padded_tokens, seconds)
        pod.batches.append(record)
        self.batches.append(record)
        self._ledger.answer(batch, now_s)
        if pod.queue:
            self.dispatch(pod, now_s)
