"""Objects that are ours: who owns them, and a ConfigMap with one text in it, written by server-side apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.platforms.cluster_client import Cluster

OURS = {"app.kubernetes.io/managed-by": "tidegate"}
"""Labels of what we make."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that others belong to, so that they go when it goes."""

    api_version: str
    kind: str
    name: str
    uid: str

    def reference(self) -> dict[str, Any]:
        """Return it as a reference of an owner."""
        return {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid}

    def owns(self, document: dict[str, Any]) -> bool:
        """Return whether an object names this as an owner; one of the same name that is gone is another."""
        return any(each.get("uid") == self.uid for each in document["metadata"].get("ownerReferences") or [])


@dataclass(frozen=True, slots=True)
class OwnMap:
    """A ConfigMap of ours.

    Attributes:
        cluster: for calls.
        namespace: of it.
        name: of it.
        key: of its only text.
    """

    cluster: Cluster
    namespace: str
    name: str
    key: str

    @property
    def path(self) -> str:
        """Its path."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps/{self.name}"

    async def read(self) -> dict[str, Any]:
        """Return its document.

        Raises:
            TemporaryError: the cluster does not answer; a MissingError where there is none.
        """
        return await self.cluster.get(self.path)

    def text_of(self, document: dict[str, Any]) -> str:
        """Return the text in a document; empty where there is none."""
        return str((document.get("data") or {}).get(self.key) or "")

    async def write(self, text: str, owners: Sequence[dict[str, Any]] = ()) -> None:
        """Make it say this, and belong to these.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        metadata = {"name": self.name, "labels": OURS} | ({"ownerReferences": list(owners)} if owners else {})
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {self.key: text}}
        await self.cluster.apply(self.path, document, force=True)

    async def delete(self) -> None:
        """Delete it; gone already is fine.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        await self.cluster.delete(self.path)


def hot_settings_map(cluster: Cluster, namespace: str, service: str) -> OwnMap:
    """Return the map that pods of a Knative Service mount, to start with what their like were told."""
    return OwnMap(cluster, namespace, f"tidegate-hot-{service}", "hot-settings.json")
