"""What was seen last of Knative Services, their Revisions and pods: filled by watches, read by platforms.

Only what is used is kept of each object, so a cluster with thousands of pods costs little memory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_LABEL = "serving.knative.dev/service"
REVISION_LABEL = "serving.knative.dev/revision"
USER_CONTAINER = "user-container"
QUEUE_PROXY = "queue-proxy"
Key = tuple[str, str]
"""(namespace, name of the Knative Service)."""
Kind = Literal["services", "revisions", "pods"]


@dataclass(frozen=True, slots=True)
class PodSeen:
    """One pod of a service.

    Attributes:
        name: of the pod.
        uid: of the pod.
        revision: that it serves.
        container: name of the container that answers.
        created_s: wall clock.
        ready_s: wall clock of its readiness; None before.
        stages_s: seconds from its creation to each stage that it reached.
        is_leaving: whether it was told to stop.
        is_done: whether its containers have ended.
        resources: of the container that answers, as they are in force now.
        resize_trouble: why a resize in place has not happened; empty where none is waited for.
    """

    name: str
    uid: str
    revision: str
    container: str
    created_s: float
    ready_s: float | None
    stages_s: Mapping[str, float]
    is_leaving: bool
    is_done: bool
    resources: Mapping[str, Mapping[str, str]]
    resize_trouble: str


@dataclass(slots=True)
class ServiceSeen:
    """One Knative Service; mutable, because watches fill it."""

    service: dict[str, Any] | None = None
    """Its document; None while there is none."""
    revisions: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    pods: dict[str, PodSeen] = field(default_factory=dict[str, PodSeen])
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at every change; who waits for it clears it."""

    def serving_pods(self) -> list[PodSeen]:
        """Return the pods that answer or will."""
        return [pod for pod in self.pods.values() if not pod.is_leaving and not pod.is_done]

    def of_kind(self, kind: Kind) -> Mapping[str, dict[str, Any] | PodSeen]:
        """Return what is known of a kind, by name."""
        if kind == "services":
            return {} if self.service is None else {self.service["metadata"]["name"]: self.service}
        return self.revisions if kind == "revisions" else self.pods


class Watched:
    """All services of the cluster that watches tell of."""

    def __init__(self) -> None:
        self._services: dict[Key, ServiceSeen] = {}
        self._by_uid: dict[str, Key] = {}

    def service(self, key: Key) -> ServiceSeen:
        """Return what is known of a service; it need not exist."""
        return self._services.setdefault(key, ServiceSeen())

    def find_pod(self, uid: str) -> tuple[Key, PodSeen] | None:
        """Return the service of a pod, if the watch has told of it."""
        key = self._by_uid.get(uid)
        pods = self._services[key].pods.values() if key is not None else ()
        found = next((pod for pod in pods if pod.uid == uid), None)
        return None if key is None or found is None else (key, found)

    def known(self, kind: Kind) -> list[dict[str, Any]]:
        """Return everything known of a kind, as documents that are enough to tell of its end."""
        return [
            {"metadata": {"namespace": key[0], "name": name, "uid": _uid_of(each), "labels": {SERVICE_LABEL: key[1]}}}
            for key, seen in self._services.items()
            for name, each in seen.of_kind(kind).items()
        ]

    def take_service(self, document: Mapping[str, Any], *, is_gone: bool) -> None:
        """Take in a Knative Service."""
        metadata = document["metadata"]
        seen = self.service((metadata["namespace"], metadata["name"]))
        if is_gone and seen.service is not None and _uid_of(seen.service) != metadata.get("uid", ""):
            return  # another of its name has come
        seen.service = None if is_gone else _trimmed(document)
        seen.changed.set()

    def take_revision(self, document: Mapping[str, Any], *, is_gone: bool) -> None:
        """Take in a Revision."""
        self._take(document, "revisions", None if is_gone else _trimmed(document))

    def take_pod(self, document: Mapping[str, Any], *, is_gone: bool) -> None:
        """Take in a pod."""
        self._take(document, "pods", None if is_gone else pod_seen(document))

    def _take(self, document: Mapping[str, Any], place: str, value: object) -> None:
        metadata = document["metadata"]
        service = (metadata.get("labels") or {}).get(SERVICE_LABEL)
        if not service:
            return
        key = (metadata["namespace"], service)
        seen = self.service(key)
        held: dict[str, object] = getattr(seen, place)
        before = held.get(metadata["name"])
        if value is not None and _is_older(value, before):
            return  # an answer to our own write came before what the watch still had to tell
        is_another = before is not None and _uid_of(before) != metadata.get("uid", "")
        if value is None:
            self._by_uid.pop(metadata["uid"], None)
            if is_another:
                return  # it has come already under the name of the one that is gone
            held.pop(metadata["name"], None)
        else:
            if is_another:
                self._by_uid.pop(_uid_of(before), None)
            held[metadata["name"]] = value
            if place == "pods":
                self._by_uid[metadata["uid"]] = key
        seen.changed.set()


