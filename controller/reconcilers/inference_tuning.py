"""One InferenceTuning at work: `Tuner.run` looks at its spec and its service again and again, and acts on what it sees.

Level-triggered: each turn compares what is wanted with what is there, so nothing is lost when a word of a watch is. The
decisions are those of `controller.control_loop`, what is told goes out by `Teller`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from controller.errors import TemporaryError, TidegateError
from controller.platforms.cluster_client import MissingError
from controller.reconcilers.conditions import Aspect
from controller.reconcilers.loop_settings import inside
from controller.reconcilers.resources import FINALIZER, RELEASE, InferenceTuningSpec
from controller.reconcilers.schema import read
from controller.reconcilers.troubles import Troubles
from controller.reconcilers.tuned_service import TunedService
from controller.reconcilers.tuning_status import KNOB_NAMES, changes_text
from controller.reconcilers.tuning_teller import Teller
from controller.reconcilers.world import service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.reconcilers.events import Reason
    from controller.reconcilers.world import Name, World

TURN_S = 1.0
LEAST_RESIZE = 0.1
"""Cores; a smaller change of a pod's size is not worth a call for each pod."""
REST_S = 5.0
"""Between two turns while the service is at zero and silent; what a watch tells ends the rest at once."""
IDLE_S = 30.0
"""The same while there is nothing to tune, which only a watch can change."""
IDLE_REASONS = frozenset({"Suspended", "TargetMissing"})

_log = logging.getLogger(__name__)


