"""One of our resources as the API server has it: its path, and its status, written by server-side apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.reconcilers.resources import API_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.platforms.cluster_client import Cluster

PATH = f"/apis/{API_VERSION}/namespaces"


@dataclass(frozen=True, slots=True)
class OwnResource:
    """One object.

    Attributes:
        cluster: for calls.
        kind: such as Sweep.
        namespace: of it.
        name: of it.
    """

    cluster: Cluster
    kind: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Its path."""
        return f"{PATH}/{self.namespace}/{self.kind.lower()}s/{self.name}"

    def document(self, **more: Any) -> dict[str, Any]:
        """Return a document of it with these parts."""
        return {"apiVersion": API_VERSION, "kind": self.kind, "metadata": {"name": self.name}, **more}

    async def write_status(self, status: Mapping[str, Any]) -> None:
        """Make its status this: applied, not merged, so that what is not said any more goes.

        Raises:
            TemporaryError: the cluster does not take it; a MissingError where there is no such object any more.
        """
        await self.cluster.apply(f"{self.path}/status", self.document(status=status), force=True)
