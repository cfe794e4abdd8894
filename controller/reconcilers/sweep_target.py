"""One service that a Sweep measures: brought to a setting, confirmed, watched, and put back at the end.

Every trial begins alike: so many ready pods as the setting's lowest scale, at least one, all of the newest revision,
each of which has confirmed its hot settings; and an autoscaler whose averages have forgotten the trial before.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from controller.domain.serving_config import PRICE_OF_CHANGE, ServingConfig
from controller.errors import BadInputError, TemporaryError, TidegateError
from controller.platforms.cluster_client import ForbiddenError, InvalidError, MissingError
from controller.platforms.knative import SERVING, KnativePlatform, Owner, Place
from controller.platforms.knative_reading import annotations_of, answering_container, read_config, template_annotations
from controller.platforms.revision_annotations import ANNOTATION_OF, warm_annotations
from controller.platforms.template import Template, give_back, has_arrived, why_refused, write_slow
from controller.reconcilers.conditions import Aspect
from controller.reconcilers.world import service_of
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import HOT_SETTINGS, Outbox, hot_settings_of
from controller.telemetry.reception import Desk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from controller.platforms.watched import PodSeen
    from controller.reconcilers.world import World
    from controller.sweeps.parameters import Setting

TURN_S = 0.5
STARTS_S = 120.0
"""How long pods, or a new revision, may take to be ready."""
CONFIRMS_S = 150.0
"""How long a pod may take to confirm hot settings. A server that nobody tuned asks every 30 s only, and one that was
there before the link's certificate gets it when the kubelet looks at ConfigMaps next, within two minutes."""
REFUSES_S = 5.0
"""A server that reports so long after it was told, and still has the old settings, has refused them."""
SETTLES_S = 60.0
"""How long a trial waits for what the one before it left."""
SCALE = ("min_scale", "max_scale")


class TrialError(TidegateError):
    """The trial has come to nothing, for a reason that lies in its setting or its service."""


@dataclass(frozen=True, slots=True)
class Before:
    """What the service had before the sweep, as far as its own documents do not say it.

    Attributes:
        container_concurrency: of the template, where the sweep changes it.
        hot: what servers were told by a tuning; None where nothing was.
        owners: of the ConfigMap that told them.
    """

    container_concurrency: int | None = None
    hot: Mapping[str, Any] | None = None
    owners: Sequence[Mapping[str, Any]] = ()

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"containerConcurrency": self.container_concurrency, "hot": self.hot, "owners": list(self.owners)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Before:
        """Read what `to_document` returned."""
        return cls(document.get("containerConcurrency"), document.get("hot"), tuple(document.get("owners") or ()))


