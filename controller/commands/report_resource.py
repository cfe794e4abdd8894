"""`tidegate report KIND/NAME`: what a resource in a cluster measured, as the same folder and page as on one machine."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from controller.errors import BadInputError
from controller.platforms.cluster_client import MissingError, connect
from controller.sweeps.from_cluster import is_ended, record_of
from controller.sweeps.records import SweepFolder, TrialRecord
from controller.sweeps.sweep_document import API_VERSION

if TYPE_CHECKING:
    from controller.platforms.cluster_client import Cluster

KINDS = {
    **dict.fromkeys(("sweep", "sweeps", "sw", "sweep.tidegate.dev", "sweeps.tidegate.dev"), "sweep"),
}
"""What a user may call a kind, as kubectl takes it."""
_NAMED = re.compile(r"([a-z.]+)/([a-z0-9]([-a-z0-9.]*[a-z0-9])?)")


def resource_of(text: str) -> tuple[str, str] | None:
    """Return the kind and the name of `KIND/NAME`; None for what is a folder, or is meant to be one."""
    found = _NAMED.fullmatch(text)
    if found is None or Path(text).exists() or found[1] not in KINDS:
        return None
    return KINDS[found[1]], found[2]


def fetch_sweep(name: str, namespace: str | None, out: Path | None) -> Path:
    """Write a Sweep and its trials into a folder, as one machine does, and return it.

    Args:
        name: of the Sweep.
        namespace: where it is; None for the one of the kubeconfig.
        out: folder; None for one of its own under `runs`.

    Raises:
        BadInputError: no kubeconfig, no such Sweep, or the folder holds something else.
        TemporaryError: the cluster does not answer.
    """
    cluster = connect()
    place = namespace or present_namespace()
    document, trials = asyncio.run(read_sweep(cluster, place, name))
    records = sorted((record_of(each) for each in trials if is_ended(each)), key=lambda each: each.number)
    return write_folder(document, records, out or Path("runs") / f"sweep-{place}-{name}")


def write_folder(document: dict[str, Any], records: list[TrialRecord], path: Path) -> Path:
    """Write the records of a Sweep in a cluster into a folder; those that it held of the same Sweep are replaced.

    Raises:
        BadInputError: the folder holds something else.
    """
    metadata = document["metadata"]
    identity: dict[str, object] = {
        "platform": "cluster",
        "uid": metadata["uid"],
        "document": {
            "apiVersion": API_VERSION,
            "kind": "Sweep",
            "metadata": {name: metadata[name] for name in ("name", "namespace")},
            "spec": {name: each for name, each in document["spec"].items() if name != "cancel"},
        },
    }
    folder = SweepFolder(path, identity)
    folder.open(resume=True)
    folder.write_records(records)
    folder.write_status(str((document.get("status") or {}).get("phase") or "Pending"), records)
    return path


async def read_sweep(cluster: Cluster, namespace: str, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a Sweep and its trials; those that an earlier one of its name left are none of them.

    Raises:
        BadInputError: there is no such Sweep.
        TemporaryError: the cluster does not answer.
    """
    path = f"/apis/{API_VERSION}/namespaces/{namespace}"
    try:
        document = await cluster.get(f"{path}/sweeps/{name}")
    except MissingError as error:
        raise BadInputError(
            f"sweep/{name}: namespace {namespace} has no such Sweep; see kubectl get sweeps -A, and give -n NAMESPACE"
        ) from error
    trials = await cluster.list(f"{path}/sweeptrials", labels=f"tidegate.dev/sweep={name}")
    uid = document["metadata"]["uid"]
    owned = [
        each for each in trials if uid in [owner["uid"] for owner in each["metadata"].get("ownerReferences") or []]
    ]
    return document, owned


def present_namespace() -> str:
    """Return the namespace that the user's kubeconfig names, as kubectl takes it; else `default`."""
    from kubernetes import config  # noqa: PLC0415  half a second that other reports need not pay

    try:
        _, active = cast("tuple[Any, dict[str, Any]]", config.list_kube_config_contexts())
        return str(active["context"].get("namespace") or "default")
    except (config.ConfigException, OSError, TypeError, KeyError):
        return "default"
