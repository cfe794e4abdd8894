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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controller.platforms.cluster_client import Cluster
    from controller.platforms.knative import Owner

LARGEST_BYTES = 32 * 1024
EVERY_S = 30.0
KEY = "state.json"

_log = logging.getLogger(__name__)


class StateMap:
    """One ConfigMap `tidegate-state-TUNING`."""

    def __init__(self, cluster: Cluster, namespace: str, owner: Owner) -> None:
        self._cluster, self._owner = cluster, owner
        self._name = f"tidegate-state-{owner.name}"
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{self._name}"
        self._written = ""
        self._written_at_s = -math.inf

    async def read(self) -> dict[str, Any]:
        """Return the state; empty where there is none, or none that can be read.

        Raises:
            TemporaryError: the cluster does not answer: going on with an empty state would lose the real one.
        """
        try:
            found = await self._cluster.get(self._path)
        except MissingError:
            return {}
        owners = [each.get("uid") for each in found["metadata"].get("ownerReferences") or []]
        if owners and self._owner.uid not in owners:
            return {}  # of a tuning of the same name that is gone; the cluster has not cleared it away yet
        self._written = (found.get("data") or {}).get(KEY, "")
        try:
            document = json.loads(self._written)
        except (ValueError, RecursionError) as error:
            _log.warning("state_unreadable name=%s why=%s", self._name, error)
            return {}
        return cast("dict[str, Any]", document) if isinstance(document, dict) else {}

    async def remove(self) -> None:
        """Delete the state.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        await self._cluster.delete(self._path)
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
            raise TemporaryError(f"{self._name}: state of {len(text)} bytes is above {LARGEST_BYTES}")
        self._written_at_s = -math.inf  # until it is written, it is due
        await self._cluster.apply(
            self._path,
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": self._name,
                    "labels": {"app.kubernetes.io/managed-by": "tidegate"},
                    "ownerReferences": [self._owner.reference()],
                },
                "data": {KEY: text},
            },
            force=True,
        )
        self._written, self._written_at_s = text, now_s
