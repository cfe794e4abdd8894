"""All InferenceTunings: a task each, begun when the watch tells of one and ended when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from controller.reconcilers.inference_tuning import Tuner

if TYPE_CHECKING:
    from controller.reconcilers.world import Name, World

_log = logging.getLogger(__name__)


class Tunings:
    """Starts and ends tuners.

    Args:
        world: of the operator.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._tuners: dict[Name, tuple[str, Tuner, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._tuners)

    async def take(self, document: dict[str, Any], *, is_gone: bool) -> None:
        """Take note of a tuning as it is now."""
        metadata = document["metadata"]
        name: Name = (metadata["namespace"], metadata["name"])
        known = self._tuners.get(name)
        if is_gone or (known is not None and known[0] != metadata["uid"]):
            self._world.tunings.pop(name, None)
            await self._end(name)
        if is_gone:
            self._wake_all()  # a younger tuning of the same target may act now
            return
        self._world.tunings[name] = document
        if name in self._tuners:
            self._tuners[name][1].take(document)
            return
        tuner = Tuner(name, document, self._world)
        task = asyncio.create_task(tuner.run(), name=f"tuning {name[0]}/{name[1]}")
        task.add_done_callback(_log_end)
        self._tuners[name] = (metadata["uid"], tuner, task)

    async def aclose(self) -> None:
        """End all tuners; services go on with what they have."""
        for name in list(self._tuners):
            await self._end(name)

    async def _end(self, name: Name) -> None:
        known = self._tuners.pop(name, None)
        self._world.metrics.objective_met.pop(name, None)
        if known is not None:
            known[2].cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):  # told already by `_log_end`
                await known[2]

    def _wake_all(self) -> None:
        for name, (_, tuner, _) in self._tuners.items():
            tuner.take(self._world.tunings[name])


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("tuner_died name=%s why=%r", task.get_name(), task.exception(), exc_info=task.exception())
