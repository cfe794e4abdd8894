"""Calls to the Kubernetes API with plain JSON documents, over the official client.

`Cluster` is what platforms and reconcilers ask for; `ClusterClient` asks a real API server, in threads, because the
official client blocks. Watching is kopf's part (controller/reconcilers/watches.py).
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast
from urllib.parse import urlencode

from controller.errors import BadInputError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import ApiClient

FIELD_MANAGER = "tidegate"
TIMEOUT_S = (3.05, 10.0)
"""To connect and to answer; a call that hangs must not hold a decision for long."""
PAGE = 500
"""Objects in one answer about metadata: some 2 MB where kubelets have written much into managedFields."""
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
PatchKind = Literal["merge", "strategic", "json"]
Json = dict[str, Any]
_PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


class ClusterCallError(TemporaryError):
    """The API server refused a call, or did not answer (status 0)."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class MissingError(ClusterCallError):
    """There is no such object, or no such kind (404)."""


class ConflictError(ClusterCallError):
    """The object exists already, has changed meanwhile, or a field belongs to somebody else (409)."""


class ForbiddenError(ClusterCallError):
    """We may not do this (403)."""


class InvalidError(ClusterCallError):
    """The API server refuses the content (400 or 422)."""


_REMEDIES = {
    0: "see whether the API server is up and can be reached from here",
    401: "renew the credentials: the kubeconfig's, or the pod's by a restart",
    403: "grant the right, as the roles of the chart do",
}
_BY_STATUS = {400: InvalidError, 403: ForbiddenError, 404: MissingError, 409: ConflictError, 422: InvalidError}


class Cluster(Protocol):
    """A Kubernetes API; every call raises a `ClusterCallError` when it fails."""

    async def get(self, path: str) -> Json: ...  # noqa: D102  one object

    async def list(self, path: str, *, labels: str = "") -> list[Json]: ...  # noqa: D102  the items

    async def uids(self, path: str, *, labels: str = "") -> set[str]: ...  # noqa: D102  of all that is there now

    async def text(self, path: str) -> str: ...  # noqa: D102  what is no JSON: logs

    async def create(self, path: str, document: Json) -> Json: ...  # noqa: D102  path of the collection

    async def patch(self, path: str, change: object, *, kind: PatchKind = "merge") -> Json: ...  # noqa: D102

    async def apply(self, path: str, document: Json, *, force: bool = False) -> Json: ...  # noqa: D102  server-side

    async def delete(self, path: str) -> None: ...  # noqa: D102  gone already is no error


