"""The life of simulated instances: the autoscaler's ticks, starts that burn CPU, readiness, draining, revisions."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from controller.domain.serving_config import PRICE_OF_CHANGE
from controller.performance_model.fleet import Member, plan_fleet
from controller.performance_model.knative_autoscaler import Autoscaler
from controller.performance_model.pod import Pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
    from controller.performance_model.shared_cores import SharedCores

OBSERVE_S = 1.0
"""Longest time between two observations of concurrency, as in Knative."""


class Timers:
    """Calls at given times, in order of time and then of registration."""

    __slots__ = ("_heap", "_serial", "next_s")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._serial = 0
        self.next_s = math.inf

    def at(self, time_s: float, call: Callable[[float], None]) -> None:
        """Have `call(time_s)` made."""
        self._serial += 1
        heappush(self._heap, (time_s, self._serial, call))
        self.next_s = self._heap[0][0]

    def fire(self) -> None:
        """Make the earliest call."""
        time_s, _, call = heappop(self._heap)
        self.next_s = self._heap[0][0] if self._heap else math.inf
        call(time_s)


Job = tuple[Pod, list[int], float, int]
"""A pod with the requests, start and padded tokens of a batch; no requests: the pod's own start."""


class PodScaling:
    """Keeps the pods as the autoscaler wishes.

    Args:
        config: the setting at the start.
        settings: the autoscaler's.
        shape: size, cores and cold start of an instance.
        initial_scale: pods that are ready at time 0.
    """

    def __init__(
        self, config: ServingConfig, settings: AutoscalerSettings, shape: InstanceShape, *, initial_scale: int
    ) -> None:
        self.shape = shape
        self.revision = 1
        self.pods: list[Pod] = []
        """Every pod so far, oldest first."""
        self.ready: list[Pod] = []
        """Those that take requests."""
        self._members: list[Pod] = []
        self._settings = settings
        self._autoscaler = Autoscaler(settings, config, initial_scale=initial_scale)
        self._bound = config.container_concurrency
        self._desired = min(max(initial_scale, config.min_scale), shape.max_instances)
        for _ in range(self._desired):
            self._become_ready(self._new_pod(0.0), 0.0)

    def connect(
        self,
        cores: SharedCores[Job],
        timers: Timers,
        *,
        mean_inside: Callable[[float], float],
        on_ready: Callable[[float], None],
    ) -> None:
        """Begin to tick.

        Args:
            cores: where starting pods burn CPU.
            timers: the simulation's.
            mean_inside: requests in parallel since it was last called.
            on_ready: called when a pod can take requests.
        """
        self._cores, self._timers = cores, timers
        self._mean_inside, self._on_ready = mean_inside, on_ready
        timers.at(min(OBSERVE_S, self._settings.tick_s), self._observe_again)
        timers.at(self._settings.tick_s, self._tick)

    @property
    def is_empty(self) -> bool:
        """Whether no pod is ready or starting."""
        return not self._members

    def poke(self, now_s: float) -> None:
        """Start a pod for a request that met none."""
        self._observe(now_s)
        self._desired = self._autoscaler.poke(now_s, len(self.ready)).desired
        self._reconcile(now_s)

    def apply(self, config: ServingConfig, now_s: float) -> None:
        """Take over warm settings for the next tick; a slow one begins a new revision at once."""
        changes = config.changes_from(self._autoscaler.config)
        self._autoscaler.config = config
        if any(PRICE_OF_CHANGE[name] == "slow" for name in changes):
            self.revision += 1
            self._bound = config.container_concurrency
            self._reconcile(now_s)

    def cpu_done(self, pod: Pod, now_s: float) -> None:
        """Note that the CPU work of a pod's start is over."""
        pod.has_cpu_done = True
        self._ready_if_due(pod, now_s)

    def stop_if_empty(self, pod: Pod, now_s: float) -> None:
        """End a draining pod that holds nothing any more and has drained for as long as it must."""
        if pod.state == "draining" and not pod.held and now_s >= pod.drained_s:
            pod.state, pod.stopped_s = "stopped", now_s

    def _observe(self, now_s: float) -> None:
        self._autoscaler.observe(now_s, self._mean_inside(now_s))

    def _observe_again(self, now_s: float) -> None:
        self._observe(now_s)
        self._timers.at(now_s + min(OBSERVE_S, self._settings.tick_s), self._observe_again)

    def _tick(self, now_s: float) -> None:
        self._observe(now_s)
        self._desired = self._autoscaler.decide(now_s, len(self.ready)).desired
        self._reconcile(now_s)
        self._timers.at(now_s + self._settings.tick_s, self._tick)

    def _reconcile(self, now_s: float) -> None:
        members = [
            Member(pod.name, pod.revision, "ready" if pod.state == "ready" else "starting", pod.held)
            for pod in self._members
        ]
        plan = plan_fleet(members, self._desired, revision=self.revision, most=self.shape.max_instances)
        for _ in range(plan.start):
            pod = self._new_pod(now_s)
            self._cores.add(now_s, self.shape.cold_start_cpu_s, (pod, [], now_s, 0))
            self._timers.at(now_s + self.shape.cold_start_s, lambda at_s, pod=pod: self._ready_if_due(pod, at_s))
        for pod in [pod for pod in self._members if pod.name in plan.drain]:
            self._drain(pod, now_s)

    def _new_pod(self, now_s: float) -> Pod:
        serial = sum(pod.revision == self.revision for pod in self.pods) + 1
        pod = Pod(f"simulated-{self.revision:05d}-{serial}", self.revision, self._bound, now_s)
        self.pods.append(pod)
        self._members.append(pod)
        return pod

    def _ready_if_due(self, pod: Pod, now_s: float) -> None:
        if pod.state == "starting" and pod.has_cpu_done and now_s >= pod.started_s + self.shape.cold_start_s - 1e-9:
            self._become_ready(pod, now_s)
            self._reconcile(now_s)
            self._on_ready(now_s)

    def _become_ready(self, pod: Pod, now_s: float) -> None:
        pod.state, pod.ready_s = "ready", now_s
        self.ready.append(pod)

    def _drain(self, pod: Pod, now_s: float) -> None:
        self._members.remove(pod)
        if pod.state == "ready":
            self.ready.remove(pod)
        else:
            self._cores.remove_where(now_s, lambda job: job[0] is pod)
        pod.state, pod.drained_s = "draining", now_s + self.shape.drain_s
        if self.shape.drain_s:
            self._timers.at(pod.drained_s, lambda at_s: self.stop_if_empty(pod, at_s))
        self.stop_if_empty(pod, now_s)