def _asked(document: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what somebody else can have changed of a tuning."""
    metadata = document["metadata"]
    names = ("generation", "annotations", "finalizers", "deletionTimestamp")
    return tuple(str(metadata.get(name)) for name in names)


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
        self._service = TunedService(document, world)
        self._teller = Teller(name, document, world)
        self._is_finalized = False
        self._troubles = Troubles("tuning", name)

    def take(self, document: dict[str, Any]) -> None:
        """Take note of the tuning as it is now."""
        before, self._document = self._document, document
        self._teller.document = document
        # Our own words in the status come back by the watch, too, and are nothing new.
        if _asked(before) != _asked(document):
            self._service.seen.changed.set()

    async def run(self) -> None:
        """Take turns until cancelled."""
        clock = asyncio.get_running_loop().time
        try:
            while True:
                began_s, turn_s = clock(), TURN_S
                try:
                    turn_s = await self._turn()
                except Exception as error:  # noqa: BLE001  the outermost loop; a defect must not end a tuning
                    await self._fail(error)
                await self._rest(turn_s - (clock() - began_s))
        finally:
            self._service.close()
            self._leave_desk()
            self._world.metrics.objective_met.pop(self._name, None)
            with contextlib.suppress(TidegateError, TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._service.save()

    async def _turn(self) -> float:
        """See what is wanted and what is there, and act; returns the seconds from its begin to the next turn."""
        document, service = self._document, self._service
        is_ours = FINALIZER in (document["metadata"].get("finalizers") or [])
        if document["metadata"].get("deletionTimestamp"):
            if is_ours:
                await self._release()
            return TURN_S
        if (document["metadata"].get("annotations") or {}).get(RELEASE) and document["spec"].get("suspend"):
            if is_ours:
                await self._release()
            words = f"spec.suspend is true and {RELEASE} is set; the service has its own settings"
            await self._teller.write({}, [Aspect("Ready", "False", "Released", words)])
            return IDLE_S
        spec = read(InferenceTuningSpec, document["spec"], f"InferenceTuning {self._name[1]}: spec")
        if (hindrance := self._hindrance(spec)) is not None:
            self._leave_desk()
            self._world.metrics.objective_met.pop(self._name, None)
            if hindrance.reason == "SweepRuns":
                # It puts back what it changes; what differs then is no drift, and ours is laid over again.
                service.platform.overlay.forget_written()
            await self._teller.write({}, [hindrance])
            return IDLE_S if hindrance.reason in IDLE_REASONS else self._calm_s()
        await service.restore()
        try:
            await self._tune(document, spec)
        finally:  # what failed later must not make us forget what was done before
            await service.save()
        return self._calm_s()

    def _calm_s(self) -> float:
        return REST_S if self._service.is_asleep() else TURN_S

    async def _tune(self, document: dict[str, Any], spec: InferenceTuningSpec) -> None:
        """Let the loop decide, keep what is wanted in force, and tell."""
        service = self._service
        held = set(service.platform.overlay.held)
        self._world.desks[service.key] = service.desk
        await self._world.bundle.publish(self._name[0])
        loop = await service.follow(document, spec)
        if spec.mode == "Apply":
            await self._ensure_finalizer()
        await loop.step(service.now())
        service.cpu.observe(service.merge, service.now())
        if spec.mode == "Apply":
            await self._keep_bounds()
            await self._size(spec)
            await self._keep_overlay(held)
        await self._roll()
        service.latency.observe(service.merge, service.now())
        await self._teller.tell(spec, service)

    async def _keep_bounds(self) -> None:
        """Bring settings that are outside the spec's bounds inside: a user who bounds one waits for no search."""
        platform, settings = self._service.platform, self._service.settings
        if settings is None:
            return
        present = platform.present()
        own_window_s = platform.autoscaler.window_s
        wanted = inside(present, settings.bounds, held=platform.overlay.held, own_window_s=own_window_s)
        if wanted == present:
            return
        applied = await platform.apply(wanted)
        if applied.changes:
            self._service.changes += 1
            self._world.metrics.changes[str(applied.price)] += 1
            words = ", ".join(f"{name} {each}" for name, each in changes_text(applied.changes).items())
            reason: Reason = "RolloutStarted" if applied.price == "slow" else "SettingApplied"
            await self._teller.event(reason, f"{applied.price}: {words}; spec.bounds asks for it")

    async def _size(self, spec: InferenceTuningSpec) -> None:
        """Give pods the cores that the traffic needs, where the spec allows it."""
        service, sizes = self._service, self._service.platform.sizes
        wanted = service.size_wanted(spec)
        present = sizes.cpu if sizes.cpu is not None else service.platform.own_cpu()
        if wanted is None or sizes.refused or (present is not None and abs(wanted - present) < LEAST_RESIZE):
            return
        if service.platform.try_resize(wanted):
            words = "none" if present is None else f"{present:g}"
            self._world.metrics.changes["warm"] += 1
            service.changes += 1
            await self._teller.event("SettingApplied", f"warm: cpu {words} → {wanted:g}")

    async def _roll(self) -> None:
        """Take the next step of a slow change that is on its way, whatever the mode is now."""
        service = self._service
        roller, settings = service.platform.roller, service.settings
        if roller.rollout is None or settings is None:
            return
        before = roller.rollout
        ended = await roller.turn(service.measured, quantile=settings.slo.quantile, now_s=service.now())
        after = roller.rollout if ended is None else ended[1]
        fence = "none" if before.fence_before is None else before.fence_before
        words = f"containerConcurrency {fence} → {before.fence}"
        if after.stage == "undoing" and before.stage != "undoing":
            service.platform.overlay.held["container_concurrency"] = f"rolled back, {after.why}"
            await self._teller.event("RolledBack", f"{words}: {after.why}", is_warning=True)
        if ended is not None and ended[0] == "finished":
            await self._teller.event("RolloutFinished", f"{words} on {ended[1].to_revision}")

    async def _keep_overlay(self, before: set[str]) -> None:
        """Lay our settings over new Revisions and pods, and tell of what others took since the turn began."""
        platform = self._service.platform
        await platform.enforce()
        for knob in sorted(set(platform.overlay.held) - before):
            name, why = KNOB_NAMES.get(knob, knob), platform.overlay.held[knob]
            message = f"{name} is left alone: {why}; change the InferenceTuning to take it again"
            await self._teller.event("DriftNoticed", message, is_warning=True)

    def _hindrance(self, spec: InferenceTuningSpec) -> Aspect | None:
        """Return why nothing is done, where that is so."""
        if spec.suspend:
            return Aspect("Ready", "False", "Suspended", "spec.suspend is true; everything is left as it is")
        if (sweep := self._world.held.get(self._service.key)) is not None:
            words = f"Sweep {sweep} measures the service; tuning waits for its end"
            return Aspect("Ready", "False", "SweepRuns", words)
        older = self._older_tuning()
        if older is not None:
            return Aspect("Conflict", "True", "OlderTuning", f"InferenceTuning {older} has this target; delete one")
        if self._service.seen.service is None:
            target = spec.target_ref
            return Aspect("Ready", "False", "TargetMissing", f"there is no {target.kind} {target.name}; create it")
        if not self._service.is_ready():
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
            and service_of(each["spec"]["targetRef"]) == self._service.key[1]
            and not each["metadata"].get("deletionTimestamp")
            and age(each) < age(self._document)
        ]
        return min(rivals, key=age)["metadata"]["name"] if rivals else None

    async def _release(self) -> None:
        """Put the service back to what its own documents say, and let the tuning go.

        Raises:
            TidegateError: the cluster does not take it; it is tried again.
        """
        service = self._service
        await service.restore()
        self._world.desks[service.key] = service.desk
        if service.is_ready():
            before = service.platform.present()
            await service.release(self._document)
            if before != service.platform.present():
                await self._teller.event("SettingRestored", "the service has its own settings again")
        elif not await service.is_gone():
            raise TemporaryError(f"service {service.key[1]}: is not seen yet; it is put back when it is")
        self._leave_desk()
        await service.forget()
        finalizers = [each for each in self._document["metadata"].get("finalizers") or [] if each != FINALIZER]
        await self._patch_finalizers(finalizers)
        self._is_finalized = False

    async def _patch_finalizers(self, finalizers: list[str]) -> None:
        """Replace the list, unless somebody has changed the object meanwhile: then it is done at the next turn."""
        version = self._document["metadata"].get("resourceVersion")
        change = {"finalizers": finalizers} | ({"resourceVersion": version} if version else {})
        with contextlib.suppress(MissingError):
            await self._world.cluster.patch(self._teller.resource.path, {"metadata": change})

    async def _ensure_finalizer(self) -> None:
        """Make sure that we hear of the end before it comes: then what we changed is put back."""
        finalizers = self._document["metadata"].get("finalizers") or []
        if FINALIZER not in finalizers and not self._is_finalized:
            await self._patch_finalizers([*finalizers, FINALIZER])
        self._is_finalized = True

    async def _fail(self, error: Exception) -> None:
        """Say what failed, in the status and once in the log; it is tried again at the next turn."""
        with contextlib.suppress(TidegateError):
            await self._teller.write({}, [self._troubles.aspect(error)])

    def _leave_desk(self) -> None:
        if self._world.desks.get(self._service.key) is self._service.desk:
            del self._world.desks[self._service.key]

    async def _rest(self, rest_s: float) -> None:
        """Wait for the next turn, or for what a watch tells."""
        changed = self._service.seen.changed
        try:
            async with asyncio.timeout(max(0.05, rest_s)):
                await changed.wait()
            changed.clear()
            await asyncio.sleep(0.05)  # what belongs together comes together
        except TimeoutError:
            return
