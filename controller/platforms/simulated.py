"""`simulated`: the Platform in virtual time, driven by the event simulator; a rehearsal of the loop takes seconds."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServerLaw, ServingConfig
from controller.errors import TemporaryError
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
        self._senders: list[PodHeartbeat] = []
        self._known_pods = 0
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
        pods = simulator.scaling.pods
        return PlatformState(
            at_s=simulator.now_s,
            ready=len(simulator.scaling.ready),
            starting=sum(pod.state == "starting" for pod in pods),
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
        return f"{SERVICE}-{self._simulator.scaling.revision:05d}"

    def _send_heartbeats(self) -> None:
        simulator, pods = self._simulator, self._simulator.scaling.pods
        self._senders += [PodHeartbeat(pod, service=SERVICE) for pod in pods[self._known_pods :]]
        self._known_pods = len(pods)
        for sender in self._senders:
            document = sender.document(
                simulator.now_s,
                simulator.ledger.joined_s,
                simulator.ledger.tokens,
                generation=self._outbox.generation,
                workers=simulator.config.workers,
            )
            self._merge.accept(document, simulator.now_s)
        # One that has stopped has said its last word.
        self._senders = [sender for sender in self._senders if sender.pod.state != "stopped"]

    def _front_arrivals(self) -> dict[str, object]:
        simulator = self._simulator
        now_s, arrival_s = simulator.now_s, simulator.ledger.arrival_s
        first = bin_of(now_s - KEPT_S)
        counts = [0] * (bin_of(now_s) + 1 - first)
        start = bisect_left(arrival_s, first * BIN_S, hi=simulator.arrived)
        for instant in arrival_s[start : simulator.arrived]:
            counts[bin_of(instant) - first] += 1
        return {
            "boot_id": "activator",
            "clock": {"monotonic_s": now_s, "wall_s": now_s},
            "bins": {"width_s": BIN_S, "first": first, "counts": counts, "censored": []},
        }
