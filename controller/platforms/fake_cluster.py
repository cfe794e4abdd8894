"""A Kubernetes API in memory that passes for `Cluster`: plain documents, for tests of what talks to a cluster.

It keeps the rules that reconcilers rely on: 404 and 409, generations, the status as a subresource, finalizers, owners
whose end takes along what they own, `generateName`, and server-side apply that takes away what its manager leaves out.
It checks no schemas and fills in no defaults.
"""

from __future__ import annotations

import copy
import itertools
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any, cast

from controller.platforms.cluster_client import ClusterCallError, ConflictError, InvalidError, Json, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controller.platforms.cluster_client import PatchKind

STATUS = "/status"


@dataclass(slots=True)
class FakeCluster:
    """A cluster without anything behind its API; a test plays the kubelet and the controllers.

    Attributes:
        objects: documents by path.
        logs: answers of `text`, by path without its query.
        followers: called as `follow(path, document, is_gone=…)` after every change, as a watch would tell.
        wall: the clock of its timestamps.
        refusal: raised by every call while it is set, such as of an API server that is away.
    """

    objects: dict[str, Json] = field(default_factory=dict[str, Json])
    logs: dict[str, str] = field(default_factory=dict[str, str])
    followers: list[Callable[..., None]] = field(default_factory=list["Callable[..., None]"])
    refusal: ClusterCallError | None = None
    wall: Callable[[], float] = time
    _applied: dict[str, Json] = field(default_factory=dict[str, Json])
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def get(self, path: str) -> Json:
        """See `Cluster.get`."""
        return copy.deepcopy(self._found(path))

    async def list(self, path: str, *, labels: str = "") -> list[Json]:
        """See `Cluster.list`; labels as `name=value` or only `name`, separated by commas."""
        self._check()
        found = [document for name, document in sorted(self.objects.items()) if path in _collections(name)]
        return [copy.deepcopy(each) for each in found if _selects(labels, each["metadata"].get("labels") or {})]

    async def uids(self, path: str, *, labels: str = "") -> set[str]:
        """See `Cluster.uids`."""
        return {each["metadata"]["uid"] for each in await self.list(path, labels=labels)}

    async def text(self, path: str) -> str:
        """See `Cluster.text`."""
        self._check()
        name = path.partition("?")[0]
        if name not in self.logs:
            raise MissingError(f"cluster: GET {name} answered 404: not found", status=404)
        return self.logs[name]

    async def create(self, path: str, document: Json) -> Json:
        """See `Cluster.create`."""
        self._check()
        made = copy.deepcopy(document)
        made.pop("status", None)
        metadata = made.setdefault("metadata", {})
        number = next(self._numbers)
        if "name" not in metadata:
            metadata["name"] = f"{metadata.pop('generateName')}{number:05}"
        place = f"{path}/{metadata['name']}"
        if place in self.objects:
            raise ConflictError(f"cluster: POST {path} answered 409: {metadata['name']} already exists", status=409)
        metadata |= {
            "uid": f"uid-{number}",
            "generation": 1,
            "resourceVersion": str(number),
            "creationTimestamp": datetime.fromtimestamp(self.wall(), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if "/namespaces/" in path:
            metadata["namespace"] = path.split("/namespaces/")[1].split("/", maxsplit=1)[0]
        self.objects[place] = made
        self._tell(place)
        return copy.deepcopy(made)

    async def patch(self, path: str, change: object, *, kind: PatchKind = "merge") -> Json:
        """See `Cluster.patch`; a strategic merge is a plain one here."""
        after = await self.get(path.removesuffix(STATUS))
        if kind == "json":
            for step in cast("list[dict[str, Any]]", change):
                _step(after, step)
        else:
            _merge(after, cast("Json", change))
        return self._replace(path, after)

    async def apply(self, path: str, document: Json, *, force: bool = False) -> Json:
        """See `Cluster.apply`; there is one manager, so nothing conflicts."""
        del force
        place = path.removesuffix(STATUS)
        if place not in self.objects and place == path:
            await self.create(path.rpartition("/")[0], {**document, "metadata": dict(document["metadata"])})
        after = await self.get(place)
        _drop(after, self._applied.get(path, {}), document)
        _merge(after, document)
        self._applied[path] = copy.deepcopy(document)
        return self._replace(path, after)

    async def delete(self, path: str) -> None:
        """See `Cluster.delete`."""
        self._check()
        if path not in self.objects:
            return
        metadata = self.objects[path]["metadata"]
        if metadata.get("finalizers"):
            metadata.setdefault("deletionTimestamp", metadata["creationTimestamp"])
            self._tell(path)
            return
        self.remove(path)

    def put(self, path: str, document: Json) -> None:
        """Set an object, its status included, as a controller of the cluster would."""
        kept = self.objects.get(path, {}).get("metadata", {})
        number = str(next(self._numbers))
        made = copy.deepcopy(document)
        made["metadata"] = {"uid": f"uid-{number}", "generation": 1, **kept, **made["metadata"]}
        made["metadata"]["resourceVersion"] = number
        self.objects[path] = made
        self._tell(path)

    def remove(self, path: str) -> None:
        """Take an object away with all that it owns, finalizers or not."""
        gone = self.objects.pop(path)
        self._applied = {name: each for name, each in self._applied.items() if name.removesuffix(STATUS) != path}
        for follow in self.followers:
            follow(path, copy.deepcopy(gone), is_gone=True)
        for place, each in list(self.objects.items()):
            owners = each["metadata"].get("ownerReferences") or []
            if any(owner.get("uid") == gone["metadata"]["uid"] for owner in owners) and place in self.objects:
                self.remove(place)

    def _check(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    def _found(self, path: str) -> Json:
        self._check()
        found = self.objects.get(path)
        if found is None:
            raise MissingError(f"cluster: {path} answered 404: not found", status=404)
        return found

    def _replace(self, path: str, after: Json) -> Json:
        """Take over a changed document: through a status's path only the status, else all but the status."""
        place = path.removesuffix(STATUS)
        before = self.objects[place]
        if place != path:
            after = {**before, "status": after.get("status", {})}
        else:
            after = {name: each for name, each in after.items() if name != "status"}
            after |= {"status": before["status"]} if "status" in before else {}
        if after == before:
            return copy.deepcopy(before)
        metadata = after["metadata"]
        metadata["resourceVersion"] = str(next(self._numbers))
        if after.get("spec") != before.get("spec"):
            metadata["generation"] = before["metadata"].get("generation", 0) + 1
        self.objects[place] = after
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self.remove(place)
        else:
            self._tell(place)
        return copy.deepcopy(after)

    def _tell(self, path: str) -> None:
        for follow in self.followers:
            follow(path, copy.deepcopy(self.objects[path]), is_gone=False)


def _collections(path: str) -> set[str]:
    """Return what an object is listed in: its collection in its namespace, and that of the whole cluster."""
    collection = path.rpartition("/")[0]
    return {collection, re.sub(r"/namespaces/[^/]+(?=/)", "", collection)}


def _selects(selector: str, labels: Mapping[str, str]) -> bool:
    pairs = [each.partition("=") for each in selector.split(",") if each]
    return all(name in labels and (not sign or labels[name] == value) for name, sign, value in pairs)


def _merge(into: Json, change: Json) -> None:
    """RFC 7386: objects are merged, null takes away, everything else replaces."""
    for name, value in change.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], cast("Json", value))
        else:
            into[name] = copy.deepcopy(value)


def _drop(into: Json, before: Json, now: Json) -> None:
    """Take away what was applied before and is not any more."""
    for name, value in before.items():
        if name not in now:
            into.pop(name, None)
        elif isinstance(value, dict) and isinstance(now[name], dict) and isinstance(into.get(name), dict):
            _drop(into[name], cast("Json", value), now[name])


def _step(document: Json, step: dict[str, Any]) -> None:
    """Carry out one step of a JSON patch (RFC 6902): add, replace, remove or test."""
    *way, last = [each.replace("~1", "/").replace("~0", "~") for each in step["path"].split("/")[1:]]
    place: Any = document
    for each in way:
        place = place[int(each)] if isinstance(place, list) else place[each]
    key: Any = int(last) if isinstance(place, list) and last != "-" else last
    match step["op"]:
        case "remove":
            del place[key]
        case "test":
            if place[key] != step["value"]:
                raise InvalidError("cluster: the test of a JSON patch failed", status=422)
        case "add" if isinstance(place, list):
            cast("list[Any]", place).insert(len(cast("list[Any]", place)) if key == "-" else key, step["value"])
        case _:
            place[key] = step["value"]
