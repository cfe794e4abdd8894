"""One operator acts at a time: the holder of a Lease. A second replica waits until the first one is gone."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from controller.errors import TemporaryError
from controller.platforms.cluster_client import ClusterCallError, ConflictError, MissingError
from controller.platforms.watched import seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.platforms.cluster_client import Cluster

NAME = "tidegate-controller"
"""Of the operator's Lease."""
LASTS_S = 15
RENEW_S = 4.0

_log = logging.getLogger(__name__)


class LostLeaseError(TemporaryError):
    """Somebody else holds the Lease now, or it could not be renewed for as long as it lasts."""


class Lease:
    """A Lease of the operator's namespace.

    Args:
        cluster: for calls.
        namespace: of the operator.
        name: of the Lease.
        holder: our name, unique among replicas.
        wall: the wall clock.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, *, holder: str, wall: Callable[[], float] = time.time
    ) -> None:
        self._cluster, self._holder, self._name, self._wall = cluster, holder, name, wall
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._version = ""
        self._is_held = False

    async def acquire(self) -> None:
        """Wait until the Lease is ours; what fails outside is tried again."""
        told = ""
        while True:
            try:
                other = await self._try()
                if other is None:
                    self._is_held = True
                    return
                words = f"{other} acts; this replica waits"
            except ClusterCallError as error:
                words = str(error)
            if words != told:
                told = words
                _log.info("lease_awaited why=%s", words)
            await asyncio.sleep(RENEW_S / 2)

    async def keep(self) -> None:
        """Renew it until cancelled.

        Raises:
            LostLeaseError: it is not ours any more: who goes on acting would fight with another.
        """
        clock = asyncio.get_running_loop().time
        renewed_s = clock()
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                other = await self._try()
            except ClusterCallError as error:
                # While the API server is away nobody else can take it either; the servers are still to be answered.
                if error.status == 0 or error.status >= 500:
                    continue
                other = f"nobody we know ({error})" if clock() - renewed_s > LASTS_S else None
                if other is None:
                    continue
            if other is not None:
                raise LostLeaseError(f"lease {self._name}: {other} holds it; this replica ends and waits anew")
            renewed_s = clock()

    async def release(self) -> None:
        """Let the next one have it at once."""
        if self._is_held:
            self._is_held = False
            change = {"metadata": {"resourceVersion": self._version}, "spec": {"holderIdentity": ""}}
            await self._cluster.patch(f"{self._leases}/{self._name}", change)

    async def _try(self) -> str | None:
        """Take or renew the Lease; returns who holds it, None for us."""
        try:
            found = await self._cluster.get(f"{self._leases}/{self._name}")
        except MissingError:
            document = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name},
                "spec": self._spec(),
            }
            try:
                self._version = (await self._cluster.create(self._leases, document))["metadata"]["resourceVersion"]
            except ConflictError:
                return "another replica"
            return None
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._holder) and not self._has_expired(spec):
            return holder
        # With the version we read: of two who take it at once, one is refused.
        change = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "spec": self._spec()}
        try:
            taken = await self._cluster.patch(f"{self._leases}/{self._name}", change)
        except ConflictError:
            return "another replica"
        self._version = taken["metadata"]["resourceVersion"]
        return None

    def _spec(self) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._wall(), tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"holderIdentity": self._holder, "leaseDurationSeconds": LASTS_S, "renewTime": now}

    def _has_expired(self, spec: dict[str, Any]) -> bool:
        renewed = spec.get("renewTime")
        return renewed is None or self._wall() - seconds_of(renewed) > (spec.get("leaseDurationSeconds") or LASTS_S)
