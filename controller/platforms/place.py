"""Where one Knative Service is and what it is reached by, and the Revisions that matter now."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.errors import TemporaryError
from controller.platforms.cluster_client import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controller.platforms.cluster_client import Cluster
    from controller.platforms.owned import Owner
    from controller.platforms.watched import ServiceSeen

SERVING = "/apis/serving.knative.dev/v1/namespaces"


@dataclass(slots=True)
class ClusterFacts:
    """What holds for every service of a cluster.

    Attributes:
        autoscaler: data of config-autoscaler; empty where it may not be read.
        cores: of all nodes; infinite where they may not be read.
        has_warm: whether annotations of a Revision reach its autoscaler; None until it was tried.
    """

    autoscaler: Mapping[str, str]
    cores: float = math.inf
    has_warm: bool | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One service.

    Attributes:
        cluster: for calls.
        facts: of the cluster.
        seen: what watches tell of the service.
        namespace: of it.
        service: its name.
        owner: of what we make for it.
        wall: the wall clock.
    """

    cluster: Cluster
    facts: ClusterFacts
    seen: ServiceSeen
    namespace: str
    service: str
    owner: Owner
    wall: Callable[[], float] = time.time

    @property
    def document(self) -> dict[str, Any]:
        """The service's document.

        Raises:
            TemporaryError: there is none.
        """
        found = self.seen.service
        if found is None:
            raise TemporaryError(f"service {self.service}: is not there; create it")
        return found

    @property
    def revision(self) -> dict[str, Any]:
        """The Revision that takes most of the traffic.

        Raises:
            TemporaryError: there is none that was ever ready.
        """
        status = self.document["status"] or {}
        most = max(status.get("traffic") or [], key=lambda each: each.get("percent") or 0, default={})
        name = str(most.get("revisionName") or status.get("latestReadyRevisionName") or "")
        found = self.seen.revisions.get(name)
        if found is None:
            why = f"{name} is not seen yet" if name else "has no ready revision yet"
            raise TemporaryError(f"service {self.service}: {why}")
        return found

    async def find(self) -> dict[str, Any] | None:
        """Return the service as the API server has it; None where there is none, or it is being deleted.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        try:
            found = await self.cluster.get(f"{SERVING}/{self.namespace}/services/{self.service}")
        except MissingError:
            return None
        return None if found["metadata"].get("deletionTimestamp") else found

    def live_revisions(self) -> dict[str, dict[str, Any]]:
        """Return the Revisions that take traffic or will, by name: those named by the traffic, and the newest."""
        status = self.document["status"] or {}
        named = [each.get("revisionName") for each in status.get("traffic") or [] if each.get("percent")]
        names = dict.fromkeys([*named, status.get("latestReadyRevisionName"), status.get("latestCreatedRevisionName")])
        return {name: self.seen.revisions[name] for name in names if name in self.seen.revisions}


def referred_revisions(service: Mapping[str, Any]) -> set[str]:
    """Return the names of all Revisions that a service refers to: its newest ones, and those of its traffic."""
    status = service.get("status") or {}
    newest = {str(status.get(name)) for name in ("latestCreatedRevisionName", "latestReadyRevisionName")}
    return newest | {str(each.get("revisionName")) for each in status.get("traffic") or []}
