"""`knative`: the Platform over a Knative Service: hot settings by the link, warm ones on its newest Revision.

It reads what watches have seen and writes by the cluster's API, only what it owns: two ConfigMaps, the autoscaling
annotations of Revisions and, for a slow change, the fields that `rollout.py` names.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from controller.domain.instance_log import InstanceRow
from controller.domain.serving_config import PRICE_OF_CHANGE, ServerLaw, ServingConfig
from controller.errors import TemporaryError
from controller.platforms.change_limits import ChangeLimits
from controller.platforms.cluster_client import ClusterCallError, ForbiddenError, InvalidError
from controller.platforms.knative_reading import (
    annotations_of,
    answering_container,
    read_config,
    read_shape,
    template_annotations,
)
from controller.platforms.overlay import Overlay
from controller.platforms.pod_resize import PodSizes, cpu_of
from controller.platforms.protocol import Applied, PlatformState, dearest_price
from controller.platforms.revision_annotations import autoscaler_settings, warm_annotations
from controller.platforms.roller import Roller
from controller.telemetry.outbox import hot_settings_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from controller.domain.serving_config import AutoscalerSettings, InstanceShape
    from controller.platforms.cluster_client import Cluster
    from controller.platforms.watched import ServiceSeen
    from controller.telemetry.outbox import Outbox

SERVING = "/apis/serving.knative.dev/v1/namespaces"
AUTOSCALING = "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces"
VERIFY_S = 3.0
_POLL_S = 0.2


@dataclass(slots=True)
class ClusterFacts:
    """What holds for every service of a cluster.

    Attributes:
        autoscaler: data of config-autoscaler; empty where it may not be read.
        cores: of all nodes; infinite where they may not be read.
        has_warm: whether annotations of a Revision reach its autoscaler; None until it was tried.
    """

    autoscaler: Mapping[str, str]
    cores: float = math.inf
    has_warm: bool | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that our ConfigMaps belong to, so that they go when it goes."""

    api_version: str
    kind: str
    name: str
    uid: str

    def reference(self) -> dict[str, Any]:
        """Return it as a reference of an owner."""
        return {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid}


@dataclass(frozen=True, slots=True)
class Place:
    """Where one service is, and what it is reached by."""

    cluster: Cluster
    facts: ClusterFacts
    seen: ServiceSeen
    namespace: str
    service: str
    owner: Owner
    wall: Callable[[], float] = time.time


async def _nothing() -> None:
    """Where nobody remembers."""


