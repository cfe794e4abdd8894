"""One Sweep at work: `Campaign.run` measures trial after trial, and leaves its targets as they were.

All that it knows is in the cluster: trials are SweepTrials, and what has to be put back is an annotation of the Sweep.
So an operator that was killed, or an API server that was away, costs no more than the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from controller.errors import BadInputError, TidegateError
from controller.platforms.cluster_client import MissingError
from controller.platforms.owned import Owner
from controller.reconcilers.conditions import Aspect, timestamp
from controller.reconcilers.own_resource import PATH
from controller.reconcilers.resources import API_VERSION, FINALIZER
from controller.reconcilers.sweep_before import before_text, read_before
from controller.reconcilers.sweep_plan import SWEEP_LABEL, Ended, last_word, next_step, trial_document
from controller.reconcilers.sweep_status import ended_status
from controller.reconcilers.sweep_target import SweepTarget
from controller.reconcilers.sweep_teller import SweepTeller
from controller.reconcilers.sweep_trial import TrialParts, TrialRun, delete_job, write_trial
from controller.reconcilers.troubles import Troubles
from controller.reconcilers.world import service_of
from controller.sweeps.from_cluster import arrivals_hash, is_ended, sweep_of, target_references
from controller.sweeps.runner import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.reconcilers.events import Reason
    from controller.reconcilers.world import Name, World
    from controller.sweeps.sweep_document import Sweep

BEFORE = "tidegate.dev/before"
"""Annotation of a Sweep: what its targets had before, so that whoever comes after us can put it back."""
ARRIVALS = "tidegate.dev/arrivals"
"""Annotation of a Sweep: a hash of the arrivals that it began with, which no rule of the API server can compare."""
AGAIN_S = 5.0
TUNER_TURN_S = 2.0
"""A tuning that is in the middle of a turn has ended it after so long."""
TERMINAL = ("Complete", "Failed", "Cancelled")
_EVENTS: dict[str, Reason] = {"Complete": "SweepComplete", "Failed": "SweepFailed", "Cancelled": "SweepCancelled"}
Lanes = dict["asyncio.Task[None]", tuple[SweepTarget, dict[str, Any]]]
"""A task for each trial that runs, with its target and its document."""

_log = logging.getLogger(__name__)


class Campaign:
    """Runs one Sweep.

    Args:
        name: namespace and name of the Sweep.
        document: as it is now.
        world: of the operator.
        image: of the load generator; empty where the operator was given none.
        wall: the wall clock.
    """

    def __init__(
        self, name: Name, document: dict[str, Any], world: World, image: str, wall: Callable[[], float]
    ) -> None:
        self._name, self._document, self._world, self._image, self._wall = name, document, world, image, wall
        self._owner = Owner(API_VERSION, "Sweep", name[1], document["metadata"]["uid"])
        self._teller = SweepTeller(name, document, world, wall)
        self._annotations: dict[str, str] = dict(document["metadata"].get("annotations") or {})
        self._targets: list[SweepTarget] = []
        self._trials: dict[int, dict[str, Any]] = {}
        self._changed = asyncio.Event()
        self._troubles = Troubles("sweep", name)

    def take(self, document: dict[str, Any]) -> None:
        """Take note of the Sweep as it is now."""
        self._document = self._teller.document = document
        self._changed.set()

    def hold_at_once(self) -> None:
        """Keep tunings away from the first moment of a Sweep that was running when an operator ended."""
        if self._teller.phase == "Running":
            for reference in target_references(self._document):
                self._world.held.setdefault((self._name[0], service_of(reference)), self._name[1])

    async def run(self) -> None:
        """Take turns until cancelled."""
        try:
            while True:
                self._changed.clear()
                rest_s: float | None = AGAIN_S
                try:
                    rest_s = await self._turn()
                except Exception as error:  # noqa: BLE001  the outermost loop; a defect must not leave targets changed
                    await self._fail(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(rest_s):
                        await self._changed.wait()
        finally:
            for target in self._targets:
                target.leave()

    async def _turn(self) -> float | None:
        """See what is wanted and what is there, and act; returns how long to rest, None until something changes."""
        if self._document["metadata"].get("deletionTimestamp"):
            await self._break_off("the Sweep was deleted")
            await self._let_go()
            return None
        if self._teller.phase in TERMINAL:
            if BEFORE in self._annotations:  # the operator ended between the last word and the last act
                await self._restore()
                await self._let_go()
            return None
        ended = last_word(self._document, self._annotations.get(ARRIVALS))
        if ended is None:
            if (hindrance := self._hindrance()) is not None:
                await self._teller.write(self._teller.phase or "Pending", [hindrance])
                return AGAIN_S
            await self._begin()
            ended = await self._measure()
        if ended is None:
            return 0.0  # the document is another one now: look again at once
        await self._break_off("cancelled" if ended.phase == "Cancelled" else f"the Sweep has ended: {ended.message}")
        await self._finish(ended)
        return None

    def _hindrance(self) -> Aspect | None:
        """Return why nothing can be measured now, where that is so."""
        if not self._image:
            why = "the operator has no image of the load generator; set TIDEGATE_LOADTEST_IMAGE"
            return Aspect("Ready", "False", "NoLoadtestImage", why)
        settings = frozenset(each.setting for each in sweep_of(self._document).parameters)
        self._make_targets(settings)
        has_begun = BEFORE in self._annotations
        return next((found for each in self._targets if (found := each.hindrance(has_begun=has_begun))), None)

    def _make_targets(self, settings: frozenset[str]) -> None:
        if self._targets:
            return
        for reference in target_references(self._document):
            target = SweepTarget(
                reference, self._owner, self._name[0], settings=settings, world=self._world, wall=self._wall
            )
            self._targets.append(target)

    async def _begin(self) -> None:
        """Take the targets, and write down what has to be put back, before anything is changed."""
        for target in self._targets:
            target.hold()
        if BEFORE in self._annotations:
            return
        keys = {target.key for target in self._targets}
        if any((name[0], service_of(each["spec"]["targetRef"])) in keys for name, each in self._world.tunings.items()):
            await asyncio.sleep(TUNER_TURN_S)
        settings = {each.setting for each in sweep_of(self._document).parameters}
        targets = {target.key[1]: await target.look_before() for target in self._targets}
        annotations = {ARRIVALS: arrivals_hash(self._document), BEFORE: before_text(settings, targets)}
        finalizers = self._document["metadata"].get("finalizers") or []
        await self._patch({"annotations": annotations, "finalizers": [*finalizers, *({FINALIZER} - set(finalizers))]})
        self._annotations |= annotations
        await self._teller.event("SweepStarted", f"measures {', '.join(target.name for target in self._targets)}")

    async def _measure(self) -> Ended | None:
        """Run trials until there are no more; returns how the sweep ends.

        Returns:
            None when its document has changed in a way that a turn has to look at.
        """
        await self._read_trials()
        for target in self._targets:
            await target.resume()
        lanes: Lanes = {}
        try:
            while True:
                self._changed.clear()
                document = self._document
                is_deleted = document["metadata"].get("deletionTimestamp")
                if is_deleted or last_word(document, self._annotations.get(ARRIVALS)) is not None:
                    return None
                sweep = sweep_of(document)
                ended = await self._fill(sweep, lanes)
                await self._teller.tell(sweep, self._in_order())
                if ended is not None and (not lanes or ended.phase == "Failed"):
                    return ended
                await self._wait(lanes)
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)

    async def _fill(self, sweep: Sweep, lanes: Lanes) -> Ended | None:
        """Give every free target a trial; returns how the sweep ends when there are no more."""
        parts = TrialParts(self._world.cluster, sweep, self._image, self._wall)
        ended: Ended | None = None
        for target in self._targets:
            if any(busy is target for busy, _ in lanes.values()):
                continue
            trial = self._unfinished(target)
            if trial is None:
                # Optuna takes some milliseconds, and half a second at its first word; heartbeats do not wait for it.
                step = await asyncio.to_thread(next_step, sweep, self._in_order())
                if isinstance(step, Ended):
                    ended = step
                    continue
                number = next(each for each in range(len(self._trials) + 1) if each not in self._trials)
                document = trial_document(sweep, number, step, target=target.reference, owner=self._owner)
                trial = await self._world.cluster.create(f"{PATH}/{self._name[0]}/sweeptrials", document)
                self._trials[number] = trial
            run = TrialRun(trial, target, parts)
            lanes[asyncio.create_task(run.run(), name=f"trial {trial['metadata']['name']}")] = (target, trial)
        return ended

    def _unfinished(self, target: SweepTarget) -> dict[str, Any] | None:
        ours = (each for each in self._in_order() if each["spec"]["targetRef"] == target.reference)
        return next((each for each in ours if not is_ended(each)), None)

    def _in_order(self) -> list[dict[str, Any]]:
        return [trial for _, trial in sorted(self._trials.items())]

    async def _wait(self, lanes: Lanes) -> None:
        """Return when a trial has ended, or the document is another one.

        Raises:
            TidegateError: a trial could not go on, for a reason outside it.
        """
        changed = asyncio.create_task(self._changed.wait())
        try:
            done, _ = await asyncio.wait({*lanes, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        for lane in [each for each in lanes if each in done]:
            _, trial = lanes.pop(lane)
            lane.result()
            status = trial["status"]
            if status["phase"] != "Complete":
                message = f"{trial['metadata']['name']} {status['phase'].lower()}: {status.get('why', '')}"
                await self._teller.event("TrialFailed", message, is_warning=True)

    async def _read_trials(self) -> None:
        found = await self._world.cluster.list(
            f"{PATH}/{self._name[0]}/sweeptrials", labels=f"{SWEEP_LABEL}={self._name[1]}"
        )
        self._trials = {int(each["spec"]["number"]): each for each in found if self._is_ours(each)}

    def _is_ours(self, trial: dict[str, Any]) -> bool:
        """Return whether a trial is of this Sweep and not of an earlier one of its name."""
        return not trial["metadata"].get("deletionTimestamp") and self._owner.owns(trial)

    async def _break_off(self, why: str) -> None:
        """End what runs, so that no Job sends on and no trial stays in between, and put the targets back."""
        await self._read_trials()
        for trial in self._in_order():
            if is_ended(trial):
                continue
            await delete_job(self._world.cluster, trial)
            status = ended_status(trial.get("status") or {}, Outcome("Failed", why), timestamp(self._wall()))
            with contextlib.suppress(MissingError):
                await write_trial(self._world.cluster, trial, status)
        await self._restore()

    async def _restore(self) -> None:
        """Put the targets back to what they had."""
        if BEFORE not in self._annotations:
            return
        settings, before = read_before(self._annotations[BEFORE])
        self._make_targets(settings)
        for target in self._targets:
            if target.key[1] in before:
                await target.release(before[target.key[1]])

    async def _finish(self, ended: Ended) -> None:
        """Say how the sweep ended, and let it go."""
        holds = "True" if ended.phase == "Complete" else "False"
        if ended.reason != "InvalidSpec":
            with contextlib.suppress(BadInputError):
                self._teller.count(sweep_of(self._document), self._in_order())
        aspects = [Aspect(kind, holds, ended.reason, ended.message) for kind in ("Ready", "Complete")]
        await self._teller.write(ended.phase, aspects)
        _log.info("sweep_ended sweep=%s/%s reason=%s why=%s", *self._name, ended.reason, ended.message)
        await self._teller.event(_EVENTS[ended.phase], ended.message, is_warning=ended.phase == "Failed")
        await self._let_go()

    async def _let_go(self) -> None:
        """Take our marks off the Sweep: nothing has to be put back any more."""
        for target in self._targets:
            target.leave()
        finalizers = self._document["metadata"].get("finalizers") or []
        if BEFORE in self._annotations or FINALIZER in finalizers:
            kept = [each for each in finalizers if each != FINALIZER]
            with contextlib.suppress(MissingError):
                await self._patch({"annotations": {BEFORE: None}, "finalizers": kept})
            self._annotations.pop(BEFORE, None)

    async def _fail(self, error: Exception) -> None:
        """Say what failed; it is tried again."""
        aspect, phase = self._troubles.aspect(error), self._teller.phase or "Pending"
        if phase not in TERMINAL:
            with contextlib.suppress(TidegateError):
                await self._teller.write(phase, [aspect])

    async def _patch(self, metadata: dict[str, Any]) -> None:
        await self._world.cluster.patch(self._teller.resource.path, {"metadata": metadata})
