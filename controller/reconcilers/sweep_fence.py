"""The slow setting of a target of a Sweep: containerConcurrency, by a revision of the trial's own."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from controller.errors import TrialError
from controller.platforms.cluster_client import MissingError
from controller.platforms.knative_reading import annotations_of
from controller.platforms.place import SERVING, referred_revisions
from controller.platforms.template import Template, give_back, has_arrived, why_refused, write_slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.platforms.place import Place

TURN_S = 0.5
STARTS_S = 120.0
"""How long a new revision, or pods, may take to be ready."""
ARRIVES_S = 60.0
"""How long the end of a sweep waits for the revision that the service had before; it comes by itself, too."""
MADE_BY = "tidegate.dev/sweep"
"""Annotation of a Revision that a trial made: the name of the Sweep."""


class SweepFence:
    """The fence of one target.

    Args:
        place: of the target's service; its owner is the Sweep.
        look: keeps hold of the service; called while something is waited for.
    """

    def __init__(self, place: Place, look: Callable[[], None]) -> None:
        self._place, self._look = place, look

    async def look_before(self) -> int | None:
        """Return what the object says; None where it says nothing.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        template = Template.of(self._place.document)
        return template.read(await self._place.cluster.get(template.path))

    async def write(self, fence: int) -> None:
        """Return when the newest revision has this fence and serves.

        Raises:
            TrialError: it does not come up.
            TemporaryError: the cluster does not take it.
        """
        if has_arrived(self._place.seen, fence):
            return
        newest = self._newest()
        await write_slow(self._place.cluster, Template.of(self._place.document), fence)
        try:
            await self._until_new(fence)
        finally:
            if self._newest() not in ("", newest):
                with contextlib.suppress(MissingError):
                    await self._place.cluster.patch(
                        self._revision(self._newest()),
                        {"metadata": {"annotations": {MADE_BY: self._place.owner.name}}},
                    )

    async def give_back(self, before: int | None) -> None:
        """Put back what the object said, and wait a while for a revision of it.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        await give_back(self._place.cluster, Template.of(self._place.document), before)
        clock = asyncio.get_running_loop().time
        until_s = clock() + ARRIVES_S
        while not has_arrived(self._place.seen, before or 0) and clock() < until_s:  # noqa: ASYNC110  seen by a watch
            await asyncio.sleep(TURN_S)

    async def clean_up(self) -> None:
        """Delete the revisions that trials made, but those that the service refers to.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        kept = referred_revisions(self._place.document)
        for name, revision in list(self._place.seen.revisions.items()):
            if name not in kept and annotations_of(revision).get(MADE_BY) == self._place.owner.name:
                await self._place.cluster.delete(self._revision(name))

    async def _until_new(self, fence: int) -> None:
        clock = asyncio.get_running_loop().time
        until_s = clock() + STARTS_S
        while not has_arrived(self._place.seen, fence):
            self._look()
            if (why := why_refused(self._place.seen)) and self._carries(fence):
                raise TrialError(f"the new revision does not come up: {why}")
            if clock() > until_s:
                raise TrialError(f"the new revision was not ready within {STARTS_S:.0f} s")
            await asyncio.sleep(TURN_S)

    def _newest(self) -> str:
        return str(self._place.document["status"].get("latestCreatedRevisionName") or "")

    def _carries(self, fence: int) -> bool:
        """Return whether the service as it is seen has this fence already: what it says is of the new revision then."""
        template: dict[str, Any] = (self._place.document["spec"].get("template") or {}).get("spec") or {}
        return int(template.get("containerConcurrency") or 0) == fence

    def _revision(self, name: str) -> str:
        return f"{SERVING}/{self._place.namespace}/revisions/{name}"
