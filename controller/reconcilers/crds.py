"""`python -m controller.reconcilers.crds write FOLDER | apply FILE…`: the definitions of the resources.

`write` makes the YAML files of the chart from the types; a test compares them. `apply` brings files into a cluster by
server-side apply: Helm installs definitions once and never upgrades them, so the chart calls this before an upgrade.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from controller.errors import BadInputError, TidegateError
from controller.platforms.cluster_client import MissingError, connect
from controller.reconcilers.resources import API_VERSION, GROUP, VERSION, InferenceTuningSpec
from controller.reconcilers.schema import schema_of
from controller.reconcilers.status_resources import InferenceTuningStatus
from controller.reconcilers.sweep_resources import SweepSpec, SweepStatus, SweepTrialSpec, SweepTrialStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.platforms.cluster_client import Cluster

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource.

    Attributes:
        name: in the singular, CamelCase.
        plural: lower case.
        short: further names for kubectl.
        about: the first line of `kubectl explain`.
        spec: its type.
        status: its type.
        columns: of `kubectl get`: heading, JSON path, type, and whether only `-o wide` shows it.
    """

    name: str
    plural: str
    short: tuple[str, ...]
    about: str
    spec: type
    status: type
    columns: tuple[tuple[str, str, str, bool], ...]


def _condition(kind: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].status'


AGE = ("Age", ".metadata.creationTimestamp", "date", False)
KINDS = (
    Kind(
        "InferenceTuning",
        "inferencetunings",
        ("tun", "tunings"),
        "Keeps a service inside its latency objective at the lowest cost while its traffic bursts.",
        InferenceTuningSpec,
        InferenceTuningStatus,
        (
            ("Target", ".spec.targetRef.name", "string", False),
            ("Mode", ".spec.mode", "string", False),
            ("Ready", _condition("Ready"), "string", False),
            ("SLO", _condition("SLOMet"), "string", False),
            ("Rate", ".status.arrivals.rate", "string", False),
            ("p95", ".status.latency.p95", "string", False),
            ("USD/1M", ".status.decision.costPerMillionUsd", "string", False),
            ("Last", ".status.decision.action", "string", False),
            AGE,
            ("Revision", ".status.target.revision", "string", True),
            ("Why", ".status.decision.reason", "string", True),
        ),
    ),
    Kind(
        "Sweep",
        "sweeps",
        ("sw",),
        "A campaign of trials: settings of a service, each measured under the same traffic.",
        SweepSpec,
        SweepStatus,
        (
            ("Phase", ".status.phase", "string", False),
            ("Trials", ".status.trials", "integer", False),
            ("Planned", ".status.planned", "integer", False),
            ("Failed", ".status.failed", "integer", False),
            ("Best", ".status.best.name", "string", False),
            ("p95", ".status.best.p95", "string", False),
            ("USD/1M", ".status.best.costPerMillionUsd", "string", False),
            AGE,
        ),
    ),
    Kind(
        "SweepTrial",
        "sweeptrials",
        ("swt", "trials"),
        "One setting of a Sweep and what it measured.",
        SweepTrialSpec,
        SweepTrialStatus,
        (
            ("Sweep", ".spec.sweep", "string", False),
            ("No", ".spec.number", "integer", False),
            ("Phase", ".status.phase", "string", False),
            ("Requests", ".status.figures.requests", "integer", False),
            ("p95", ".status.figures.p95", "string", False),
            ("Windows", ".status.figures.attainment", "string", False),
            ("USD/1M", ".status.figures.costPerMillionUsd", "string", False),
            AGE,
            ("Settings", ".status.settings", "string", True),
            ("Why", ".status.why", "string", True),
        ),
    ),
)


def definition(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    spec, status = schema_of(kind.spec), schema_of(kind.status)
    schema = {
        "type": "object",
        "description": kind.about,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in kind.columns],
        "schema": {"openAPIV3Schema": schema},
    }
    names = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.name.lower(),
        "shortNames": list(kind.short),
        "categories": ["tidegate"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "tidegate"}},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _column(heading: str, path: str, kind: str, is_wide: bool) -> dict[str, Any]:  # noqa: FBT001  a row of a table
    return {"name": heading, "jsonPath": path, "type": kind} | ({"priority": 1} if is_wide else {})


def write(folder: Path) -> list[Path]:
    """Write a file for each kind and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for kind in KINDS:
        path = folder / f"{GROUP}_{kind.plural}.yaml"
        path.write_text(
            "# Generated by: python -m controller.reconcilers.crds write charts/tidegate/crds\n"
            + yaml.safe_dump(definition(kind), sort_keys=False, width=1000)
        )
        written.append(path)
    return written


async def unserved(cluster: Cluster) -> set[str]:
    """Return the plurals of our kinds that the API server does not serve now.

    Raises:
        TemporaryError: it does not answer.
    """
    try:
        found = await cluster.get(f"/apis/{API_VERSION}")
    except MissingError:
        found = {}
    return {kind.plural for kind in KINDS} - {each["name"] for each in found.get("resources", [])}


def main(arguments: Sequence[str]) -> int:
    """Write or apply; returns the exit code."""
    match list(arguments):
        case ["write", folder]:
            for path in write(Path(folder)):
                sys.stdout.write(f"{path}\n")
        case ["apply", *files] if files:
            try:
                asyncio.run(_apply([Path(each) for each in files]))
            except TidegateError as error:
                sys.stderr.write(f"crds: {error}\n")
                return error.exit_code
        case _:
            sys.stderr.write("usage: python -m controller.reconcilers.crds write FOLDER | apply FILE…\n")
            return 2
    return 0


async def _apply(files: list[Path]) -> None:
    cluster = connect()
    for path in files:
        try:
            documents = list(yaml.safe_load_all(path.read_text()))
        except (OSError, yaml.YAMLError) as error:
            raise BadInputError(f"{path}: cannot be read ({error}); give the chart's definitions") from error
        for document in documents:
            if not isinstance(document, dict) or document.get("kind") != "CustomResourceDefinition":
                raise BadInputError(f"{path}: holds no CustomResourceDefinition; give the chart's definitions")
            name = document["metadata"]["name"]
            await cluster.apply(f"{DEFINITIONS}/{name}", document, force=True)
            sys.stdout.write(f"{name} applied\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
