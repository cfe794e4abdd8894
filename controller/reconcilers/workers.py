"""A task for each object of a kind: begun when the watch tells of one, ended when it is gone or another of its name."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.reconcilers.world import Name

_log = logging.getLogger(__name__)


class Worker(Protocol):
    """Does the work of one object."""

    def take(self, document: dict[str, Any]) -> None:
        """Take note of the object as it is now."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...


class Workers:
    """Starts and ends the workers of one kind.

    Args:
        what: a worker works on, for the log.
        make: returns the worker of a new object.
    """

    def __init__(self, what: str, make: Callable[[Name, dict[str, Any]], Worker]) -> None:
        self._what, self._make = what, make
        self._running: dict[Name, tuple[str, Worker, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def known(self) -> list[dict[str, Any]]:
        """Return every object that is worked on, as documents that are enough to tell of its end."""
        return [
            {"metadata": {"namespace": name[0], "name": name[1], "uid": uid}}
            for name, (uid, _, _) in self._running.items()
        ]

    async def take(self, document: dict[str, Any], *, is_gone: bool) -> None:
        """Take note of an object as it is now."""
        metadata = document["metadata"]
        name: Name = (metadata["namespace"], metadata["name"])
        known = self._running.get(name)
        if is_gone and known is not None and known[0] != metadata["uid"]:
            return  # another of its name has come
        if known is not None and (is_gone or known[0] != metadata["uid"]):
            await self._end(name)
            known = None
        if is_gone:
            return
        if known is not None:
            known[1].take(document)
            return
        worker = self._make(name, document)
        task = asyncio.create_task(worker.run(), name=f"{self._what} {name[0]}/{name[1]}")
        task.add_done_callback(_log_end)
        self._running[name] = (metadata["uid"], worker, task)

    async def aclose(self) -> None:
        """End all; what they worked on stays as it is."""
        for name in list(self._running):
            await self._end(name)

    async def _end(self, name: Name) -> None:
        _, _, task = self._running.pop(name)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):  # told already by `_log_end`
            await task


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("worker_died name=%s why=%r", task.get_name(), task.exception(), exc_info=task.exception())
