"""`knative`: the Platform over a Knative Service: hot settings by the link, warm ones on its Revisions.

It reads what watches have seen and writes by the cluster's API, only what it owns: a ConfigMap, the autoscaling
annotations of Revisions (`warm_settings.py`), the size of pods (`pod_resize.py`) and, for a slow change, the fields
that `rollout.py` names.
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from controller.domain.instance_log import InstanceRow
from controller.domain.serving_config import PRICE_OF_CHANGE, ServerLaw, ServingConfig
from controller.platforms.change_limits import ChangeLimits
from controller.platforms.cluster_client import ForbiddenError, InvalidError
from controller.platforms.knative_reading import (
    annotations_of,
    answering_container,
    read_config,
    read_shape,
    template_annotations,
)
from controller.platforms.overlay import Overlay
from controller.platforms.owned import hot_settings_map
from controller.platforms.pod_resize import PodSizes, cpu_of
from controller.platforms.protocol import Applied, PlatformState, dearest_price
from controller.platforms.revision_annotations import autoscaler_settings, taken_together
from controller.platforms.roller import Roller
from controller.platforms.warm_settings import WarmSettings
from controller.telemetry.outbox import hot_settings_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from controller.domain.serving_config import AutoscalerSettings, InstanceShape
    from controller.platforms.place import Place
    from controller.telemetry.outbox import Outbox


async def _nothing() -> None:
    """Where nobody remembers."""


class KnativePlatform:
    """One Knative Service.

    Args:
        place: of the service.
        outbox: takes hot settings to the servers with the answers to their heartbeats.
        started_at_s: wall clock at which the run's clock shows 0.
    """

    server_law: ServerLaw = "knative_pods"

    def __init__(self, place: Place, outbox: Outbox, *, started_at_s: float) -> None:
        self._place, self._outbox, self._started_at_s = place, outbox, started_at_s
        self.warm, self.limits = WarmSettings(place), ChangeLimits()
        self.sizes = PodSizes(place.cluster, place.namespace)
        self.roller = Roller(place.cluster, place.seen, place.namespace)
        self.remember: Callable[[], Awaitable[None]] = _nothing
        """Keeps what is about to be written: a restart in between must know it for ours."""
        self.share_inside: Callable[[], float | None] = lambda: None
        """Share of recent requests inside the objective, where somebody measures it."""
        self._map = hot_settings_map(place.cluster, place.namespace, place.service)
        self._saved_hot: Mapping[str, object] | None = None

    @property
    def overlay(self) -> Overlay:
        """What lies over the Revisions, and what belongs to others."""
        return self.warm.overlay

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
        """See `Place.document`."""
        return self._place.document

    @property
    def revision(self) -> dict[str, Any]:
        """See `Place.revision`."""
        return self._place.revision

    def present(self) -> ServingConfig:
        """Return the setting in force."""
        return read_config(self.revision, hot=self._outbox.current(), autoscaler_defaults=self._place.facts.autoscaler)

    def documented(self) -> ServingConfig:
        """Return the setting that the service's own documents say, below whatever lies over them."""
        metadata = {**self.revision["metadata"], "annotations": template_annotations(self.service)}
        plain = {**self.revision, "metadata": metadata}
        return read_config(plain, hot=None, autoscaler_defaults=self._place.facts.autoscaler)

    def own_cpu(self) -> float | None:
        """Return the cores that the Revision gives its container."""
        return cpu_of(answering_container(self.revision).get("resources") or {})

    async def start(self, config: ServingConfig) -> None:
        """Begin with this setting."""
        await self.apply(config)

    async def apply(self, config: ServingConfig) -> Applied:
        """Change the setting: hot by the link, warm by annotations, slow by a rollout that begins.

        Raises:
            TemporaryError: the cluster does not take it; what was written before stays.
        """
        self.warm.notice()
        present = self.present()
        wanted = self._allowed(config, present)
        changes = wanted.changes_from(present)
        generation = self._outbox.generation
        if any(PRICE_OF_CHANGE[name] == "hot" for name in changes):
            generation = self._outbox.set(hot_settings_of(wanted))
            await self.save_hot_settings()
        warm = [name for name in changes if PRICE_OF_CHANGE[name] == "warm"]
        if warm:
            self.warm.want(wanted, warm)
            await self.remember()
            await self.enforce()
            self.limits.made("warm", self._now())
            changes = {name: pair for name, pair in changes.items() if name not in self.overlay.held}
        if "container_concurrency" in changes:
            await self._roll(wanted.container_concurrency)
            self.limits.made("slow", self._now())
        return Applied(dearest_price(changes), changes, generation, self.revision["metadata"]["name"])

    def _allowed(self, config: ServingConfig, present: ServingConfig) -> ServingConfig:
        """Return what may be done now of a wanted setting: a service at zero is never woken, held knobs stay."""
        prices, is_at_zero = self.limits.allowed(self._now()), not self._place.seen.serving_pods()
        if self.roller.rollout is not None or is_at_zero:
            prices -= {"slow"}
        if not self.warm.is_possible:
            prices -= {"warm"}
        wanted = present.with_prices(config, prices)
        if config.min_scale > present.min_scale and self.limits.permits("warm") and self.warm.is_possible:
            # Instances that a burst needs now: the change counts, so that others wait for it.
            scale = {name: getattr(config, name) for name in ("min_scale", "max_scale", "activation_scale")}
            wanted = replace(wanted, **scale)
        kept = {name: getattr(present, name) for name in self.overlay.held}
        if is_at_zero and wanted.min_scale > present.min_scale:
            kept["min_scale"] = present.min_scale
        document = wanted.to_document() | kept
        if document["max_scale"] and (document["min_scale"] or 0) > document["max_scale"]:
            document["min_scale"] = document["max_scale"]
        found = taken_together(ServingConfig.from_document(document, where="setting"))
        return replace(found, **{name: value for name, value in kept.items() if name == "activation_scale"})

    async def _roll(self, fence: int) -> None:
        """Begin a rollout; what the cluster refuses is not asked for again.

        Raises:
            TemporaryError: the cluster does not answer; the rollout goes on at the next turn.
        """
        try:
            await self.roller.prepare(fence, share_before=self.share_inside(), now_s=self._now())
            await self.remember()
            await self.roller.begin()
        except (InvalidError, ForbiddenError) as error:
            self.roller.rollout = None
            self.overlay.held["container_concurrency"] = f"{fence} was refused, {error}"[:300]

    def begin_anew(self) -> None:
        """Forget what was done: the service was made again under the same name."""
        place = self._place
        self.warm, self.roller = WarmSettings(place), Roller(place.cluster, place.seen, place.namespace)

    async def enforce(self) -> None:
        """Put back in force what is wanted and is not.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        if self._outbox.current() != self._saved_hot:  # a call failed, or servers know a later generation
            await self.save_hot_settings()
        if (found := self.roller.taken_back()) is not None:
            self.overlay.held["container_concurrency"] = f"somebody set it to {found}"
        await self.sizes.enforce(self._place.seen.serving_pods())
        await self.warm.enforce()

    async def release(self) -> None:
        """Take everything of ours off: Revisions get the template's values back, the servers their own settings.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        await self.warm.release()
        await self.sizes.release(self._place.seen.serving_pods(), self.own_cpu())
        await self.roller.release()
        if self._outbox.current() is not None:
            self._outbox.set(hot_settings_of(self.documented()))
            await self.save_hot_settings()

    def try_resize(self, cpu: float) -> bool:
        """Want pods of this size, if the limits allow a change now; `enforce` does it."""
        if "warm" not in self.limits.allowed(self._now()):
            return False
        self.limits.made("warm", self._now())
        self.sizes.cpu = cpu
        return True

    async def save_hot_settings(self) -> None:
        """Write the hot settings for pods that start while the controller is away.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        hot = self._outbox.current()
        await self._map.write(json.dumps(hot), [self._place.owner.reference()])
        self._saved_hot = hot

    async def remove_hot_settings(self) -> None:
        """Delete them: pods that start from now on have what their environment says.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        if self._outbox.current() is not None:
            await self._map.delete()

    async def advance(self, until_s: float) -> float:
        """Sleep until then and return now."""
        await asyncio.sleep(max(0.0, until_s - self._now()))
        return self._now()

    async def instances(self) -> Sequence[InstanceRow]:
        """Return the pods that are there, oldest first."""
        shape, origin_s = self.shape, self._started_at_s
        return [
            InstanceRow(
                pod.name,
                pod.revision,
                pod.created_s - origin_s,
                math.nan if pod.ready_s is None else pod.ready_s - origin_s,
                math.nan,
                shape.vcpu,
                shape.memory_mb,
            )
            for pod in sorted(self._place.seen.pods.values(), key=lambda pod: pod.created_s)
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
        overlay, roller, limits = (
            each if isinstance(each := document.get(name), dict) else {} for name in ("overlay", "roller", "limits")
        )
        self.warm.overlay = Overlay.from_document(overlay)
        self.roller.restore(roller)
        self.limits.restore(limits)
        cpu = document.get("cpu")
        self.sizes.cpu = float(cpu) if isinstance(cpu, int | float) else None

    async def aclose(self) -> None:
        """End nothing: the service goes on."""

    def _now(self) -> float:
        return self._place.wall() - self._started_at_s
