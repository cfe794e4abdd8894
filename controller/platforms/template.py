"""The slow settings of a service: fields of its template whose change makes a new revision.

They are written where they are durable: in the Knative Service, or in the InferenceService that made it, by server-side
apply, so that only these fields become ours. A sweep and a rollout use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from controller.platforms.cluster_client import FIELD_MANAGER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.platforms.cluster_client import Cluster
    from controller.platforms.watched import ServiceSeen

KNATIVE, KSERVE = "serving.knative.dev/v1", "serving.kserve.io/v1beta1"


@dataclass(frozen=True, slots=True)
class Template:
    """Where the slow settings of one service are written.

    Attributes:
        api_version: of the object that holds them.
        kind: Service or InferenceService.
        namespace: of it.
        name: of it.
    """

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, service: Mapping[str, Any]) -> Template:
        """Return where the settings of a Knative Service are durable: in its own document, or in its owner's."""
        metadata = service["metadata"]
        for owner in metadata.get("ownerReferences") or []:
            if owner.get("kind") == "InferenceService":
                return cls(KSERVE, "InferenceService", metadata["namespace"], owner["name"])
        return cls(KNATIVE, "Service", metadata["namespace"], metadata["name"])

    @property
    def path(self) -> str:
        """Path of the object."""
        return f"/apis/{self.api_version}/namespaces/{self.namespace}/{self.kind.lower()}s/{self.name}"

    def document(self, container_concurrency: int | None, *, canary_percent: int | None = None) -> dict[str, Any]:
        """Return the part of the object that says it; none takes the field away."""
        fields = {"containerConcurrency": container_concurrency}
        if canary_percent is not None:  # KServe's own way to shift traffic
            fields["canaryTrafficPercent"] = canary_percent
        spec = {"predictor": fields} if self.kind == "InferenceService" else {"template": {"spec": fields}}
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": self.name}, "spec": spec}

    def read(self, document: Mapping[str, Any]) -> int | None:
        """Return what the object says; None where it says nothing."""
        spec = document.get("spec") or {}
        inner = spec.get("predictor") if self.kind == "InferenceService" else (spec.get("template") or {}).get("spec")
        return cast("int | None", (inner or {}).get("containerConcurrency"))


async def write_slow(
    cluster: Cluster,
    template: Template,
    container_concurrency: int,
    beside: Mapping[str, Any] | None = None,
    *,
    canary_percent: int | None = None,
) -> None:
    """Make this the fence of new revisions.

    Args:
        cluster: for the call.
        template: where.
        container_concurrency: requests in parallel in one pod; 0 is no bound.
        canary_percent: of the traffic to the new revision, of an InferenceService; None leaves it alone.
        beside: further fields of `spec` that are ours: server-side apply takes away what it does not hear again.

    Raises:
        TemporaryError: the cluster does not take it.
    """
    document = template.document(container_concurrency, canary_percent=canary_percent)
    document["spec"] = {**(beside or {}), **document["spec"]}
    await cluster.apply(template.path, document, force=True)


async def give_back(cluster: Cluster, template: Template, container_concurrency: int | None) -> None:
    """Put the value back that was there before, and leave no field of the object ours.

    Whoever owned the field before, by `kubectl apply` or a GitOps controller, finds it as it was, without a conflict.

    Raises:
        TemporaryError: the cluster does not take it.
    """
    change = {"spec": template.document(container_concurrency)["spec"]}
    found = await cluster.patch(template.path, change)
    entries = found["metadata"].get("managedFields") or []
    ours = [place for place, each in enumerate(entries) if each.get("manager") == FIELD_MANAGER]
    steps: list[dict[str, Any]] = []
    for place in reversed(ours):
        where = f"/metadata/managedFields/{place}"
        steps += [{"op": "test", "path": f"{where}/manager", "value": FIELD_MANAGER}, {"op": "remove", "path": where}]
    if steps:
        await cluster.patch(template.path, steps, kind="json")


def has_arrived(seen: ServiceSeen, container_concurrency: int) -> bool:
    """Return whether the newest revision carries this fence and is the one that serves."""
    service = seen.service
    if service is None or not _is_observed(service):
        return False
    status = service["status"]
    newest = status.get("latestCreatedRevisionName")
    revision = seen.revisions.get(newest or "")
    return (
        revision is not None
        and newest == status.get("latestReadyRevisionName")
        and int(revision["spec"].get("containerConcurrency") or 0) == container_concurrency
        and _condition(service, "Ready").get("status") == "True"
    )


def why_refused(seen: ServiceSeen) -> str:
    """Return why Knative cannot make the newest revision serve; empty while it may still do."""
    if seen.service is None or not _is_observed(seen.service):
        return ""
    found = _condition(seen.service, "ConfigurationsReady")
    return str(found.get("message") or found.get("reason") or "unknown") if found.get("status") == "False" else ""


def _is_observed(service: Mapping[str, Any]) -> bool:
    return bool(service["status"].get("observedGeneration") == service["metadata"].get("generation"))


def _condition(service: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in service["status"].get("conditions") or [] if each.get("type") == kind), {})
