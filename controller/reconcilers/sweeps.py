"""All Sweeps: a task each, begun when the watch tells of one and ended when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

from controller.reconcilers.sweep import Campaign

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.reconcilers.world import Name, World

_log = logging.getLogger(__name__)


class Sweeps:
    """Starts and ends campaigns.

    Args:
        world: of the operator.
        image: of the load generator; empty for none.
        wall: the wall clock.
    """

    def __init__(self, world: World, image: str, wall: Callable[[], float] = time.time) -> None:
        self._world, self._image, self._wall = world, image, wall
        self._campaigns: dict[Name, tuple[str, Campaign, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._campaigns)

    async def take(self, document: dict[str, Any], *, is_gone: bool) -> None:
        """Take note of a Sweep as it is now."""
        metadata = document["metadata"]
        name: Name = (metadata["namespace"], metadata["name"])
        known = self._campaigns.get(name)
        if known is not None and (is_gone or known[0] != metadata["uid"]):
            await self._end(name)
            known = None
        if is_gone:
            return
        if known is not None:
            known[1].take(document)
            return
        campaign = Campaign(name, document, self._world, self._image, self._wall)
        campaign.hold_at_once()
        task = asyncio.create_task(campaign.run(), name=f"sweep {name[0]}/{name[1]}")
        task.add_done_callback(_log_end)
        self._campaigns[name] = (metadata["uid"], campaign, task)

    async def aclose(self) -> None:
        """End all campaigns; load Jobs run on, and whoever comes after us reads what they measured."""
        for name in list(self._campaigns):
            await self._end(name)

    async def _end(self, name: Name) -> None:
        _, _, task = self._campaigns.pop(name)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):  # told already by `_log_end`
            await task


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("campaign_died name=%s why=%r", task.get_name(), task.exception(), exc_info=task.exception())