def _uid_of(known: Any) -> str:
    return known.uid if isinstance(known, PodSeen) else known["metadata"].get("uid", "")


def _is_older(document: object, known: object) -> bool:
    """Return whether a watch tells of an object as it was before what we know already."""
    if not isinstance(document, dict) or not isinstance(known, dict):
        return False
    versions = [str(each["metadata"].get("resourceVersion") or "") for each in (document, known)]  # type: ignore[index]
    return all(each.isdecimal() for each in versions) and int(versions[0]) < int(versions[1])


def _trimmed(document: Mapping[str, Any]) -> dict[str, Any]:
    metadata = document["metadata"]
    kept = ("name", "namespace", "uid", "generation", "resourceVersion", "annotations", "labels", "creationTimestamp")
    kept += ("ownerReferences",)
    return {
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": dict(document.get("spec") or {}),
        "status": dict(document.get("status") or {}),
    }


def pod_seen(document: Mapping[str, Any]) -> PodSeen:
    """Return what is kept of a pod."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    containers = [each for each in spec.get("containers", []) if each["name"] != QUEUE_PROXY]
    container = next(
        (each for each in containers if each["name"] == USER_CONTAINER), containers[0] if containers else {}
    )
    states = {each["name"]: each for each in status.get("containerStatuses") or []}
    created_s = seconds_of(metadata["creationTimestamp"])
    reached = {
        each["type"]: seconds_of(each["lastTransitionTime"])
        for each in status.get("conditions") or []
        if each.get("status") == "True" and each.get("lastTransitionTime")
    }
    own = states.get(container.get("name", ""), {})
    started = (own.get("state") or {}).get("running", {}).get("startedAt")
    stages = {"scheduled": reached.get("PodScheduled"), "ready": reached.get("Ready")}
    stages["started"] = seconds_of(started) if started else None
    return PodSeen(
        name=metadata["name"],
        uid=metadata["uid"],
        revision=(metadata.get("labels") or {}).get(REVISION_LABEL, ""),
        container=container.get("name", USER_CONTAINER),
        created_s=created_s,
        ready_s=reached.get("Ready"),
        stages_s={name: at_s - created_s for name, at_s in stages.items() if at_s is not None},
        is_leaving="deletionTimestamp" in metadata,
        is_done=status.get("phase") in ("Succeeded", "Failed"),
        # The status tells what is in force, the specification what was asked for.
        resources=own.get("resources") or container.get("resources") or {},
        resize_trouble=_resize_trouble(status),
    )


def _resize_trouble(status: Mapping[str, Any]) -> str:
    """Return what kubelet says of a resize that it cannot do now (Deferred), never (Infeasible) or failed to do."""
    for each in status.get("conditions") or []:
        if each.get("type") in ("PodResizePending", "PodResizeInProgress") and each.get("reason"):
            return f"{each['reason']}: {each.get('message', '')}"[:300]
    return ""


def seconds_of(timestamp: str) -> float:
    """Return the wall clock of an RFC 3339 timestamp."""
    return datetime.fromisoformat(timestamp).timestamp()
