"""One service that a Sweep measures: brought to a setting, confirmed, watched, and put back at the end.

Every trial begins alike: so many ready pods as the setting's lowest scale, at least one, all of the newest revision,
each of which has confirmed its hot settings; and an autoscaler whose averages have forgotten the trial before.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from controller.domain.serving_config import PRICE_OF_CHANGE, ServingConfig
from controller.errors import BadInputError, TemporaryError, TrialError
from controller.platforms.cluster_client import ForbiddenError, InvalidError, MissingError
from controller.platforms.knative import KnativePlatform
from controller.platforms.knative_reading import answering_container
from controller.platforms.place import Place
from controller.reconcilers.conditions import Aspect
from controller.reconcilers.sweep_before import Before
from controller.reconcilers.sweep_fence import STARTS_S, TURN_S, SweepFence
from controller.reconcilers.sweep_scale import SweepScale
from controller.reconcilers.sweep_servers import Servers
from controller.reconcilers.world import service_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.platforms.owned import Owner
    from controller.platforms.watched import PodSeen
    from controller.reconcilers.world import World
    from controller.sweeps.parameters import Setting

CONFIRMS_S = 150.0
"""How long a pod may take to confirm hot settings. A server that nobody tuned asks every 30 s only, and one that was
there before the link's certificate gets it when the kubelet looks at ConfigMaps next, within two minutes."""
HEARS_S = 10.0
"""How long the end of a sweep waits for servers to take their own settings again."""
SETTLES_S = 60.0
"""How long a trial waits for what the one before it left."""


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
        self._place = place = Place(world.cluster, world.facts, self.seen, namespace, self.key[1], owner)
        self._fence = SweepFence(place, self.look)
        self.platform = KnativePlatform(place, self._servers.outbox, started_at_s=wall())
        self._scale = SweepScale(self.platform, settings)
        self._loaded: tuple[float, str] | None = None
        """When the last load ended, on the loop's clock, and on which revision."""
        self._measured_on = ""

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
            fence = await self._fence.look_before()
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
        self._scale.resume()
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
                await self._fence.write(config.container_concurrency)
            # So many pods and no others, whatever the autoscaler still has in mind of the trial before.
            await self._scale.lay(replace(config, min_scale=floor, max_scale=floor))
            await self._settle(config, floor)
            await self._scale.lay(replace(config, min_scale=floor))
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
        if self._scale.laid is not None and self._scale.laid.min_scale != config.min_scale:
            await self._scale.lay(config)

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
        return self._scale.why_not_in_force() or self._servers.why_refused(self._ready_pods(), self._config(setting))

    async def release(self, before: Before) -> None:
        """Put the service back to what it had, and let it go.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        if await self._is_there():
            self.look()
            await self.resume()
            if self._has("slow"):
                await self._fence.give_back(before.container_concurrency)
            with contextlib.suppress(MissingError):  # a revision that was replaced meanwhile
                await self.platform.release()
            if self._has("hot"):
                await self._release_hot(before)
            if self._has("slow"):
                await self._fence.clean_up()
        self.leave()

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
        if await self._place.find() is None:
            return False
        if self.seen.service is None or not self.seen.revisions:
            raise TemporaryError(f"{self.name}: is not seen yet")
        return bool(self.seen.service["status"].get("latestReadyRevisionName"))

    def _config(self, setting: Setting) -> ServingConfig:
        """Return the whole setting of a trial: what is not varied is as the service's own documents say.

        Raises:
            TrialError: the two do not go together.
        """
        base = self.platform.documented()
        try:
            return ServingConfig.from_document({**base.to_document(), **setting}, where=self.name)
        except BadInputError as error:
            raise TrialError(str(error)) from error

    def _has(self, price: str) -> bool:
        return any(PRICE_OF_CHANGE[name] == price for name in self._settings)

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
        return self._loaded[0] + min(SETTLES_S, self.platform.present().stable_window_s(autoscaler) + autoscaler.tick_s)

    def _ready_pods(self) -> list[PodSeen]:
        newest = self.platform.revision["metadata"]["name"]
        return [pod for pod in self.seen.serving_pods() if pod.revision == newest and pod.ready_s is not None]
