"""CPU of running pods, changed in place: neither a new revision nor a restart (Kubernetes 1.33 and later).

The Deployment does not revert it, but new pods begin with the Revision's values, so they are brought to size as they
appear. Memory is left alone: growing it buys nothing that a batch budget does not, shrinking it may kill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.domain.quantities import quantity
from controller.platforms.cluster_client import ForbiddenError, InvalidError, MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.platforms.cluster_client import Cluster
    from controller.platforms.watched import PodSeen

SAME = 0.005
"""Cores; what differs by less is the same size."""


def cpu_of(resources: Mapping[str, Mapping[str, str]]) -> float | None:
    """Return the cores that a container is given: its request, or its limit where nothing is requested."""
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    return quantity(requests.get("cpu", limits.get("cpu")))


def resize_patch(pod: PodSeen, cpu: float) -> dict[str, Any]:
    """Return the change of a pod's resize subresource that gives its container so many cores.

    A limit that is there moves along, by the same factor as the request or to the same value where nothing is
    requested; one that is not there is not introduced. So the pod's QoS class, which may not change, stays.
    """
    requests, limits = pod.resources.get("requests") or {}, pod.resources.get("limits") or {}
    resources: dict[str, dict[str, str]] = {}
    requested, limit = quantity(requests.get("cpu")), quantity(limits.get("cpu"))
    if requested is not None or limit is None:
        resources["requests"] = {"cpu": _milli(cpu)}
    if limit is not None:
        resources["limits"] = {"cpu": _milli(cpu if not requested else cpu * limit / requested)}
    return {"spec": {"containers": [{"name": pod.container, "resources": resources}]}}


def _milli(cpu: float) -> str:
    return f"{max(1, round(1000 * cpu))}m"


def right_size(
    rate_rps: float, cpu_s_per_request: float, pods: int, *, bounds: tuple[float, float], utilization: float = 0.7
) -> float:
    """Return the cores a pod needs to answer its share of a rate at this utilisation, inside bounds, in tenths.

    Args:
        rate_rps: requests a second of the whole service.
        cpu_s_per_request: CPU seconds that a request takes, from the servers' own count.
        pods: that share the rate.
        bounds: fewest and most cores.
        utilization: share of its cores that a pod is to be busy; the rest is for bursts inside a second.
    """
    needed = rate_rps * cpu_s_per_request / max(1, pods) / utilization
    return min(max(bounds[0], round(needed + 0.05, 1)), bounds[1])


class PodSizes:
    """Keeps the pods of one service at the size that is wanted.

    Args:
        cluster: for calls.
        namespace: of the pods.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self.cpu: float | None = None
        """Cores that are wanted; None leaves pods as they are."""
        self.refused = ""
        """Why the cluster does not take it; empty while it does."""
        self._asked: dict[str, float] = {}

    async def enforce(self, pods: Sequence[PodSeen]) -> None:
        """Bring pods to the wanted size.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        wanted = self.cpu
        if wanted is None or self.refused:
            return
        for pod in pods:
            present = cpu_of(pod.resources)
            is_there = present is not None and abs(present - wanted) < SAME
            # The status follows the request within some seconds; asking again each turn would change nothing.
            if is_there or self._asked.get(pod.uid) == wanted or pod.is_leaving:
                continue
            await self._resize(pod, wanted)
        self._asked = {pod.uid: self._asked[pod.uid] for pod in pods if pod.uid in self._asked}

    def trouble(self, pods: Sequence[PodSeen]) -> str:
        """Return why pods do not have the wanted size; empty where they have it or will in a moment."""
        waiting = (pod.resize_trouble for pod in pods if pod.resize_trouble)
        return self.refused or next(waiting, "")

    async def release(self, pods: Sequence[PodSeen], cpu: float | None) -> None:
        """Give pods the size back that their Revision says.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        if self.cpu is not None and cpu is not None:
            self.cpu = cpu
            await self.enforce(pods)
        self.cpu, self.refused = None, ""
        self._asked.clear()

    async def _resize(self, pod: PodSeen, cpu: float) -> None:
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod.name}/resize"
        try:
            # Strategic: a merge patch would take the other containers away, and is refused.
            await self._cluster.patch(path, resize_patch(pod, cpu), kind="strategic")
        except MissingError as error:
            if "the server could not find the requested resource" in str(error):
                self.refused = "needs Kubernetes 1.33 for a resize in place"
            return  # else the pod is gone
        except (ForbiddenError, InvalidError) as error:
            self.refused = str(error)
            return
        self._asked[pod.uid] = cpu
