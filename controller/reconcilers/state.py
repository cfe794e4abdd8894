"""The state of one tuning in a ConfigMap of its own: read once, written on news and now and then.

What it holds is what a restarted operator cannot see elsewhere: the profile, the law, the margin, the overlay and the
generation of hot settings. Raw bins come again from the servers.
"""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING, Any, cast

from controller.errors import TemporaryError
from controller.platforms.cluster_client import MissingError
from controller.platforms.owned import OwnMap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controller.platforms.cluster_client import Cluster
    from controller.platforms.owned import Owner

LARGEST_BYTES = 32 * 1024
EVERY_S = 30.0

_log = logging.getLogger(__name__)


class StateMap:
    """One ConfigMap `tidegate-state-TUNING`."""

    def __init__(self, cluster: Cluster, namespace: str, owner: Owner) -> None:
        self._owner = owner
        self._map = OwnMap(cluster, namespace, f"tidegate-state-{owner.name}", "state.json")
        self._written = ""
        self._written_at_s = -math.inf

    async def read(self) -> dict[str, Any]:
        """Return the state; empty where there is none, or none that can be read.

        Raises:
            TemporaryError: the cluster does not answer: going on with an empty state would lose the real one.
        """
        try:
            found = await self._map.read()
        except MissingError:
            return {}
        if not self._owner.owns(found):
            return {}  # of a tuning of the same name that is gone; the cluster has not cleared it away yet
        self._written = self._map.text_of(found)
        try:
            document = json.loads(self._written)
        except (ValueError, RecursionError) as error:
            _log.warning("state_unreadable name=%s why=%s", self._map.name, error)
            return {}
        return cast("dict[str, Any]", document) if isinstance(document, dict) else {}

    async def remove(self) -> None:
        """Delete the state.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        await self._map.delete()
        self._written = ""

    async def save(self, document: Callable[[], Mapping[str, object]], now_s: float, *, is_news: bool) -> None:
        """Write the state if there is news, or if it has changed and the last one is half a minute old.

        Raises:
            TemporaryError: too large, or the cluster does not take it.
        """
        if not is_news and now_s - self._written_at_s < EVERY_S:
            return
        text = json.dumps(document(), separators=(",", ":"))
        self._written_at_s = now_s
        if text == self._written:
            return
        if len(text) > LARGEST_BYTES:
            raise TemporaryError(f"{self._map.name}: state of {len(text)} bytes is above {LARGEST_BYTES}")
        self._written_at_s = -math.inf  # until it is written, it is due
        await self._map.write(text, [self._owner.reference()])
        self._written, self._written_at_s = text, now_s
