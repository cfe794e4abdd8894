"""Event simulator of pods behind an activator, scaled by Knative's rule (server law `knative_pods`).

This is the side that the rest of the project sees; the rules are in `pod_events` and what it calls. They run compiled
or plain on the same tables, with the same results. `finite_servers.simulate` covers the other two server laws.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from controller.domain.instance_log import InstanceRow
from controller.domain.serving_config import PRICE_OF_CHANGE, AutoscalerSettings, InstanceShape
from controller.errors import BadInputError
from controller.performance_model.batch_durations import Noise, raise_unmeasured
from controller.performance_model.compiled import kernels_for
from controller.performance_model.pod_events import NEEDS_ROOM, UNMEASURED
from controller.performance_model.pod_routing import MOST_CHANCE
from controller.performance_model.pod_state import ERROR, HOT, SLOW, Pod
from controller.performance_model.pod_tables import PodTables
from controller.performance_model.simulation_result import CLASSES, SimulationResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from controller.domain.service_time import ServiceTimes
    from controller.domain.serving_config import ServingConfig
    from controller.performance_model.compiled import Kernels


class Joined(NamedTuple):
    """Requests in the order in which they reached a pod: which pod, when, and of what length."""

    pod: NDArray[np.int64]
    at_s: NDArray[np.float64]
    tokens: NDArray[np.int64]


class Finished(NamedTuple):
    """Batches in order of their end: of which pod, how large, how long."""

    pod: NDArray[np.int64]
    size: NDArray[np.int64]
    padded_tokens: NDArray[np.int64]
    seconds: NDArray[np.float64]


class PodSimulator:
    """Simulates one service from time 0.

    Args:
        config: the setting at the start.
        service: seconds of a batch on a whole core.
        rng: noise of service times.
        autoscaler: Knative's settings that are not tuned; its defaults if None.
        shape: size, cores, start and end of an instance, and which one a request goes to; its defaults if None.
        initial_scale: instances that are ready at time 0; `min_scale` if that is more.
        kernels: plain or compiled; if None, what suits the number of requests of the first offer.
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
        kernels: Kernels | None = None,
    ) -> None:
        self.config = config
        self.shape = shape or InstanceShape()
        self._service = service
        self._noise = Noise(service, rng)
        self._autoscaler = autoscaler or AutoscalerSettings()
        self._initial_scale = initial_scale
        # Drawn only where it is used: the noise of service times comes from the same generator.
        self._chance = 1 if self.shape.routing == "least_loaded" else int(rng.integers(1, MOST_CHANCE))
        self._kernels = kernels
        self._made: PodTables | None = None

    @property
    def now_s(self) -> float:
        """Virtual time."""
        return float(self._tables.now.now_s)

    @property
    def arrived(self) -> int:
        """Requests that have arrived by now."""
        return int(self._tables.now.arrived)

    @property
    def inside(self) -> int:
        """Requests that have arrived and have no answer yet."""
        return int(self._tables.now.inside)

    @property
    def revision(self) -> int:
        """The newest revision, from 1."""
        return int(self._tables.now.revision)

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
        if self._kernels is None:
            self._kernels = kernels_for(instants.size)
        tables = self._tables
        earliest_s = max(self.now_s, tables.last_arrival_s)
        if instants.size and not (instants[0] >= earliest_s and (np.diff(instants) >= 0).all()):
            raise BadInputError(f"arrivals: instants must ascend from {earliest_s:g} s on")
        tables.offer(instants, lengths, self._noise.up_to(tables.now.offered + instants.size))

    def advance(self, until_s: float) -> None:
        """Let everything happen up to and including `until_s`."""
        self._advance(until_s, is_to_end=False)

    def run(self, arrivals_s: ArrayLike, tokens: ArrayLike | None = None, *, until_s: float = 0.0) -> SimulationResult:
        """Offer requests, go on until all are answered and at least until `until_s`, and return the result."""
        self.offer(arrivals_s, tokens)
        self._advance(max(until_s, self._tables.last_arrival_s), is_to_end=True)
        return self.result()

    def apply(self, config: ServingConfig) -> None:
        """Change the setting now: hot at once, warm at the next tick, slow by a new revision."""
        changes = config.changes_from(self.config)
        self.config = config
        is_slow = any(PRICE_OF_CHANGE[name] == "slow" for name in changes)
        self._tables.configure(config, self._autoscaler, self._service, change=SLOW if is_slow else HOT)
        self.advance(self.now_s)

    def serve(self, service: ServiceTimes) -> None:
        """Let batches that begin from now on take other times; the noise stays that of the first law."""
        self._service = service
        self._tables.configure(self.config, self._autoscaler, service, change=HOT)
        self.advance(self.now_s)

    def result(self) -> SimulationResult:
        """Return what was seen up to now."""
        tables, seen = self._tables, self.arrived
        latency_s = tables.requests("latency_s", stop=seen)
        status = np.where(np.isnan(latency_s), ERROR, tables.requests("status", stop=seen))
        batches = self.batches_since(0)
        return SimulationResult(
            server_law="knative_pods",
            arrival_s=tables.requests("arrival_s", stop=seen),
            latency_s=latency_s,
            request_class=np.array(CLASSES)[status],
            batch_size=batches.size,
            padded_tokens=batches.padded_tokens,
            batch_s=batches.seconds,
            instances=[self._row(pod) for pod in self.pods()],
            until_s=self.now_s,
        )

    def pods(self) -> Sequence[Pod]:
        """Return every pod so far, oldest first; they are records of this moment."""
        return self._tables.pods()

    def ready_and_starting(self) -> tuple[int, int]:
        """Return how many pods take requests, and how many will."""
        now = self._tables.now
        return int(now.ready), int(now.members - now.ready)

    def name(self, pod: Pod) -> str:
        """Return the name of a pod."""
        return f"simulated-{pod.revision:05d}-{pod.serial}"

    def arrivals_since(self, from_s: float) -> NDArray[np.float64]:
        """Return the instants of what has arrived from then on, ascending."""
        return self._tables.arrivals_since(from_s)

    def joined_since(self, count: int) -> Joined:
        """Return the requests that reached a pod, without the first `count`."""
        return Joined(*self._tables.joined_since(count))

    def batches_since(self, count: int) -> Finished:
        """Return finished batches, without the first `count`."""
        return Finished(*self._tables.batches_since(count))

    def _row(self, pod: Pod) -> InstanceRow:
        # Always the same NaN, so that equal rows compare equal.
        started_s, ready_s, stopped_s = (
            math.nan if math.isnan(each) else each for each in (pod.started_s, pod.ready_s, pod.stopped_s)
        )
        revision = f"simulated-{pod.revision:05d}"
        vcpu, memory_mb = self.shape.vcpu, self.shape.memory_mb
        return InstanceRow(self.name(pod), revision, started_s, ready_s, stopped_s, vcpu, memory_mb)

    @property
    def _tables(self) -> PodTables:
        if self._made is None:
            self._kernels = self._kernels or kernels_for(0)
            self._made = PodTables(self._kernels.tables, self.shape, self._autoscaler)
            self._made.configure(self.config, self._autoscaler, self._service)
            self._made.now.chance = self._chance
            self._made.begin(self._initial_scale)
        return self._made

    def _advance(self, until_s: float, *, is_to_end: bool) -> None:
        tables = self._tables
        advance = (self._kernels or kernels_for(0)).advance
        while True:
            outcome = advance(tables.state, float(until_s), is_to_end)
            if outcome == UNMEASURED:
                raise_unmeasured(self._service, int(tables.now.unmeasured), memory_mb=self.config.memory_mb)
            if outcome != NEEDS_ROOM:
                return
            tables.make_room()
