"""One service as the operator tunes it: what is heard of it, what is decided for it, and what a restart needs of it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from controller.control_loop import ControlLoop, Parts
from controller.domain.quantities import quantity
from controller.errors import BadInputError, TidegateError
from controller.monitor.answered import AnsweredLatency, share_within
from controller.monitor.coarse_detection import detection_for
from controller.monitor.detection import default_detection
from controller.monitor.revision_latency import RevisionLatency
from controller.monitor.server_cpu import ServerCpu
from controller.optimizer.search_process import ChildSearch
from controller.optimizer.search_space import search_space
from controller.platforms.knative import KnativePlatform
from controller.platforms.owned import Owner
from controller.platforms.place import Place
from controller.platforms.pod_resize import right_size
from controller.platforms.rollout import LEAST_ANSWERED
from controller.platforms.watched import seconds_of
from controller.reconcilers.loop_settings import loop_settings
from controller.reconcilers.pricing import Pricing
from controller.reconcilers.resources import API_VERSION
from controller.reconcilers.second_source import SecondSource
from controller.reconcilers.state import StateMap
from controller.reconcilers.tuning_lines import Lines
from controller.reconcilers.world import service_of
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import HOT_SETTINGS, Outbox
from controller.telemetry.reception import Desk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.reconcilers.resources import InferenceTuningSpec
    from controller.reconcilers.world import World
    from controller.settings import LoopSettings

MOST_WORKERS = 256
SIZE_KEPT_S = 60.0
HEARD_S = 8.0
"""How long a removal waits for servers to hear of their own settings; they report every second."""


class TunedService:
    """The target of one InferenceTuning.

    Args:
        document: the InferenceTuning; its target never changes.
        world: of the operator.
    """

    def __init__(self, document: Mapping[str, Any], world: World) -> None:
        metadata = document["metadata"]
        namespace = metadata["namespace"]
        self._world = world
        self._started_at_s = seconds_of(metadata["creationTimestamp"])
        self.key = (namespace, service_of(document["spec"]["targetRef"]))
        self.seen = world.watched.service(self.key)
        self.merge = HeartbeatMerge(started_at_s=self._started_at_s)
        self.outbox = Outbox()
        self.desk = Desk(self.merge, self.outbox, self.now)
        owner = Owner(API_VERSION, "InferenceTuning", metadata["name"], metadata["uid"])
        self._place = place = Place(world.cluster, world.facts, self.seen, namespace, self.key[1], owner, world.wall)
        self.platform = KnativePlatform(place, self.outbox, started_at_s=self._started_at_s)
        self.state = StateMap(world.cluster, namespace, owner)
        self.lines, self.latency, self.cpu = Lines(world.wall), AnsweredLatency(), ServerCpu()
        self.revisions = RevisionLatency(self.merge)
        self.second = SecondSource(world.prometheus, self.key, started_at_s=self._started_at_s)
        self.loop: ControlLoop | None = None
        self.settings: LoopSettings | None = None
        self.changes = 0
        """Applied since the tuning was made."""
        self._sizes: deque[tuple[float, float]] = deque()
        self._search = ChildSearch(world.searches)
        self._loop_document: dict[str, Any] | None = None
        self._signature: object = None
        self._spec_generation: object = None
        self._is_restored = False
        self._saved: object = None
        """What the last saved state said of the cluster."""
        self._service_uid = ""
        self._pricing = Pricing(world.cluster, namespace, self.now)
        self.platform.remember, self.platform.share_inside = self.save, self._share_inside

    def now(self) -> float:
        """Return seconds since the tuning was made: the clock that its state is written in."""
        return self._world.wall() - self._started_at_s

    def is_ready(self) -> bool:
        """Return whether there is a Revision that takes traffic."""
        with contextlib.suppress(TidegateError):
            return bool(self.platform.revision)
        return False

    def is_asleep(self) -> bool:
        """Return whether the service is at zero and nobody asks for it."""
        is_silent = self.loop is None or self.loop.view.traffic.silent_s > 5 or not self.loop.view.traffic.age_s
        return is_silent and not self.seen.serving_pods()

    def close(self) -> None:
        """End a search that waits."""
        self._search.close()

    async def follow(self, document: Mapping[str, Any], spec: InferenceTuningSpec) -> ControlLoop:
        """Return the loop that the spec asks for; another spec or another pod makes it anew, and it goes on as it was.

        Raises:
            BadInputError: the spec asks for what cannot be.
            TemporaryError: what it needs does not answer.
        """
        generation = document["metadata"].get("generation")
        if generation != self._spec_generation:
            self.platform.overlay.release()
            self.platform.sizes.refused = ""
        uid = str(self.platform.service["metadata"].get("uid") or "")
        if self._service_uid and uid != self._service_uid:
            self.platform.begin_anew()  # made again under the same name: its Revisions are named as ours were
        self._service_uid = uid
        prices = await self._pricing.prices(spec.pricing.config_map_ref)
        held = frozenset(self.platform.overlay.held)
        # The cold start is learned as pods come; it makes no other service of this one.
        shape, autoscaler = self.platform.shape, self.platform.autoscaler
        resolution_s = await self.second.follow(
            is_wanted=spec.source == "Prometheus",
            is_activator_in_path=autoscaler.target_burst_capacity == -1,
            now_s=self.now(),
        )
        size = (shape.vcpu, shape.memory_mb, shape.cores)
        activation = self.platform.documented().activation_scale
        signature = (generation, held, activation, prices, size, autoscaler, resolution_s)
        self.platform.roller.is_gradual = spec.rollout.manage_traffic
        if self.loop is not None and signature == self._signature:
            return self.loop
        settings = replace(loop_settings(spec, prices, held=held), own_activation_scale=activation)
        search_space(self.platform.present(), shape=shape, workers=MOST_WORKERS, bounds=settings.bounds, held=held)
        detection = default_detection() if resolution_s is None else detection_for(resolution_s)
        parts = Parts(self.platform, self.merge, settings, self.lines, detection, self._search, self.second.arrivals)
        loop, earlier = ControlLoop(parts), self._learned()
        if earlier is not None:
            with contextlib.suppress(BadInputError):
                loop.view.restore(earlier)
        self.platform.limits.set(spec.limits.slow_per_hour, spec.limits.warm_per_minute)
        self.loop, self.settings = loop, settings
        self._signature, self._spec_generation = signature, generation
        return loop

    def _learned(self) -> dict[str, Any] | None:
        """Return what the loop knows; before there is one, what an earlier one knew."""
        return self._loop_document if self.loop is None else self.loop.view.to_document()

    def size_wanted(self, spec: InferenceTuningSpec) -> float | None:
        """Return the cores that a pod should have; None where they are not ours to change, or nothing is known.

        The highest rate of five seconds in two minutes counts, and the largest size of the last one: pods grow with a
        burst at once, and shrink when it is over.
        """
        bounds, per_request_s = spec.bounds.cpu, self.cpu.per_request_s()
        if bounds is None or per_request_s is None or self.loop is None:
            return None
        low, high = quantity(bounds.min) or 0.0, quantity(bounds.max) or 0.0
        rate_rps, pods = self.loop.view.traffic.sustained_rps, len(self.seen.serving_pods())
        self._sizes.append((self.now(), right_size(rate_rps, per_request_s, pods, bounds=(low, high))))
        while self._sizes[0][0] < self.now() - SIZE_KEPT_S:
            self._sizes.popleft()
        return min(high, max(size for _, size in self._sizes))

    def measured(self, revision: str) -> tuple[int, float | None]:
        """Return how many requests a revision took since the rollout's step began, and the share inside the bound."""
        self.revisions.begin(None if self.platform.roller.rollout is None else self.platform.roller.rollout.step_s)
        return self.revisions.measured(revision, math.inf if self.settings is None else self.settings.slo.bound_s)

    def counted(self) -> Mapping[float, int]:
        """Return the last minutes' requests by latency: what servers told, else what Prometheus has."""
        return self.latency.counted() or self.second.latency

    def _share_inside(self) -> float | None:
        """Return the share of the last minutes' requests inside the bound; None where too few were seen."""
        counted = self.counted()
        if self.settings is None or sum(counted.values()) < LEAST_ANSWERED:
            return None
        return share_within(counted, self.settings.slo.bound_s)

    async def is_gone(self) -> bool:
        """Return whether there is nothing to put back: the service is not there, is being deleted or never served.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        found = await self._place.find()
        return found is None or not (found.get("status") or {}).get("latestReadyRevisionName")

    async def release(self, document: Mapping[str, Any]) -> None:
        """Give the service its own settings back, and running servers some seconds to hear of it.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        rollout = document["spec"].get("rollout") or {}
        self.platform.roller.is_gradual = bool(rollout.get("manageTraffic"))
        await self.platform.release()
        wanted = self.outbox.generation if self.outbox.current() is not None else 0
        clock = asyncio.get_running_loop().time
        until_s = clock() + HEARD_S
        # Polled: what is waited for is a word of each of several servers.
        while clock() < until_s and any(each < wanted for each in self._generations()):  # noqa: ASYNC110
            await asyncio.sleep(0.25)

    def _generations(self) -> list[int]:
        """Return the generation of hot settings that each pod which answers has told of."""
        ready = {pod.name for pod in self.seen.serving_pods() if pod.ready_s is not None}
        beats = (each.heartbeat for each in self.merge.instances())
        return [beat.generation for beat in beats if beat.instance in ready]

    async def forget(self) -> None:
        """Remove what we kept: a later tuning of the same name begins anew.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        await self.platform.remove_hot_settings()
        await self.state.remove()
        self._saved, self._is_restored = None, False

    async def save(self) -> None:
        """Write the state: at once what has changed on the cluster or was decided, the rest now and then.

        Raises:
            TemporaryError: too large, or the cluster does not take it.
        """
        if not self._is_restored:
            return
        news = (self.platform.to_document(), self.outbox.current(), self.changes, self.lines.decision)
        await self.state.save(self.to_document, self.now(), is_news=news != self._saved)
        self._saved = copy.deepcopy(news)

    async def restore(self) -> None:
        """Go on, once, from the state that an earlier operator left.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        if self._is_restored:
            return
        found = await self.state.read()
        platform = found.get("platform")
        document: dict[str, Any] = platform if isinstance(platform, dict) else {}
        self.platform.restore(document)
        hot, generation = document.get("hot"), document.get("generation", 0)
        if isinstance(hot, dict) and set(hot) - {"generation"} == set(HOT_SETTINGS) and isinstance(generation, int):
            self.outbox.restore(generation, {name: hot[name] for name in HOT_SETTINGS})
        loop = found.get("loop")
        self._loop_document = loop if isinstance(loop, dict) else None
        changes, decision, decided_at_s = (found.get(name) for name in ("changes", "decision", "decided_at_s"))
        self.changes = changes if isinstance(changes, int) else 0
        if isinstance(decision, dict) and {"reason", "action", "changes"} <= decision.keys():
            self.lines.decision = decision
        self.lines.decided_at_s = decided_at_s if isinstance(decided_at_s, float) else 0.0
        self._spec_generation = found.get("spec_generation")
        self._service_uid = str(found.get("service_uid") or "")
        self._is_restored = True

    def to_document(self) -> dict[str, object]:
        """Return what a restarted operator needs, as JSON."""
        return {
            "schema": 1,
            "loop": self._learned(),
            "platform": {
                **self.platform.to_document(),
                "hot": self.outbox.current(),
                "generation": self.outbox.generation,
            },
            "changes": self.changes,
            "decision": self.lines.decision,
            "decided_at_s": round(self.lines.decided_at_s, 1),
            "spec_generation": self._spec_generation,
            "service_uid": self._service_uid,
        }
