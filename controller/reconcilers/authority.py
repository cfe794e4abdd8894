"""The link's authority in the cluster: in a Secret of the operator's namespace, its public part where servers are."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from typing import TYPE_CHECKING, Any

from controller.errors import TemporaryError
from controller.platforms.cluster_client import ConflictError, MissingError
from controller.platforms.owned import OURS, OwnMap
from controller.telemetry.tls import Authority, make_authority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.platforms.cluster_client import Cluster

NAME = "tidegate-ca"
AGAIN_S = 60.0
"""A bundle that somebody removed is back after so long."""

_log = logging.getLogger(__name__)


async def ensure_authority(cluster: Cluster, namespace: str) -> Authority:
    """Return the authority of this operator; the first call of all makes it.

    Raises:
        BadInputError: the Secret holds something else.
        TemporaryError: the cluster does not answer.
    """
    path = f"/api/v1/namespaces/{namespace}/secrets"
    try:
        found = await cluster.get(f"{path}/{NAME}")
    except MissingError:
        made = make_authority(time.time())
        data = {name: base64.b64encode(each).decode() for name, each in made.to_pem().items()}
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": NAME, "labels": OURS},
            "type": "Opaque",
            "data": data,
        }
        try:
            await cluster.create(path, document)
        except ConflictError:  # another operator was quicker
            return await ensure_authority(cluster, namespace)
        return made
    secret = {name: base64.b64decode(each) for name, each in (found.get("data") or {}).items()}
    return Authority.from_pem(secret, time.time())


class Bundle:
    """The public certificate as a ConfigMap `tidegate-ca` in served namespaces."""

    def __init__(self, cluster: Cluster, authority: Authority) -> None:
        self._cluster = cluster
        self._text = authority.to_pem()["ca.crt"].decode()
        self._published: dict[str, float] = {}

    async def follow(self, service: Mapping[str, Any]) -> None:
        """Publish where a Knative Service asks for the bundle, before its pod is made.

        A pod that starts without it is given it by its kubelet a minute later, and is not heard until then.
        """
        volumes = ((service["spec"].get("template") or {}).get("spec") or {}).get("volumes") or []
        sources = [each for volume in volumes for each in (volume.get("projected") or {}).get("sources") or []]
        if any((each.get("configMap") or {}).get("name") == NAME for each in [*volumes, *sources]):
            try:
                await self.publish(service["metadata"]["namespace"])
            except TemporaryError as error:  # a tuning publishes it again
                _log.warning("bundle_unpublished why=%s", error)

    async def publish(self, namespace: str) -> None:
        """Make sure that the namespace has it.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        now_s = asyncio.get_running_loop().time()
        if now_s - self._published.get(namespace, -AGAIN_S) < AGAIN_S:
            return
        await OwnMap(self._cluster, namespace, NAME, "ca.crt").write(self._text)
        self._published[namespace] = now_s
