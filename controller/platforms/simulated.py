"""`simulated`: the Platform in virtual time, driven by the event simulator; a rehearsal of the loop takes seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServerLaw, ServingConfig
from controller.errors import TemporaryError
from controller.performance_model.pod_state import STOPPED
from controller.performance_model.simulator import PodSimulator
from controller.platforms.protocol import Applied, PlatformState, dearest_price
from controller.platforms.simulated_heartbeat import BIN_S, KEPT_S, PodHeartbeat, bin_of
from controller.telemetry.outbox import hot_settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from controller.domain.instance_log import InstanceRow
    from controller.domain.service_time import ServiceTimes
    from controller.performance_model.simulation_result import SimulationResult
    from controller.telemetry.merge import HeartbeatMerge
    from controller.telemetry.outbox import Outbox

HEARTBEAT_S = 1.0
SERVICE = "simulated"


class SimulatedPlatform:
    """A simulated service; time passes in `advance` only.

    Args:
        service: seconds of a batch on a whole core.
        merge: takes the heartbeats; made with `started_at_s=0`.
        outbox: counts generations of hot settings.
        rng: noise of service times.
        autoscaler: Knative's settings that are not tuned.
        shape: size, cores and cold start of an instance.
        initial_scale: instances that are ready at the start.
    """

    server_law: ServerLaw = "knative_pods"

    def __init__(  # noqa: PLR0913  a service, its surroundings, and where its words go
        self,
        *,
        service: ServiceTimes,
        merge: HeartbeatMerge,
        outbox: Outbox,
        rng: np.random.Generator,
        autoscaler: AutoscalerSettings | None = None,
        shape: InstanceShape | None = None,
        initial_scale: int = 1,
    ) -> None:
        self.autoscaler = autoscaler or AutoscalerSettings()
        self.shape = shape or InstanceShape()
        self._service, self._rng, self._initial_scale = service, rng, initial_scale
        self._merge, self._outbox = merge, outbox
        self._offers: list[tuple[NDArray[np.float64], NDArray[np.int64] | None]] = []
        self._started: PodSimulator | None = None
        self._senders: dict[int, PodHeartbeat] = {}
        self._known_pods = self._told_joined = self._told_batches = 0
        self._next_heartbeat_s = HEARTBEAT_S

    def offer(self, arrivals_s: ArrayLike, tokens: ArrayLike | None = None) -> None:
        """Add requests, before or after the start; instants ascend from one offer to the next."""
        instants = np.asarray(arrivals_s, dtype=np.float64)
        lengths = None if tokens is None else np.asarray(tokens, dtype=np.int64)
        if self._started is None:
            self._offers.append((instants, lengths))
        else:
            self._started.offer(instants, lengths)

    async def start(self, config: ServingConfig) -> None:
        """Begin at time 0 with this setting."""
        self._outbox.set(hot_settings_of(config))
        self._started = PodSimulator(
            config,
            service=self._service,
            rng=self._rng,
            autoscaler=self.autoscaler,
            shape=self.shape,
            initial_scale=self._initial_scale,
        )
        for instants, lengths in self._offers:
            self._started.offer(instants, lengths)

    async def apply(self, config: ServingConfig) -> Applied:
        """Change the setting: hot at once, warm at the next tick, slow by a new revision."""
        simulator = self._simulator
        changes = config.changes_from(simulator.config)
        generation = self._outbox.set(hot_settings_of(config))
        simulator.apply(config)
        return Applied(dearest_price(changes), changes, generation, self._revision())

    def serve(self, service: ServiceTimes) -> None:
        """Let batches take other times from now on, as where a neighbour comes or goes."""
        self._simulator.serve(service)

    async def advance(self, until_s: float) -> float:
        """Let virtual time pass; heartbeats go out once a second."""
        while self._next_heartbeat_s <= until_s:
            self._simulator.advance(self._next_heartbeat_s)
            self._send_heartbeats()
            self._next_heartbeat_s += HEARTBEAT_S
        if until_s > self._simulator.now_s:
            self._simulator.advance(until_s)
        return self._simulator.now_s

    async def instances(self) -> Sequence[InstanceRow]:
        """Return every instance so far, oldest first."""
        return self._simulator.result().instances

    async def state(self) -> PlatformState:
        """Return counts and settings now."""
        simulator = self._simulator
        ready, starting = simulator.ready_and_starting()
        return PlatformState(
            at_s=simulator.now_s,
            ready=ready,
            starting=starting,
            config=simulator.config,
            revision=self._revision(),
            front_arrivals=self._front_arrivals(),
        )

    async def aclose(self) -> None:
        """End nothing: there is no process."""

    def result(self) -> SimulationResult:
        """Return what every request met, up to now."""
        return self._simulator.result()

    @property
    def _simulator(self) -> PodSimulator:
        if self._started is None:
            raise TemporaryError("the platform is not started")
        return self._started

    def _revision(self) -> str:
        return f"{SERVICE}-{self._simulator.revision:05d}"

    def _send_heartbeats(self) -> None:
        simulator = self._simulator
        pods = simulator.pods()
        for row in range(self._known_pods, len(pods)):
            self._senders[row] = PodHeartbeat(simulator.name(pods[row]), service=SERVICE)
        self._known_pods = len(pods)
        self._note_news(simulator)
        for row, sender in list(self._senders.items()):
            document = sender.document(
                pods[row],
                simulator.now_s,
                generation=self._outbox.generation,
                workers=simulator.config.workers,
            )
            self._merge.accept(document, simulator.now_s)
            if pods[row].state == STOPPED:  # it has said its last word
                del self._senders[row]

    def _note_news(self, simulator: PodSimulator) -> None:
        joined = simulator.joined_since(self._told_joined)
        batches = simulator.batches_since(self._told_batches)
        self._told_joined += joined.pod.size
        self._told_batches += batches.pod.size
        for row, *request in zip(*(column.tolist() for column in joined), strict=True):
            self._senders[row].note_request(*request)
        for row, *batch in zip(*(column.tolist() for column in batches), strict=True):
            self._senders[row].note_batch(*batch)

    def _front_arrivals(self) -> dict[str, object]:
        simulator = self._simulator
        now_s = simulator.now_s
        first = bin_of(now_s - KEPT_S)
        counts = [0] * (bin_of(now_s) + 1 - first)
        for instant in simulator.arrivals_since(first * BIN_S).tolist():
            counts[bin_of(instant) - first] += 1
        return {
            "boot_id": "activator",
            "clock": {"monotonic_s": now_s, "wall_s": now_s},
            "bins": {"width_s": BIN_S, "first": first, "counts": counts, "censored": []},
        }
