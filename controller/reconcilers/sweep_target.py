"""One service that a Sweep measures: brought to a setting, confirmed, watched, and put back at the end.

Every trial begins alike: so many ready pods as the setting's lowest scale, at least one, all of the newest revision,
each of which has confirmed its hot settings; and an autoscaler whose averages have forgotten the trial before.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from controller.domain.serving_config import PRICE_OF_CHANGE, ServingConfig
from controller.errors import BadInputError, TemporaryError, TidegateError
from controller.platforms.cluster_client import ForbiddenError, InvalidError, MissingError
from controller.platforms.knative import KnativePlatform
from controller.platforms.knative_reading import annotations_of, answering_container, read_config, template_annotations
from controller.platforms.place import SERVING, Place
from controller.platforms.revision_annotations import ANNOTATION_OF, warm_annotations
from controller.platforms.template import Template, give_back, has_arrived, why_refused, write_slow
from controller.reconcilers.conditions import Aspect
from controller.reconcilers.sweep_servers import Before, Servers
from controller.reconcilers.world import service_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.platforms.owned import Owner
    from controller.platforms.watched import PodSeen
    from controller.reconcilers.world import World
    from controller.sweeps.parameters import Setting

TURN_S = 0.5
STARTS_S = 120.0
"""How long pods, or a new revision, may take to be ready."""
CONFIRMS_S = 150.0
"""How long a pod may take to confirm hot settings. A server that nobody tuned asks every 30 s only, and one that was
there before the link's certificate gets it when the kubelet looks at ConfigMaps next, within two minutes."""
HEARS_S = 10.0
"""How long the end of a sweep waits for servers to take their own settings again."""
SETTLES_S = 60.0
"""How long a trial waits for what the one before it left."""
SCALE = ("min_scale", "max_scale")
MADE_BY = "tidegate.dev/sweep"
"""Annotation of a Revision that a trial made: the name of the Sweep."""


class TrialError(TidegateError):
    """The trial has come to nothing, for a reason that lies in its setting or its service."""


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
        self._world, self._owner, self._settings = world, owner, settings
        self.seen = world.watched.service(self.key)
        self._servers = Servers(world.cluster, self.key, wall)
        place = Place(world.cluster, world.facts, self.seen, namespace, self.key[1], owner)
        self.platform = KnativePlatform(place, self._servers.outbox, started_at_s=wall())
        self._loaded: tuple[float, str] | None = None
        """When the last load ended, on the loop's clock, and on which revision."""
        self._measured_on = ""
        self._laid: ServingConfig | None = None

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

    def hindrance(self, *, has_begun: bool = False) -> Aspect | None:
        """Return why the service cannot be measured now, where that is so.

        Args:
            has_begun: whether trials were run on it: then its newest revision is one of theirs, ready or not.
        """
        holder = self._world.held.get(self.key)
        if holder not in (None, self._owner.name):
            return Aspect("Ready", "False", "TargetBusy", f"Sweep {holder} measures {self.name}; this one is next")
        if self.seen.service is None:
            return Aspect("Ready", "False", "TargetMissing", f"there is no {self.name}; create it")
        status = self.seen.service["status"]
        newest, ready = status.get("latestCreatedRevisionName"), status.get("latestReadyRevisionName")
        if ready and has_begun and ready in self.seen.revisions:
            return None
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
        if self._world.desks.get(self.key) is self._servers.desk:
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
            hot, owners = await self._servers.look_before()
        return Before(fence, hot, owners)

    async def resume(self) -> None:
        """Take up what is in force: generations of hot settings go on, and scale settings are known as ours.

        Raises:
            TemporaryError: the cluster does not answer, or the service is not seen.
        """
        if self._has("hot"):
            await self._servers.resume()
        if not self.platform.overlay.wanted:
            template, found = template_annotations(self.platform.service), annotations_of(self.platform.revision)
            ours = {ANNOTATION_OF[knob] for knob in self._warm()}
            laid = {name: value for name, value in found.items() if name in ours and value != template.get(name)}
            self.platform.overlay.want(laid, template)
            self.platform.overlay.wrote(self.platform.revision["metadata"]["name"])
        self._measured_on = self.platform.revision["metadata"]["name"]

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
                self._servers.tell(config)
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
        self._servers.expect_traffic()

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
        return self._servers.has_traffic()

    def look(self) -> None:
        """Keep hold of the service: of its desk and its place among the measured."""
        self.hold()
        self._world.desks[self.key] = self._servers.desk

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
        return self._servers.why_refused(self._ready_pods(), self._config(setting))

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
            if self._has("hot"):
                await self._release_hot(before)
            if self._has("slow"):
                await self._delete_revisions()
        self.leave()

    async def _delete_revisions(self) -> None:
        """Delete the revisions that our trials made, once nothing is routed to them any more."""
        status = self.platform.service["status"]
        live = {status.get("latestCreatedRevisionName"), status.get("latestReadyRevisionName")}
        live |= {each.get("revisionName") for each in status.get("traffic") or []}
        for name, revision in list(self.seen.revisions.items()):
            if name not in live and annotations_of(revision).get(MADE_BY) == self._owner.name:
                await self._world.cluster.delete(f"{SERVING}/{self.key[0]}/revisions/{name}")

    async def _release_hot(self, before: Before) -> None:
        if self._servers.tell_again(before):
            await self.platform.save_hot_settings()
        # Who runs now has to hear of it from us: without a tuning nobody else will tell.
        until_s = asyncio.get_running_loop().time() + HEARS_S
        while self._servers.unconfirmed(self._ready_pods()) and asyncio.get_running_loop().time() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(TURN_S)
        await self._servers.give_back(before)

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
        newest = self._newest()
        await write_slow(self._world.cluster, Template.of(self.platform.service), fence)
        try:
            await self._until_new(fence)
        finally:
            if self._newest() not in ("", newest):
                path = f"{SERVING}/{self.key[0]}/revisions/{self._newest()}"
                with contextlib.suppress(MissingError):
                    await self._world.cluster.patch(path, {"metadata": {"annotations": {MADE_BY: self._owner.name}}})

    async def _until_new(self, fence: int) -> None:
        until_s = asyncio.get_running_loop().time() + STARTS_S
        while not has_arrived(self.seen, fence):
            self.look()
            if (why := why_refused(self.seen)) and self._carries(fence):
                raise TrialError(f"the new revision does not come up: {why}")
            if asyncio.get_running_loop().time() > until_s:
                raise TrialError(f"the new revision was not ready within {STARTS_S:.0f} s")
            await asyncio.sleep(TURN_S)

    def _newest(self) -> str:
        return str(self.platform.service["status"].get("latestCreatedRevisionName") or "")

    def _carries(self, fence: int) -> bool:
        """Return whether the service as it is seen has this fence already: what it says is of the new revision then."""
        template: dict[str, Any] = (self.platform.service["spec"].get("template") or {}).get("spec") or {}
        return int(template.get("containerConcurrency") or 0) == fence

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
                if why := self._servers.why_refused(ready, config):
                    raise TrialError(why)
                unconfirmed = self._servers.unconfirmed(ready)
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