class KnativePlatform:
    """One Knative Service.

    Args:
        place: of the service.
        outbox: takes hot settings to the servers with the answers to their heartbeats.
        started_at_s: wall clock at which the run's clock shows 0.

    Raises:
        TemporaryError: the service has no Revision that was ever ready.
    """

    server_law: ServerLaw = "knative_pods"

    def __init__(self, place: Place, outbox: Outbox, *, started_at_s: float) -> None:
        self._place, self._outbox, self._started_at_s = place, outbox, started_at_s
        self.overlay = Overlay()
        self.limits = ChangeLimits()
        self.sizes = PodSizes(place.cluster, place.namespace)
        self.remember: Callable[[], Awaitable[None]] = _nothing
        """Keeps what is about to be written: a restart in between must know it for ours."""
        self.roller = Roller(place.cluster, place.seen, place.namespace)
        self._saved_hot: Mapping[str, object] | None = None

    @property
    def autoscaler(self) -> AutoscalerSettings:
        """What the autoscaler works with, beside the knobs that are tuned."""
        return autoscaler_settings(self._place.facts.autoscaler, annotations_of(self.revision))

    @property
    def shape(self) -> InstanceShape:
        """What one pod is given, and how it starts."""
        started = [pod.ready_s - pod.created_s for pod in self._place.seen.pods.values() if pod.ready_s is not None]
        return read_shape(self.revision, cores=self._place.facts.cores, cold_start_s=min(started) if started else None)

    @property
    def service(self) -> dict[str, Any]:
        """The service's document.

        Raises:
            TemporaryError: there is none.
        """
        found = self._place.seen.service
        if found is None:
            raise TemporaryError(f"service {self._place.service}: is not there; create it")
        return found

    @property
    def revision(self) -> dict[str, Any]:
        """The Revision that takes the traffic.

        Raises:
            TemporaryError: there is none that was ever ready.
        """
        traffic: list[dict[str, Any]] = (self.service["status"] or {}).get("traffic") or []
        most = max(traffic, key=lambda each: each.get("percent") or 0, default={})
        name = str(most.get("revisionName") or self._name("latestReadyRevisionName"))
        found = self._place.seen.revisions.get(name)
        if found is None:
            why = f"{name} is not seen yet" if name else "has no ready revision yet"
            raise TemporaryError(f"service {self._place.service}: {why}")
        return found

    def present(self) -> ServingConfig:
        """Return the setting in force."""
        return read_config(self.revision, hot=self._outbox.current(), autoscaler_defaults=self._place.facts.autoscaler)

    async def start(self, config: ServingConfig) -> None:
        """Begin with this setting."""
        await self.apply(config)

    async def apply(self, config: ServingConfig) -> Applied:
        """Change the setting: hot by the link, warm by annotations.

        Raises:
            TemporaryError: the cluster does not take it; what was written before stays.
        """
        # What somebody else has written since our last turn must not go under in what we write now.
        for name in self._live_revisions() if self.overlay.wanted else ():
            self.overlay.look(
                name, annotations_of(self._place.seen.revisions[name]), template_annotations(self.service)
            )
        present = self.present()
        wanted = self._allowed(config, present)
        changes = wanted.changes_from(present)
        generation = self._outbox.generation
        if any(PRICE_OF_CHANGE[name] == "hot" for name in changes):
            generation = self._outbox.set(hot_settings_of(wanted))
            await self.save_hot_settings()
        warm = [name for name in changes if PRICE_OF_CHANGE[name] == "warm"]
        if warm:
            self.overlay.want(warm_annotations(wanted, warm), template_annotations(self.service))
            await self.remember()
            await self.enforce()
            self.limits.made("warm", self._now())
        if "container_concurrency" in changes:
            await self._roll(wanted.container_concurrency)
            self.limits.made("slow", self._now())
        return Applied(dearest_price(changes), changes, generation, self.revision["metadata"]["name"])

    def _allowed(self, config: ServingConfig, present: ServingConfig) -> ServingConfig:
        """Return what may be done now of a wanted setting: a service at zero is never woken, held knobs stay."""
        prices = self.limits.allowed(self._now())
        if self.roller.rollout is not None or not self._place.seen.serving_pods():
            prices -= {"slow"}
        has_warm = self._place.facts.has_warm is not False
        if not has_warm:
            prices -= {"warm"}
        wanted = present.with_prices(config, prices)
        if config.min_scale > present.min_scale and self.limits.permits("warm") and has_warm:
            # Instances that a burst needs now: the change counts, so that others wait for it.
            wanted = replace(wanted, min_scale=config.min_scale, max_scale=config.max_scale)
        kept = {name: getattr(present, name) for name in self.overlay.held}
        if not self._place.seen.serving_pods() and wanted.min_scale > present.min_scale:
            kept["min_scale"] = present.min_scale
        document = wanted.to_document() | kept
        if document["max_scale"] and (document["min_scale"] or 0) > document["max_scale"]:
            document["min_scale"] = document["max_scale"]
        return ServingConfig.from_document(document, where="setting")

    async def _roll(self, fence: int) -> None:
        """Begin a rollout; what the cluster refuses is not asked for again.

        Raises:
            TemporaryError: the cluster does not answer; the rollout goes on at the next turn.
        """
        try:
            await self.roller.begin(fence, share_before=None, now_s=self._now(), remember=self.remember)
        except (InvalidError, ForbiddenError) as error:
            self.roller.rollout = None
            self.overlay.held["container_concurrency"] = f"{fence} was refused, {error}"[:300]

    def begin_anew(self) -> None:
        """Forget what was done: the service was made again under the same name."""
        self.overlay, self.roller = Overlay(), Roller(self._place.cluster, self._place.seen, self._place.namespace)

    async def enforce(self) -> dict[str, str]:
        """Put the overlay on the newest Revision where it is not; returns what was written, by annotation.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        if self._outbox.current() != self._saved_hot:  # a call failed, or servers know a later generation
            await self.save_hot_settings()
        if (found := self.roller.taken_back()) is not None:
            self.overlay.held["container_concurrency"] = f"somebody set it to {found}"
        await self.sizes.enforce(self._place.seen.serving_pods())
        if not self.overlay.wanted:
            return {}
        written: dict[str, str] = {}
        for name in self._live_revisions():
            on_it = annotations_of(self._place.seen.revisions[name])
            missing = self.overlay.look(name, on_it, template_annotations(self.service))
            if missing:
                await self._annotate(name, missing)
            if self.overlay.wanted:
                self.overlay.wrote(name)
            written |= missing
        return written

    async def release(self) -> None:
        """Take everything of ours off: Revisions get the template's values back, the servers their own settings.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        restoring = self.overlay.restoring()
        for name in self._live_revisions() if restoring else ():
            await self._write(name, restoring)
        self.overlay = Overlay()
        await self.sizes.release(self._place.seen.serving_pods(), self.own_cpu())
        await self.roller.release()
        if self._outbox.current() is not None:
            started_with = read_config(self.revision, hot=None, autoscaler_defaults=self._place.facts.autoscaler)
            self._outbox.set(hot_settings_of(started_with))
            await self.save_hot_settings()

    def try_resize(self, cpu: float) -> bool:
        """Want pods of this size, if the limits allow a change now; `enforce` does it."""
        if "warm" not in self.limits.allowed(self._now()):
            return False
        self.limits.made("warm", self._now())
        self.sizes.cpu = cpu
        return True

    def own_cpu(self) -> float | None:
        """Return the cores that the Revision gives its container."""
        return cpu_of(answering_container(self.revision).get("resources") or {})

    async def _annotate(self, revision: str, values: dict[str, str]) -> None:
        await self._write(revision, values)
        if self._place.facts.has_warm is None:
            self._place.facts.has_warm = await self._has_reached(revision, values)
            if not self._place.facts.has_warm:
                await self._write(revision, self.overlay.restoring())
                self.overlay = Overlay()
                raise TemporaryError(
                    f"revision {revision}: its autoscaler does not follow annotations (Knative before 1.21); "
                    "scale settings are left alone"
                )

    async def _write(self, revision: str, values: Mapping[str, str | None]) -> None:
        path = f"{SERVING}/{self._place.namespace}/revisions/{revision}"
        found = await self._place.cluster.patch(path, {"metadata": {"annotations": dict(values)}})
        # The watch tells of it in a moment; until then a second look must not take our own change for a difference.
        known, metadata = self._place.seen.revisions.get(revision), found.get("metadata") or {}
        if known is not None:
            known["metadata"]["annotations"] = metadata.get("annotations") or {}
            known["metadata"]["resourceVersion"] = metadata.get("resourceVersion")

    async def _has_reached(self, revision: str, values: Mapping[str, str]) -> bool:
        """Return whether a Revision's annotations are its autoscaler's within some seconds."""
        path = f"{AUTOSCALING}/{self._place.namespace}/podautoscalers/{revision}"
        for _ in range(round(VERIFY_S / _POLL_S)):
            await asyncio.sleep(_POLL_S)
            try:
                annotations = annotations_of(await self._place.cluster.get(path))
            except ClusterCallError as error:
                if error.status in (403, 404):
                    return True  # it cannot be looked at: nothing speaks against it
                raise
            if all(annotations.get(name) == value for name, value in values.items()):
                return True
        return False

    async def save_hot_settings(self) -> None:
        """Write the hot settings for pods that start while the controller is away.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        name, hot = f"tidegate-hot-{self._place.service}", self._outbox.current()
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "labels": {"app.kubernetes.io/managed-by": "tidegate"},
                "ownerReferences": [self._place.owner.reference()],
            },
            "data": {"hot-settings.json": json.dumps(hot)},
        }
        path = f"/api/v1/namespaces/{self._place.namespace}/configmaps/{name}"
        await self._place.cluster.apply(path, document, force=True)
        self._saved_hot = hot

    async def remove_hot_settings(self) -> None:
        """Delete the ConfigMap: pods that start from now on have what their environment says.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        if self._outbox.current() is not None:
            name = f"tidegate-hot-{self._place.service}"
            await self._place.cluster.delete(f"/api/v1/namespaces/{self._place.namespace}/configmaps/{name}")

    async def advance(self, until_s: float) -> float:
        """Sleep until then and return now."""
        await asyncio.sleep(max(0.0, until_s - self._now()))
        return self._now()

    async def instances(self) -> Sequence[InstanceRow]:
        """Return the pods that are there, oldest first."""
        shape = self.shape
        pods = sorted(self._place.seen.pods.values(), key=lambda pod: pod.created_s)
        return [
            InstanceRow(
                pod.name,
                pod.revision,
                pod.created_s - self._started_at_s,
                math.nan if pod.ready_s is None else pod.ready_s - self._started_at_s,
                math.nan,
                shape.vcpu,
                shape.memory_mb,
            )
            for pod in pods
        ]

    async def state(self) -> PlatformState:
        """Return counts and settings now."""
        pods = self._place.seen.serving_pods()
        ready = sum(pod.ready_s is not None for pod in pods)
        return PlatformState(
            at_s=self._now(),
            ready=ready,
            starting=len(pods) - ready,
            config=self.present(),
            revision=self.revision["metadata"]["name"],
            front_arrivals={},
        )

    def to_document(self) -> dict[str, Any]:
        """Return what a restarted operator needs to know of what was done, as JSON."""
        return {
            "overlay": self.overlay.to_document(),
            "roller": self.roller.to_document(),
            "cpu": self.sizes.cpu,
            "limits": self.limits.to_document(),
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Go on from what `to_document` returned; what is no such document is no state."""
        overlay = document.get("overlay")
        self.overlay = Overlay.from_document(overlay if isinstance(overlay, dict) else {})
        limits = document.get("limits")
        self.limits.restore(limits if isinstance(limits, dict) else {})
        cpu = document.get("cpu")
        self.sizes.cpu = float(cpu) if isinstance(cpu, int | float) else None
        roller = document.get("roller")
        self.roller.restore(roller if isinstance(roller, dict) else {})

    async def aclose(self) -> None:
        """End nothing: the service goes on."""

    def _now(self) -> float:
        return self._place.wall() - self._started_at_s

    def _name(self, which: str) -> str:
        return str((self.service["status"] or {}).get(which) or "")

    def _live_revisions(self) -> list[str]:
        """Return the Revisions that take traffic or will: those named by the traffic, and the newest."""
        status = self.service["status"] or {}
        named = [str(each.get("revisionName") or "") for each in status.get("traffic") or [] if each.get("percent")]
        names = dict.fromkeys([*named, self._name("latestReadyRevisionName"), self._name("latestCreatedRevisionName")])
        return [name for name in names if name in self._place.seen.revisions]
