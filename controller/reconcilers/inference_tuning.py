"""One InferenceTuning at work: `Tuner.run` looks at its spec and its service again and again, and acts on what it sees.

Level-triggered: each turn compares what is wanted with what is there, so nothing is lost when a word of a watch is. The
decisions are those of `controller.control_loop`; what is written goes out of this file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from controller.control_loop import ControlLoop, Parts
from controller.domain.prices import cluster_prices, load_prices
from controller.domain.quantities import decimal
from controller.errors import BadInputError, TidegateError
from controller.monitor.answered import AnsweredLatency
from controller.monitor.coarse_detection import detection_for
from controller.monitor.detection import default_detection
from controller.monitor.prometheus import PrometheusArrivals
from controller.monitor.promql import ServiceRef
from controller.optimizer.search_process import ChildSearch
from controller.optimizer.search_space import search_space
from controller.platforms.cluster_client import MissingError
from controller.platforms.knative import KnativePlatform, Owner, Place
from controller.platforms.overlay import Overlay
from controller.platforms.watched import seconds_of
from controller.reconcilers.conditions import Aspect, conditions
from controller.reconcilers.loop_settings import loop_settings
from controller.reconcilers.resources import API_VERSION, FINALIZER, InferenceTuningSpec
from controller.reconcilers.schema import read
from controller.reconcilers.state import StateMap
from controller.reconcilers.tuning_status import (
    Known,
    aspects,
    changes_text,
    cold_start_of,
    is_worth_a_write,
    status_of,
)
from controller.reconcilers.world import service_of
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import HOT_SETTINGS, Outbox
from controller.telemetry.reception import Desk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.domain.prices import ClusterPrices
    from controller.reconcilers.world import Name, World

TURN_S = 1.0
REST_S = 5.0
"""Between two turns while the service is at zero and silent; what a watch tells ends the rest at once."""
PATH = f"/apis/{API_VERSION}/namespaces"

_log = logging.getLogger(__name__)


class Lines:
    """Takes the lines of a loop for the status, until they are told."""

    def __init__(self) -> None:
        self.decision: Mapping[str, Any] | None = None
        self.decided_at_s = 0.0
        self.untold: list[Mapping[str, Any]] = []
        self.changes: list[Mapping[str, Any]] = []

    def decided(self, line: Mapping[str, Any]) -> None:
        """See `Diary.decided`."""
        self.decision, self.decided_at_s = line, time.time()
        self.untold.append(line)

    def changed(self, line: Mapping[str, Any]) -> None:
        """See `Diary.changed`."""
        self.changes.append(line)


class Tuner:
    """Tunes one service.

    Args:
        name: namespace and name of the InferenceTuning.
        document: as it is now.
        world: of the operator.
    """

    def __init__(self, name: Name, document: dict[str, Any], world: World) -> None:
        self._world, self._name = world, name
        self._document = document
        metadata = document["metadata"]
        self._owner = Owner(API_VERSION, "InferenceTuning", name[1], metadata["uid"])
        self._started_at_s = seconds_of(metadata["creationTimestamp"])
        self._key = (name[0], service_of(document["spec"]["targetRef"]))
        self._seen = world.watched.service(self._key)
        self._merge = HeartbeatMerge(started_at_s=self._started_at_s)
        self._outbox = Outbox()
        place = Place(world.cluster, world.facts, self._seen, name[0], self._key[1], self._owner)
        self._platform = KnativePlatform(place, self._outbox, started_at_s=self._started_at_s)
        self._state = StateMap(world.cluster, name[0], self._owner)
        self._search = ChildSearch(world.searches)
        self._lines, self._latency = Lines(), AnsweredLatency()
        self._loop: ControlLoop | None = None
        self._loop_document: dict[str, Any] | None = None
        self._signature: object = None
        self._spec_generation: object = None
        self._status: dict[str, Any] = dict(document.get("status") or {})
        self._written_at_s = -math.inf
        self._is_restored = self._is_finalized = False
        self._changes = 0
        self._trouble = ""
        self._told: set[str] = set()
        self._desk = Desk(self._merge, self._outbox, self._now)
        self._source: PrometheusArrivals | None = None

    def take(self, document: dict[str, Any]) -> None:
        """Take note of the tuning as it is now."""
        self._document = document
        self._seen.changed.set()

    async def run(self) -> None:
        """Take turns until cancelled."""
        try:
            while True:
                began_s = time.monotonic()
                try:
                    await self._turn()
                except TidegateError as error:
                    await self._fail(error)
                await self._rest(time.monotonic() - began_s)
        finally:
            self._search.close()
            self._leave_desk()

    async def release(self) -> None:
        """Put the service back to what its own documents say, and let the tuning go.

        Raises:
            TidegateError: the cluster does not take it; it is tried again.
        """
        await self._restore()
        if self._seen.service is not None and self._platform_is_ready():
            before = self._platform.present()
            await self._platform.release()
            if before != self._platform.present():
                await self._world.events.post(
                    self._about(), "SettingRestored", "the service has its own settings again"
                )
        self._leave_desk()
        finalizers = [each for each in self._document["metadata"].get("finalizers") or [] if each != FINALIZER]
        with contextlib.suppress(MissingError):
            await self._world.cluster.patch(self._path(), {"metadata": {"finalizers": finalizers}})

    async def _turn(self) -> None:
        """See what is wanted and what is there, and act."""
        document = self._document
        if document["metadata"].get("deletionTimestamp"):
            await self.release()
            return
        spec = read(InferenceTuningSpec, document["spec"], f"InferenceTuning {self._name[1]}: spec")
        if (hindrance := self._hindrance(spec)) is not None:
            self._leave_desk()
            await self._write_status({}, [hindrance])
            return
        await self._restore()
        self._world.desks[self._key] = self._desk
        await self._world.bundle.publish(self._name[0])
        await self._follow_spec(spec)
        if self._loop is None:
            return
        await self._step(spec)

    def _hindrance(self, spec: InferenceTuningSpec) -> Aspect | None:
        """Return why nothing is done, where that is so."""
        if spec.suspend:
            return Aspect("Ready", "False", "Suspended", "spec.suspend is true; everything is left as it is")
        if (sweep := self._world.held.get(self._key)) is not None:
            # It puts back what it changes; what differs then is no drift, and ours is laid over again.
            self._platform.overlay.revision = ""
            return Aspect(
                "Ready", "False", "SweepRuns", f"Sweep {sweep} measures the service; tuning waits for its end"
            )
        older = self._older_tuning()
        if older is not None:
            return Aspect("Conflict", "True", "OlderTuning", f"InferenceTuning {older} has this target; delete one")
        if self._seen.service is None:
            kind = spec.target_ref.kind
            return Aspect("Ready", "False", "TargetMissing", f"there is no {kind} {spec.target_ref.name}; create it")
        if not self._platform_is_ready():
            return Aspect("Ready", "False", "TargetNotReady", "the service has no revision that was ever ready")
        return None

    def _older_tuning(self) -> str | None:
        """Return the tuning that has our target and is older: the oldest acts."""

        def age(document: Mapping[str, Any]) -> tuple[str, str]:
            return document["metadata"]["creationTimestamp"], document["metadata"]["name"]

        rivals = [
            each
            for (namespace, _), each in self._world.tunings.items()
            if namespace == self._name[0]
            and service_of(each["spec"]["targetRef"]) == self._key[1]
            and not each["metadata"].get("deletionTimestamp")
            and age(each) < age(self._document)
        ]
        return min(rivals, key=age)["metadata"]["name"] if rivals else None

    def _platform_is_ready(self) -> bool:
        with contextlib.suppress(TidegateError):
            return bool(self._platform.revision)
        return False

    async def _follow_spec(self, spec: InferenceTuningSpec) -> None:
        """Make the loop anew when the spec or what the service is made of has changed; it goes on where it was."""
        generation = self._document["metadata"].get("generation")
        if generation != self._spec_generation:
            self._platform.overlay.release()
        prices = await self._prices(spec)
        held = frozenset(self._platform.overlay.held)
        resolution_s = await self._follow_source(spec)
        # The cold start is learned as pods come; it makes no other service of this one.
        shape = self._platform.shape
        signature = (
            generation,
            held,
            prices,
            shape.vcpu,
            shape.memory_mb,
            shape.cores,
            self._platform.autoscaler,
            resolution_s,
        )
        if self._loop is not None and signature == self._signature:
            return
        settings = loop_settings(spec, prices, held=held)
        search_space(self._platform.present(), shape=shape, workers=256, bounds=settings.bounds, held=held)
        document = self._loop_document if self._loop is None else self._loop.to_document()
        detection = default_detection() if resolution_s is None else detection_for(resolution_s)
        parts = Parts(self._platform, self._merge, settings, self._lines, detection, self._search, self._source)
        loop = ControlLoop(parts)
        if document is not None:
            with contextlib.suppress(BadInputError):
                loop.view.restore(document)
        self._loop, self._settings = loop, settings
        self._signature, self._spec_generation = signature, generation

    async def _follow_source(self, spec: InferenceTuningSpec) -> float | None:
        """Ask Prometheus where the spec says so; returns how fine its counts are, None where servers are the source.

        Raises:
            BadInputError: the operator was given no Prometheus.
            TemporaryError: it does not answer; nothing is decided on what is not known.
        """
        if spec.source == "Heartbeat":
            self._source = None
            return None
        if self._source is None:
            if self._world.prometheus is None:
                raise BadInputError(
                    "spec.source: the operator was given no Prometheus; set prometheus.url of its chart, or Heartbeat"
                )
            service = ServiceRef(*self._key)
            self._source = PrometheusArrivals(self._world.prometheus, service, started_at_s=self._started_at_s)
        await self._source.refresh(self._now())
        # Scrape intervals differ by a little each time; a new loop for each would never learn.
        return math.ceil(self._source.resolution_s)

    async def _step(self, spec: InferenceTuningSpec) -> None:
        """Let the loop take a turn, keep the overlay on, and tell."""
        loop = self._loop
        if loop is None:
            return
        if spec.mode == "Apply":
            await self._ensure_finalizer()
        await loop.step(self._now())
        held = set(self._platform.overlay.held)
        if spec.mode == "Apply":
            await self._platform.enforce()
        for knob in sorted(set(self._platform.overlay.held) - held):
            why = self._platform.overlay.held[knob]
            message = f"{knob} is left alone: {why}; change the InferenceTuning to take it again"
            await self._world.events.post(self._about(), "DriftNoticed", message, is_warning=True)
        self._latency.observe(self._merge, self._now())
        self._trouble = ""
        await self._tell(spec)

    async def _tell(self, spec: InferenceTuningSpec) -> None:
        """Post events, write the status and the state."""
        lines, loop = self._lines, self._loop
        if loop is None:
            return
        is_news = bool(lines.untold or lines.changes)
        for line in lines.changes:
            self._changes += 1
            changes = ", ".join(f"{name} {each}" for name, each in changes_text(line["changes"]).items())
            self._world.metrics.changes[str(line["price"])] += 1
            await self._world.events.post(self._about(), "SettingApplied", f"{line['price']}: {changes}")
        for line in lines.untold:
            self._world.metrics.decisions[str(line["action"])] += 1
            _log.info("decision tuning=%s/%s reason=%s", *self._name, line["reason"])
            if line["action"] == "keep" and line["changes"]:
                await self._world.events.post(self._about(), "Recommended", str(line["reason"]))
        lines.changes, lines.untold = [], []
        known = Known(
            state=await self._platform.state(),
            view=loop.view,
            settings=self._settings,
            counted=self._latency.counted(),
            heard_at_s=max((each.heard_at_s for each in self._merge.instances()[:1]), default=None),
            decision=lines.decision,
            decided_at_s=lines.decided_at_s,
            held=self._platform.overlay.held,
            has_warm=self._world.facts.has_warm,
            budget_usd=None
            if spec.objective.budget is None
            else decimal(spec.objective.budget.usd_per_million, "spec.objective.budget.usdPerMillion"),
            trouble=self._trouble,
            changes=self._changes,
        )
        loaded = {each.heartbeat.instance: each.heartbeat.cold_start_s for each in self._merge.instances()}
        status = status_of(known, cold_start_of(list(self._seen.pods.values()), loaded))
        found = aspects(known)
        self._world.metrics.objective_met[self._name] = next(each.status for each in found if each.type == "SLOMet")
        await self._write_status(status, found)
        await self._state.save(self._to_document, self._now(), is_news=is_news)

    async def _write_status(self, status: dict[str, Any], found: list[Aspect]) -> None:
        generation = self._document["metadata"].get("generation")
        now_s = time.time()
        kept = status or {name: each for name, each in self._status.items() if name != "conditions"}
        types = {each.type for each in found}
        before = self._status.get("conditions") or []
        # What is not known now stays as it was said last, so that a suspended tuning still shows what it knew.
        rest = [each for each in before if each.get("type") not in types]
        wanted = {
            **kept,
            "observedGeneration": generation,
            "conditions": conditions(found, before, wall_s=now_s, generation=generation) + rest,
        }
        if not is_worth_a_write(self._status, wanted, waited_s=now_s - self._written_at_s):
            return
        # Applied, not merged: what is not said any more goes.
        about = {"apiVersion": API_VERSION, "kind": "InferenceTuning", "metadata": {"name": self._name[1]}}
        with contextlib.suppress(MissingError):
            await self._world.cluster.apply(f"{self._path()}/status", {**about, "status": wanted}, force=True)
        self._status, self._written_at_s = wanted, now_s

    async def _fail(self, error: TidegateError) -> None:
        """Say what failed, in the status and once in the log; it is tried again at the next turn."""
        self._trouble = str(error)
        if self._trouble not in self._told and len(self._told) < 100:
            self._told.add(self._trouble)
            _log.warning("tuning_trouble tuning=%s/%s why=%s", *self._name, error)
        reason = "InvalidSpec" if isinstance(error, BadInputError) else "CallFailed"
        with contextlib.suppress(TidegateError):
            await self._write_status({}, [Aspect("Ready", "False", reason, str(error))])

    async def _ensure_finalizer(self) -> None:
        """Make sure that we hear of the end before it comes: then what we changed is put back."""
        finalizers = self._document["metadata"].get("finalizers") or []
        if FINALIZER not in finalizers and not self._is_finalized:
            change = {"metadata": {"finalizers": [*finalizers, FINALIZER]}}
            await self._world.cluster.patch(self._path(), change)
        self._is_finalized = True

    async def _prices(self, spec: InferenceTuningSpec) -> ClusterPrices:
        reference = spec.pricing.config_map_ref
        if reference is None:
            return load_prices().cluster
        path = f"/api/v1/namespaces/{self._name[0]}/configmaps/{reference.name}"
        where = f"ConfigMap {reference.name}, key {reference.key}"
        try:
            text = ((await self._world.cluster.get(path)).get("data") or {}).get(reference.key)
            return cluster_prices(json.loads(text or "")["cluster"], where)
        except MissingError as error:
            raise BadInputError(f"{where}: is not there; create it or remove spec.pricing") from error
        except (ValueError, TypeError, KeyError) as error:
            raise BadInputError(f'{where}: needs a price list with "cluster"; see docs/performance-model.md') from error

    async def _restore(self) -> None:
        """Go on from the state that an earlier operator left."""
        if self._is_restored:
            return
        found = await self._state.read()
        platform = found.get("platform") or {}
        self._platform.overlay = Overlay.from_document(platform.get("overlay") or {})
        hot, generation = platform.get("hot"), platform.get("generation", 0)
        if isinstance(hot, dict) and set(hot) - {"generation"} == set(HOT_SETTINGS) and isinstance(generation, int):
            self._outbox.restore(generation, {name: hot[name] for name in HOT_SETTINGS})
        self._loop_document = found.get("loop")
        self._changes = int(platform.get("changes") or 0)
        self._lines.decision, self._lines.decided_at_s = platform.get("decision"), platform.get("decided_at_s") or 0.0
        self._spec_generation = platform.get("spec_generation")
        self._is_restored = True

    def _to_document(self) -> dict[str, object]:
        loop = None if self._loop is None else self._loop.view.to_document()
        platform = {
            "overlay": self._platform.overlay.to_document(),
            "hot": self._outbox.current(),
            "generation": self._outbox.generation,
            "changes": self._changes,
            "decision": self._lines.decision,
            "decided_at_s": round(self._lines.decided_at_s, 1),
            "spec_generation": self._spec_generation,
        }
        return {"schema": 1, "loop": loop, "platform": platform}

    def _leave_desk(self) -> None:
        if self._world.desks.get(self._key) is self._desk:
            del self._world.desks[self._key]

    async def _rest(self, spent_s: float) -> None:
        """Wait for the next turn, or for what a watch tells."""
        loop = self._loop
        is_asleep = loop is None or (not self._seen.serving_pods() and loop.view.traffic.silent_s > REST_S)
        try:
            async with asyncio.timeout(max(0.05, (REST_S if is_asleep else TURN_S) - spent_s)):
                await self._seen.changed.wait()
            self._seen.changed.clear()
            await asyncio.sleep(0.05)  # what belongs together comes together
        except TimeoutError:
            return

    def _now(self) -> float:
        return time.time() - self._started_at_s

    def _path(self) -> str:
        return f"{PATH}/{self._name[0]}/inferencetunings/{self._name[1]}"

    def _about(self) -> dict[str, Any]:
        return {"apiVersion": API_VERSION, "kind": "InferenceTuning", "metadata": self._document["metadata"]}
