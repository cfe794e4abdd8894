"""Event simulator of pods behind an activator, scaled by Knative's rule (server law `knative_pods`).

Plain Python: one heap for the ends of batches (in virtual time of the shared cores), one for timers, and the arrivals
in order. A request joins the activator's queue or the least loaded pod with room, a free worker takes a batch by the
server's own rule, an end frees the worker. `finite_servers.simulate` covers the other two server laws.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.serving_config import AutoscalerSettings, InstanceShape
from controller.errors import BadInputError
from controller.performance_model.pod_batching import REQUEST_TIMEOUT_S, PodBatching
from controller.performance_model.pod_scaling import Job, PodScaling, Timers
from controller.performance_model.request_ledger import COLD_START, ERROR, EXPIRED, RequestLedger
from controller.performance_model.routing import router
from controller.performance_model.shared_cores import SharedCores
from controller.performance_model.simulation_result import SimulationResult

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from controller.domain.service_time import ServiceTimes
    from controller.domain.serving_config import ServingConfig
    from controller.performance_model.routing import Routing

ACTIVATOR_BUFFER = 10_000
"""Requests that the activator holds while no instance has room; the next one is answered 503."""


class PodSimulator:
    """Simulates one service from time 0.

    Args:
        config: the setting at the start.
        service: seconds of a batch on a whole core.
        rng: noise of service times.
        autoscaler: Knative's settings that are not tuned; its defaults if None.
        shape: size, cores and cold start of an instance; its defaults if None.
        initial_scale: instances that are ready at time 0; `min_scale` if that is more.
        routing: how the activator chooses an instance.
    """

    def __init__(  # noqa: PLR0913  a service, its surroundings and its chance
        self,
        config: ServingConfig,
        *,
        service: ServiceTimes,
        rng: np.random.Generator,
        autoscaler: AutoscalerSettings | None = None,
        shape: InstanceShape | None = None,
        initial_scale: int = 1,
        routing: Routing = "least_loaded",
    ) -> None:
        self.config = config
        self.now_s = 0.0
        self.ledger = RequestLedger()
        self.scaling = PodScaling(
            config, autoscaler or AutoscalerSettings(), shape or InstanceShape(), initial_scale=initial_scale
        )
        self._batching = PodBatching(config, service=service, rng=rng)
        self._choose = router(routing, rng).choose
        self._next = 0
        self._waiting: deque[int] = deque()
        self._cores: SharedCores[Job] = SharedCores(self.scaling.shape.cores)
        self._timers = Timers()
        self._batching.connect(self.ledger, self._cores, self._timers)
        self.scaling.connect(
            self._cores, self._timers, mean_inside=self.ledger.mean_inside, on_ready=self._release_waiting
        )

    @property
    def arrived(self) -> int:
        """Requests that have arrived by now."""
        return self._next

    def offer(self, arrivals_s: ArrayLike, tokens: ArrayLike | None = None) -> None:
        """Add requests that arrive from now on.

        Args:
            arrivals_s: instants, shape (n,), ascending, not before now and not before earlier offers.
            tokens: lengths, shape (n,); 1 each if None.

        Raises:
            BadInputError: out of order, in the past, or shapes that differ.
        """
        instants = np.asarray(arrivals_s, dtype=np.float64)
        lengths = np.ones(instants.size, dtype=np.int64) if tokens is None else np.asarray(tokens, dtype=np.int64)
        if instants.shape != lengths.shape or instants.ndim != 1:
            raise BadInputError(f"arrivals: needs one length per instant, got {instants.shape} and {lengths.shape}")
        earliest_s = max(self.now_s, self.ledger.arrival_s[-1]) if self.ledger.arrival_s else self.now_s
        if instants.size and not (instants[0] >= earliest_s and (np.diff(instants) >= 0).all()):
            raise BadInputError(f"arrivals: instants must ascend from {earliest_s:g} s on")
        self.ledger.extend(instants.tolist(), lengths.tolist())

    def advance(self, until_s: float) -> None:
        """Let everything happen up to and including `until_s`."""
        arrivals, cores, timers = self.ledger.arrival_s, self._cores, self._timers
        while True:
            event_s, timer_s = cores.next_s, timers.next_s
            is_end = event_s <= timer_s
            if not is_end:
                event_s = timer_s
            if self._next < len(arrivals) and arrivals[self._next] < event_s:
                event_s = arrivals[self._next]
                if event_s > until_s:
                    break
                self.now_s = event_s
                self._arrive(self._next, event_s)
                self._next += 1
                continue
            if event_s > until_s:
                break
            self.now_s = event_s
            if is_end:
                self._end(cores.pop(), event_s)
            else:
                timers.fire()
        self.now_s = until_s

    def run(self, arrivals_s: ArrayLike, tokens: ArrayLike | None = None, *, until_s: float = 0.0) -> SimulationResult:
        """Offer requests, go on until all are answered and at least until `until_s`, and return the result."""
        self.offer(arrivals_s, tokens)
        self.advance(max(until_s, self.ledger.arrival_s[-1] if self.ledger.arrival_s else 0.0))
        while self.ledger.inside:
            self.advance(min(self._cores.next_s, self._timers.next_s))
        return self.result()

    def apply(self, config: ServingConfig) -> None:
        """Change the setting now: hot at once, warm at the next tick, slow by a new revision."""
        self.config = config
        self._batching.apply(config)
        self.scaling.apply(config, self.now_s)
        for pod in list(self.scaling.ready):
            self._batching.dispatch(pod, self.now_s)

    def result(self) -> SimulationResult:
        """Return what was seen up to now."""
        ledger, seen = self.ledger, self._next
        batches = np.array(self._batching.batches, dtype=np.float64).reshape(-1, 3)
        return SimulationResult(
            server_law="knative_pods",
            arrival_s=np.array(ledger.arrival_s[:seen]),
            latency_s=np.array(ledger.latency_s[:seen]),
            request_class=np.array(ledger.classes(seen), dtype=np.str_),
            batch_size=batches[:, 0].astype(np.int64),
            padded_tokens=batches[:, 1].astype(np.int64),
            batch_s=batches[:, 2],
            instances=[pod.row(f"simulated-{pod.revision:05d}", self.scaling.shape) for pod in self.scaling.pods],
            until_s=self.now_s,
        )

    def _arrive(self, request: int, now_s: float) -> None:
        ledger, scaling = self.ledger, self.scaling
        ledger.enter(now_s)
        if not scaling.ready:
            ledger.status[request] = COLD_START
        pod = None if self._waiting else self._choose(self.scaling.ready)
        if pod is not None:
            self._batching.join(pod, request, now_s)
        elif len(self._waiting) >= ACTIVATOR_BUFFER:
            ledger.refuse(request, now_s, ERROR)
        else:
            self._waiting.append(request)
            if scaling.is_empty:
                scaling.poke(now_s)

    def _release_waiting(self, now_s: float) -> None:
        while self._waiting:
            if self.ledger.arrival_s[self._waiting[0]] + REQUEST_TIMEOUT_S <= now_s:
                self.ledger.refuse(self._waiting.popleft(), now_s, EXPIRED)
                continue
            pod = self._choose(self.scaling.ready)
            if pod is None:
                return
            self._batching.join(pod, self._waiting.popleft(), now_s)

    def _end(self, job: Job, now_s: float) -> None:
        pod, batch, began_s, padded_tokens = job
        if not batch:
            self.scaling.cpu_done(pod, now_s)
            return
        # The server's own queue first: the activator learns of the free place only from the answer.
        self._batching.finish(pod, batch, now_s - began_s, padded_tokens=padded_tokens, now_s=now_s)
        if self._waiting:
            self._release_waiting(now_s)
        if pod.state == "draining":
            self.scaling.stop_if_empty(pod, now_s)
