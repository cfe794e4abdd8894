"""Carries a rollout out on a Knative Service or its InferenceService, and removes the revisions that it left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.platforms.place import SERVING, referred_revisions
from controller.platforms.rollout import Ending, Rollout, Sight, advance, traffic_of
from controller.platforms.template import Template, give_back, has_arrived, why_refused, write_slow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controller.platforms.cluster_client import Cluster
    from controller.platforms.watched import ServiceSeen

ALL_TO_NEWEST = [{"latestRevision": True, "percent": 100}]


class Roller:
    """The rollouts of one service, one at a time.

    Args:
        cluster: for calls.
        seen: what watches tell of the service.
        namespace: of it.
    """

    def __init__(self, cluster: Cluster, seen: ServiceSeen, namespace: str) -> None:
        self._cluster, self._seen, self._namespace = cluster, seen, namespace
        self.rollout: Rollout | None = None
        self.made: list[str] = []
        """Revisions that rollouts made."""
        self.is_gradual = False
        """Whether the traffic is ours to shift; from the tuning's spec."""
        self.original: tuple[int | None] | None = None
        """What the object said before our first change; None while there was none."""
        self.fence: int | None = None
        """What we left in the object; None where it is not ours."""
        self._done: Rollout | None = None

    async def prepare(self, fence: int, *, share_before: float | None, now_s: float) -> None:
        """Plan a change of the fence; `begin` writes it, when the plan is remembered where a restart finds it.

        Args:
            fence: wanted.
            share_before: share of requests inside the objective so far; None where it is not known.
            now_s: now.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        service = self._seen.service or {}
        before = Template.of(service)
        fence_before = before.read(await self._cluster.get(before.path))
        if self.original is None:
            self.original = (fence_before,)
        self.rollout = Rollout(
            from_revision=str(service["status"].get("latestReadyRevisionName") or ""),
            fence=fence,
            fence_before=fence_before,
            share_before=share_before,
            began_s=now_s,
            step_s=now_s,
        )

    async def begin(self) -> None:
        """Write the change that was prepared.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        if self.rollout is not None:
            await self._write(self.rollout)

    async def turn(
        self, measured: Callable[[str], tuple[int, float | None]], *, quantile: float, now_s: float
    ) -> tuple[Ending, Rollout] | None:
        """Look at the rollout, do its next step, and return how it ended where it did.

        Args:
            measured: requests that a revision has answered, and the share of them inside the objective.
            quantile: of the objective.
            now_s: now.

        Raises:
            TemporaryError: the cluster does not take a step; it is taken again at the next turn.
        """
        rollout, service = self.rollout, self._seen.service
        if rollout is None or service is None:
            return None
        if self._done != rollout:  # a step that was decided and not carried out, for a call failed or we were restarted
            await self._write(rollout)
        newest = str(service["status"].get("latestCreatedRevisionName") or "")
        answered, share = measured(newest) if newest != rollout.from_revision else (0, None)
        wanted = rollout.fence if rollout.stage != "undoing" else rollout.fence_before or 0
        sight = Sight(
            now_s=now_s,
            newest=newest,
            is_serving=has_arrived(self._seen, wanted),
            refused=why_refused(self._seen) if newest != rollout.from_revision else "",
            answered=answered,
            share=share,
            share_old=measured(rollout.from_revision)[1],
        )
        after, ending = advance(rollout, sight, quantile=quantile, is_gradual=self.is_gradual)
        if newest != rollout.from_revision and newest not in self.made and self._fence_of(newest) == rollout.fence:
            self.made.append(newest)
        self.rollout = after
        if after != rollout:
            await self._write(after)
        if ending is None:
            return None
        await self._finish(after, ending, newest)
        return ending, after

    async def _write(self, rollout: Rollout) -> None:
        """Bring the object to what the stage of a rollout wants."""
        template = Template.of(self._seen.service or {})
        fence = rollout.fence if rollout.stage != "undoing" else rollout.fence_before or 0
        beside: dict[str, Any] = {}
        if self.is_gradual and template.kind == "Service":
            beside = {"traffic": traffic_of(rollout)}
        percent = rollout.percent if self.is_gradual and template.kind == "InferenceService" else None
        await write_slow(self._cluster, template, fence, beside, canary_percent=percent)
        self._done = rollout

    async def _finish(self, rollout: Rollout, ending: Ending, newest: str) -> None:
        """Give traffic back to the newest revision and remove what is left over of ours."""
        template = Template.of(self._seen.service or {})
        if ending == "rolled back":
            if newest != rollout.from_revision:
                self.made.append(newest)
            await self._give_traffic_back(template)
            await give_back(self._cluster, template, rollout.fence_before)
            self.fence = None
        else:
            self.fence = rollout.fence
        if ending == "finished" and self.is_gradual:
            beside = {"traffic": ALL_TO_NEWEST} if template.kind == "Service" else {}
            await write_slow(self._cluster, template, rollout.fence, beside)
        self.rollout = self._done = None
        await self._clean_up(newest)

    def taken_back(self) -> int | None:
        """Return what somebody else has made of the fence that we left, and let it be theirs; None: it is as it was."""
        service = self._seen.service
        if self.fence is None or self.rollout is not None or service is None:
            return None
        found = int((service["spec"].get("template") or {}).get("spec", {}).get("containerConcurrency") or 0)
        if found == self.fence:
            return None
        self.fence = self.original = None
        return found

    async def release(self) -> None:
        """Put back what the object said before our first change.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        if self.original is not None and self._seen.service is not None:
            template = Template.of(self._seen.service)
            await self._give_traffic_back(template)
            await give_back(self._cluster, template, self.original[0])
        self.rollout = self.fence = self.original = None

    async def _give_traffic_back(self, template: Template) -> None:
        """Let all traffic follow the newest revision, where it was ours: KServe would keep a share of 0 for ever."""
        if self.is_gradual:
            is_service = template.kind == "Service"
            change = {"traffic": ALL_TO_NEWEST} if is_service else {"predictor": {"canaryTrafficPercent": None}}
            await self._cluster.patch(template.path, {"spec": change})

    def _fence_of(self, revision: str) -> int | None:
        found = self._seen.revisions.get(revision)
        return None if found is None else int(found["spec"].get("containerConcurrency") or 0)

    async def _clean_up(self, newest: str) -> None:
        """Delete revisions of ours that nothing refers to any more."""
        kept = {newest} | referred_revisions(self._seen.service or {})
        for name in [each for each in self.made if each not in kept]:
            await self._cluster.delete(f"{SERVING}/{self._namespace}/revisions/{name}")
            self.made.remove(name)

    def to_document(self) -> dict[str, Any]:
        """Return what a restarted operator needs, as JSON."""
        return {
            "rollout": None if self.rollout is None else self.rollout.to_document(),
            "made": self.made[-20:],
            "original": self.original,
            "fence": self.fence,
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Go on from what `to_document` returned."""
        rollout, made = document.get("rollout"), document.get("made")
        self.rollout = Rollout.from_document(rollout) if isinstance(rollout, dict) else None
        self.made = [str(each) for each in made] if isinstance(made, list) else []
        original, fence = document.get("original"), document.get("fence")
        self.original = (original[0],) if isinstance(original, list) and len(original) == 1 else None
        self.fence = fence if isinstance(fence, int) else None