class ClusterClient:
    """A real cluster."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def get(self, path: str) -> Json:
        """See `Cluster.get`."""
        return await self._json("GET", path)

    async def list(self, path: str, *, labels: str = "") -> list[Json]:
        """See `Cluster.list`."""
        found = await self._json("GET", _with(path, {"labelSelector": labels} if labels else {}))
        return cast("list[Json]", found.get("items", []))

    async def uids(self, path: str, *, labels: str = "") -> set[str]:
        """Return the uids of all objects of a collection at one instant, read as pages of metadata.

        Raises:
            ClusterCallError: a page is missing, or is none: what is not returned is certainly not there.
        """
        query = {"limit": str(PAGE)} | ({"labelSelector": labels} if labels else {})
        found: set[str] = set()
        while True:
            page = await self._json("GET", _with(path, query), accept=METADATA_ONLY)
            try:
                found.update(each["metadata"]["uid"] for each in page["items"] or ())
                onward = page["metadata"].get("continue")
            except (KeyError, TypeError, AttributeError) as error:
                why = f"cluster: GET {path} answered no list; see whether a proxy stands before the API server"
                raise ClusterCallError(why, status=0) from error
            if not onward:
                return found
            query["continue"] = onward

    async def text(self, path: str) -> str:
        """See `Cluster.text`."""
        return (await self._call("GET", path, accept="*/*")).decode(errors="replace")

    async def create(self, path: str, document: Json) -> Json:
        """See `Cluster.create`."""
        return await self._json("POST", _with(path, {"fieldManager": FIELD_MANAGER}), document, "application/json")

    async def patch(self, path: str, change: object, *, kind: PatchKind = "merge") -> Json:
        """See `Cluster.patch`."""
        return await self._json("PATCH", _with(path, {"fieldManager": FIELD_MANAGER}), change, _PATCHES[kind])

    async def apply(self, path: str, document: Json, *, force: bool = False) -> Json:
        """Server-side apply: own exactly the fields of `document`; without `force` a field of others is a conflict."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        return await self._json("PATCH", _with(path, query), document, "application/apply-patch+yaml")

    async def delete(self, path: str) -> None:
        """See `Cluster.delete`."""
        try:
            await self._json("DELETE", path, {"propagationPolicy": "Background"}, "application/json")
        except MissingError:
            return

    async def _json(
        self, method: str, path: str, body: object = None, content_type: str = "", *, accept: str = "application/json"
    ) -> Json:
        text = await self._call(method, path, body, content_type, accept=accept)
        try:
            return cast("Json", json.loads(text))
        except ValueError as error:
            raise ClusterCallError(
                f"cluster: {method} {path} answered no JSON; see whether a proxy stands before the API server", status=0
            ) from error

    async def _call(
        self, method: str, path: str, body: object = None, content_type: str = "", *, accept: str = "application/json"
    ) -> bytes:
        headers = {"Accept": accept} | ({"Content-Type": content_type} if content_type else {})
        return await asyncio.to_thread(partial(self._blocking_call, method, path, body, headers))

    def _blocking_call(self, method: str, path: str, body: object, headers: dict[str, str]) -> bytes:
        client = self._client
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  heavy; loaded when a client exists

        try:
            # Tokens of service accounts are rotated: the configuration reads the file again when it is due.
            client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = client.call_api(
                method, client.configuration.host + path, headers, body, _request_timeout=TIMEOUT_S
            )
            answer.read()
        except ApiException as error:
            raise _refusal(method, path, error.status or 0, error.body) from error
        except Exception as error:
            why = f"cluster: {method} {path}: no answer ({error})"[:500]
            raise ClusterCallError(f"{why}; {_REMEDIES[0]}", status=0) from error
        if not 200 <= answer.status < 300:
            raise _refusal(method, path, answer.status, answer.data)
        return cast("bytes", answer.data)


def _refusal(method: str, path: str, status: int, body: object) -> ClusterCallError:
    try:
        why = json.loads(cast("str", body))["message"]
    except (ValueError, TypeError, KeyError):
        why = str(body)
    kind = _BY_STATUS.get(status, ClusterCallError)
    words = f"cluster: {method} {path.partition('?')[0]} answered {status}: {why}"[:600]
    return kind(f"{words}; {_REMEDIES[status]}" if status in _REMEDIES else words, status=status)


def _with(path: str, query: Mapping[str, str]) -> str:
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"


def connect() -> ClusterClient:
    """Return a client with the rights of the pod this runs in, or else of the user's kubeconfig.

    Raises:
        BadInputError: neither is there.
    """
    import yaml  # noqa: PLC0415
    from kubernetes import client, config  # noqa: PLC0415  half a second that other commands need not pay

    try:
        config.load_incluster_config()
    except config.ConfigException:
        try:
            config.load_kube_config()
        except (config.ConfigException, OSError, TypeError, ValueError, yaml.YAMLError) as error:
            raise BadInputError(
                f"cluster: no kubeconfig that can be used ({error}); set KUBECONFIG, or run inside a cluster"
            ) from error
    configuration = client.Configuration.get_default_copy()
    configuration.retries = False  # else a call that hangs is made four times before it fails
    return ClusterClient(client.ApiClient(configuration))