class SweepTarget:
    """One target of one Sweep.

    Args:
        reference: as the Sweep names it.
        owner: the Sweep.
        namespace: of both.
        settings: that the Sweep varies, under the names of ServingConfig.
        world: of the operator.
        wall: the wall clock.
    """

    def __init__(  # noqa: PLR0913  what a target is, and what all targets share
        self,
        reference: dict[str, Any],
        owner: Owner,
        namespace: str,
        *,
        settings: frozenset[str],
        world: World,
        wall: Callable[[], float],
    ) -> None:
        self.reference, self.key = reference, (namespace, service_of(reference))
        self._world, self._owner, self._wall, self._settings = world, owner, wall, settings
        self.seen = world.watched.service(self.key)
        self._outbox, self._merge = Outbox(), HeartbeatMerge()
        self._desk = Desk(self._merge, self._outbox, wall)
        place = Place(world.cluster, world.facts, self.seen, namespace, self.key[1], owner)
        self.platform = KnativePlatform(place, self._outbox, started_at_s=wall())
        self._told_at_s = math.inf
        self._loaded: tuple[float, str] | None = None
        """When the last load ended, on the loop's clock, and on which revision."""
        self._measured_on = ""
        self._laid: ServingConfig | None = None
        self._accepted = 0.0

    @property
    def name(self) -> str:
        """Kind and name, for people."""
        return f"{self.reference['kind']} {self.reference['name']}"

    @property
    def url(self) -> str:
        """Where the service is reached from inside the cluster."""
        status = self.platform.service["status"]
        url = (status.get("address") or {}).get("url")
        return str(url or f"http://{self.key[1]}.{self.key[0]}.svc.cluster.local")

    @property
    def model_name(self) -> str:
        """The name in the URLs of the server's protocols, as its environment says."""
        environment = answering_container(self.platform.revision).get("env") or []
        named = (each.get("value") for each in environment if each.get("name") == "TIDEGATE_MODEL_NAME")
        return next((str(each) for each in named if each), "distilbert")

    def hindrance(self) -> Aspect | None:
        """Return why the service cannot be measured now, where that is so."""
        holder = self._world.held.get(self.key)
        if holder not in (None, self._owner.name):
            return Aspect("Ready", "False", "TargetBusy", f"Sweep {holder} measures {self.name}; this one is next")
        if self.seen.service is None:
            return Aspect("Ready", "False", "TargetMissing", f"there is no {self.name}; create it")
        status = self.seen.service["status"]
        newest, ready = status.get("latestCreatedRevisionName"), status.get("latestReadyRevisionName")
        if not ready or newest != ready or ready not in self.seen.revisions:
            return Aspect("Ready", "False", "TargetNotReady", f"the newest revision of {self.name} is not ready")
        if (serving := self.platform.revision["metadata"]["name"]) != newest:
            words = f"the traffic of {self.name} goes to {serving} and not to its newest revision {newest}"
            return Aspect("Ready", "False", "TargetNotReady", words)
        return None

    def hold(self) -> None:
        """Keep tunings and other sweeps away."""
        self._world.held[self.key] = self._owner.name

    def leave(self) -> None:
        """Let tunings and other sweeps come."""
        if self._world.held.get(self.key) == self._owner.name:
            del self._world.held[self.key]
        if self._world.desks.get(self.key) is self._desk:
            del self._world.desks[self.key]

    async def look_before(self) -> Before:
        """Return what has to be put back at the end.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        fence, hot, owners = None, None, ()
        if self._has("slow"):
            template = Template.of(self.platform.service)
            fence = template.read(await self._world.cluster.get(template.path))
        if self._has("hot"):
            with contextlib.suppress(MissingError):
                found = await self._world.cluster.get(self._hot_path())
                hot, owners = _hot_of(found), tuple(found["metadata"].get("ownerReferences") or ())
        return Before(fence, hot, owners)

    async def resume(self) -> None:
        """Take up what is in force: generations of hot settings go on, and scale settings are known as ours.

        Raises:
            TemporaryError: the cluster does not answer, or the service is not seen.
        """
        if self._has("hot") and self._outbox.current() is None:
            with contextlib.suppress(MissingError):
                told = _hot_of(await self._world.cluster.get(self._hot_path()))
                if told is not None:
                    self._outbox.restore(int(told["generation"]), {name: told[name] for name in HOT_SETTINGS})
                    self._told_at_s = self._wall()
        if not self.platform.overlay.wanted:
            template, found = template_annotations(self.platform.service), annotations_of(self.platform.revision)
            ours = {ANNOTATION_OF[knob] for knob in self._warm()}
            laid = {name: value for name, value in found.items() if name in ours and value != template.get(name)}
            self.platform.overlay.want(laid, template)
            self.platform.overlay.wrote(self.platform.revision["metadata"]["name"])
        self._measured_on = self.platform.revision["metadata"]["name"]
        self._accepted = math.inf

    async def set(self, setting: Setting) -> None:
        """Bring the service to a setting, and return when its pods serve with it.

        Its lowest scale comes into force with `loosen`: a service that nobody asks goes to zero at once.

        Raises:
            TrialError: it does not get there, with the reason.
            TemporaryError: the cluster does not answer.
        """
        self.look()
        await self._world.bundle.publish(self.key[0])
        try:
            config = self._config(setting)
            floor = max(1, config.min_scale)
            if self._has("hot"):
                self._outbox.set(hot_settings_of(config))
                self._told_at_s = self._wall()
                await self.platform.save_hot_settings()
            if self._has("slow"):
                await self._write_slow(config.container_concurrency)
            # So many pods and no others, whatever the autoscaler still has in mind of the trial before.
            await self._lay(replace(config, min_scale=floor, max_scale=floor))
            await self._settle(config, floor)
            await self._lay(replace(config, min_scale=floor))
        except (InvalidError, ForbiddenError) as error:
            raise TrialError(str(error)) from error
        self._measured_on = self.platform.revision["metadata"]["name"]
        self._accepted = self._merge.counters().get("accepted", 0.0)

    async def loosen(self, setting: Setting) -> None:
        """Let the setting's own lowest scale come into force: now that requests arrive, nothing goes for want of them.

        Raises:
            TrialError: the setting cannot be had.
            TemporaryError: the cluster does not take it.
        """
        config = self._config(setting)
        if self._laid is not None and self._laid.min_scale != config.min_scale:
            await self._lay(config)

    def has_traffic(self) -> bool:
        """Return whether servers have reported requests since the setting was made."""
        return self._merge.counters().get("accepted", 0.0) > self._accepted

    def look(self) -> None:
        """Keep hold of the service: of its desk and its place among the measured."""
        self.hold()
        self._world.desks[self.key] = self._desk

    def ended(self) -> None:
        """A load has ended now."""
        self._loaded = (asyncio.get_running_loop().time(), self._measured_on)

    def why_not_measured(self, setting: Setting) -> str:
        """Return why figures just taken are not those of the setting; empty where nothing speaks against it."""
        status = self.platform.service["status"]
        if {status.get("latestCreatedRevisionName"), status.get("latestReadyRevisionName")} != {self._measured_on}:
            return f"a new revision came while the trial ran ({status.get('latestCreatedRevisionName')})"
        newest = annotations_of(self.platform.revision)
        laid = {} if self._laid is None else warm_annotations(self._laid, self._warm())
        for knob, wanted in laid.items():
            if newest.get(knob) != wanted:
                return f"somebody set {knob} to {newest.get(knob) or 'nothing'} while the trial ran"
        return self._why_refused(self._ready_pods(), self._config(setting))

    async def release(self, before: Before) -> None:
        """Put the service back to what it had, and let it go.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        if await self._is_there():
            self.look()
            await self.resume()
            if self._has("slow"):
                await give_back(self._world.cluster, Template.of(self.platform.service), before.container_concurrency)
                await self._until_arrived(before.container_concurrency or 0)
            with contextlib.suppress(MissingError):  # a revision that was replaced meanwhile
                await self.platform.release()
            if self._has("hot") and self._outbox.current() is not None:
                await self._release_hot(before)
        self.leave()

    async def _release_hot(self, before: Before) -> None:
        if before.hot is not None:
            self._outbox.set({name: before.hot[name] for name in HOT_SETTINGS})
            await self.platform.save_hot_settings()
        # Who runs now has to hear of it from us: without a tuning nobody else will tell.
        until_s = asyncio.get_running_loop().time() + REFUSES_S
        while self._unconfirmed(self._ready_pods()) and asyncio.get_running_loop().time() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(TURN_S)
        if before.hot is None:
            await self._world.cluster.delete(self._hot_path())
            return
        found = await self._world.cluster.get(self._hot_path())
        metadata = {name: found["metadata"][name] for name in ("name", "labels") if name in found["metadata"]}
        await self._world.cluster.apply(
            self._hot_path(),
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {**metadata, "ownerReferences": [dict(each) for each in before.owners]},
                "data": found.get("data") or {},
            },
            force=True,
        )

    async def _is_there(self) -> bool:
        """Return whether the service is there.

        Raises:
            TemporaryError: it is, but no watch has told of it yet.
        """
        if self.hindrance() is None:
            return True
        try:
            service = await self._world.cluster.get(f"{SERVING}/{self.key[0]}/services/{self.key[1]}")
        except MissingError:
            return False
        if service["metadata"].get("deletionTimestamp"):
            return False
        if self.seen.service is None or not self.seen.revisions:
            raise TemporaryError(f"{self.name}: is not seen yet")
        return bool(self.seen.service["status"].get("latestReadyRevisionName"))

    def _config(self, setting: Setting) -> ServingConfig:
        """Return the whole setting of a trial: what is not varied is as the service's own documents say.

        Raises:
            TrialError: the two do not go together.
        """
        plain = copy.copy(self.platform.revision)
        plain["metadata"] = {**plain["metadata"], "annotations": template_annotations(self.platform.service)}
        base = read_config(plain, hot=None, autoscaler_defaults=self._world.facts.autoscaler)
        try:
            return ServingConfig.from_document({**base.to_document(), **setting}, where=self.name)
        except BadInputError as error:
            raise TrialError(str(error)) from error

    def _has(self, price: str) -> bool:
        return any(PRICE_OF_CHANGE[name] == price for name in self._settings)

    def _warm(self) -> tuple[str, ...]:
        """Return the scale settings that are ours: the bounds always, for every trial begins with the same pods."""
        return (*SCALE, *(name for name in ("target",) if name in self._settings))

    def _can_scale(self) -> bool:
        return self._world.facts.has_warm is not False

    async def _write_slow(self, fence: int) -> None:
        if has_arrived(self.seen, fence):
            return
        await write_slow(self._world.cluster, Template.of(self.platform.service), fence)
        until_s = asyncio.get_running_loop().time() + STARTS_S
        while not has_arrived(self.seen, fence):
            self.look()
            if why := why_refused(self.seen):
                raise TrialError(f"the new revision does not come up: {why}")
            if asyncio.get_running_loop().time() > until_s:
                raise TrialError(f"the new revision was not ready within {STARTS_S:.0f} s")
            await asyncio.sleep(TURN_S)

    async def _until_arrived(self, fence: int) -> None:
        """Wait a while for the revision that the service had before; it comes by itself, too."""
        until_s = asyncio.get_running_loop().time() + SETTLES_S
        while not has_arrived(self.seen, fence) and asyncio.get_running_loop().time() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(TURN_S)

    async def _lay(self, config: ServingConfig) -> None:
        """Lay the scale settings over the newest revision.

        Raises:
            TrialError: its autoscaler does not follow them.
        """
        if not self._can_scale():
            if any(PRICE_OF_CHANGE[name] == "warm" for name in self._settings):
                raise TrialError("scale settings of a revision do not reach its autoscaler; it needs Knative 1.21")
            return
        overlay = self.platform.overlay
        overlay.held.clear()
        overlay.want(warm_annotations(config, self._warm()), template_annotations(self.platform.service))
        overlay.forget_written()  # what differs now is our own new wish and nobody's drift
        await self.platform.enforce()
        self._laid = config

    async def _settle(self, config: ServingConfig, floor: int) -> None:
        """Wait until the pods are those that a trial begins with, and have confirmed their settings."""
        loop = asyncio.get_running_loop()
        began_s, ready_at_s = loop.time(), math.inf
        while True:
            self.look()
            now_s, ready = loop.time(), self._ready_pods()
            if len(ready) < floor:
                ready_at_s = math.inf
                if now_s - began_s > STARTS_S:
                    raise TrialError(f"{len(ready)} of {floor} pods were ready within {STARTS_S:.0f} s")
            else:
                ready_at_s = min(ready_at_s, now_s)
                if why := self._why_refused(ready, config):
                    raise TrialError(why)
                unconfirmed = self._unconfirmed(ready)
                is_calm = len(self.seen.serving_pods()) == floor and now_s >= self._rested_at_s()
                if not unconfirmed and (is_calm or now_s - began_s > SETTLES_S):
                    return
                if unconfirmed and now_s - ready_at_s > CONFIRMS_S:
                    raise TrialError(
                        f"pod {unconfirmed[0].name} has not confirmed its hot settings within {CONFIRMS_S:.0f} s; "
                        "is the service linked to the operator?"
                    )
            await asyncio.sleep(TURN_S)

    def _rested_at_s(self) -> float:
        """Return when the averages of the autoscaler have forgotten the last load, on the loop's clock."""
        if self._loaded is None or self._loaded[1] != self.platform.revision["metadata"]["name"]:
            return -math.inf
        autoscaler = self.platform.autoscaler
        return self._loaded[0] + min(SETTLES_S, autoscaler.window_s + autoscaler.tick_s)

    def _ready_pods(self) -> list[PodSeen]:
        newest = self.platform.revision["metadata"]["name"]
        return [pod for pod in self.seen.serving_pods() if pod.revision == newest and pod.ready_s is not None]

    def _unconfirmed(self, pods: Sequence[PodSeen]) -> list[PodSeen]:
        """Return the pods that have not reported the generation of our hot settings."""
        if not self._has("hot") or self._outbox.current() is None:
            return []
        words = {each.heartbeat.instance: each.heartbeat for each in reversed(self._merge.instances())}
        wanted = self._outbox.generation
        return [pod for pod in pods if pod.name not in words or words[pod.name].generation < wanted]

    def _why_refused(self, pods: Sequence[PodSeen], config: ServingConfig) -> str:
        """Return what a server says by going on with its old settings; empty where none does."""
        words = {each.heartbeat.instance: each for each in reversed(self._merge.instances())}
        for pod in self._unconfirmed(pods):
            said = words.get(pod.name)
            if said is None:
                continue
            started = said.heartbeat.workers_started
            if 0 < started < config.workers:
                return f"pod {pod.name} refuses workers {config.workers}: it started {started}, and takes at most these"
            if said.heard_at_s > max(self._told_at_s, pod.ready_s or 0.0) + REFUSES_S:
                return (
                    f"pod {pod.name} goes on with hot settings of generation {said.heartbeat.generation} instead of "
                    f"{self._outbox.generation}: it has refused them; its log says why"
                )
        return ""

    def _hot_path(self) -> str:
        return f"/api/v1/namespaces/{self.key[0]}/configmaps/tidegate-hot-{self.key[1]}"


def _hot_of(config_map: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the hot settings of a ConfigMap with their generation; None for what is none."""
    try:
        found = json.loads((config_map.get("data") or {}).get("hot-settings.json") or "null")
    except ValueError:
        return None
    is_whole = isinstance(found, dict) and set(found) == {"generation", *HOT_SETTINGS}
    return found if is_whole and isinstance(found["generation"], int) else None
