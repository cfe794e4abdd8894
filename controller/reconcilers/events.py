"""Events on our resources: few, with stable reasons, so that people may filter by them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Literal

from controller.errors import TemporaryError
from controller.reconcilers.conditions import timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.platforms.cluster_client import Cluster

Reason = Literal[
    "Recommended",
    "SettingApplied",
    "SettingRestored",
    "DriftNoticed",
    "RolledBack",
    "RolloutStarted",
    "RolloutFinished",
    "SweepStarted",
    "TrialFailed",
    "SweepComplete",
    "SweepFailed",
    "SweepCancelled",
]
_log = logging.getLogger(__name__)


class Events:
    """Posts events; one that cannot be posted is logged and forgotten, for an event is no state."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def post(self, about: Mapping[str, Any], reason: Reason, message: str, *, is_warning: bool = False) -> None:
        """Post an event about an object.

        Args:
            about: the object.
            reason: stable.
            message: in words.
            is_warning: whether somebody should look.
        """
        metadata, now = about["metadata"], timestamp(time.time())
        document = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": "Warning" if is_warning else "Normal",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": "tidegate"},
            "reportingComponent": "tidegate",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._cluster.create(f"/api/v1/namespaces/{metadata['namespace']}/events", document)
        except TemporaryError as error:
            _log.warning("event_lost reason=%s why=%s", reason, error)
