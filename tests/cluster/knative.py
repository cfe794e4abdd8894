"""Manifests of Knative Serving and Kourier, taken from their Go modules and made to use images that are on the node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from places import MANIFESTS, kubectl, wait_for_definitions
from programs import module_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCES = {
    "knative.dev/networking": "config/*.yaml",
    "knative.dev/caching": "config/*.yaml",
    "knative.dev/serving": "config/core/**/*.yaml",
    "knative.dev/net-kourier": "config/*.yaml",
}
SETTINGS = {
    "config-deployment": {
        "queue-sidecar-image": "dev.local/queue:1",
        "registries-skipping-tag-resolving": "kind.local,ko.local,dev.local",
    },
    "config-network": {"ingress-class": "kourier.ingress.networking.knative.dev"},
    "config-domain": {"127.0.0.1.sslip.io": ""},
    # Knative's own grace period is 30 s from when the activator came into the path; tests go to zero often.
    "config-autoscaler": {"scale-to-zero-grace-period": "6s"},
}
ENTRY_PORT = 31080
"""Kourier's NodePort, as in kind-config.yaml."""
FIRST = {"CustomResourceDefinition", "Namespace"}
DEPLOYED_IN = ("knative-serving", "kourier-system", "kube-system")


def install() -> None:
    """Apply everything and wait until every deployment is available."""
    definitions, rest = MANIFESTS / "knative-definitions.yaml", MANIFESTS / "knative.yaml"
    render(definitions, rest)
    kubectl("apply", "--server-side", "-f", str(definitions))
    wait_for_definitions()
    kubectl("apply", "--server-side", "-f", str(rest))
    for namespace in DEPLOYED_IN:
        kubectl("-n", namespace, "wait", "--for=condition=Available", "deploy", "--all", "--timeout=180s")


def render(definitions: Path, rest: Path) -> None:
    """Write the manifests of definitions and namespaces, and those of everything else."""
    MANIFESTS.mkdir(parents=True, exist_ok=True)
    documents = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]): each for each in _read()}
    adapted = [_adapt(each) for each in documents.values()]
    definitions.write_text(yaml.safe_dump_all(each for each in adapted if each["kind"] in FIRST))
    rest.write_text(yaml.safe_dump_all(each for each in adapted if each["kind"] not in FIRST))


def _read() -> Iterator[dict[str, Any]]:
    for module, pattern in SOURCES.items():
        for file in sorted(module_folder("knative", module).glob(pattern)):
            for document in yaml.safe_load_all(file.read_text()):
                if document and document["kind"] != "HorizontalPodAutoscaler":
                    yield document


def _adapt(document: dict[str, Any]) -> dict[str, Any]:
    use_local_images(document)
    kind, name = document["kind"], document["metadata"]["name"]
    if kind == "ConfigMap" and name in SETTINGS:
        document.setdefault("data", {}).update(SETTINGS[name])
    if kind == "Service" and name == "kourier":
        document["spec"]["type"] = "NodePort"
        document["spec"]["ports"][0]["nodePort"] = ENTRY_PORT
    if kind == "Deployment" and name == "3scale-kourier-gateway":
        gateway = document["spec"]["template"]["spec"]["containers"][0]
        gateway["command"] = ["/envoy"]
        gateway.pop("lifecycle", None)  # it calls a shell, and the image has none
        for probe in ("readinessProbe", "livenessProbe"):
            gateway[probe]["initialDelaySeconds"] = 1
    return document


def use_local_images(node: object) -> None:
    """Replace images by those that are on the node, and requests by some that fit a small one."""
    if isinstance(node, list):
        for item in node:
            use_local_images(item)
    elif isinstance(node, dict):
        if isinstance(node.get("image"), str):
            node["image"] = _local(node["image"])
            if "name" in node:
                node["imagePullPolicy"] = "Never"
        if isinstance(node.get("resources"), dict) and "requests" in node["resources"]:
            node["resources"]["requests"] = {"cpu": "10m", "memory": "32Mi"}
        for value in node.values():
            use_local_images(value)


def _local(image: str) -> str:
    if "/envoy:" in image:
        return "dev.local/envoy:1"
    return f"dev.local/{image.rsplit('/', 1)[1]}:1" if image.startswith("ko://") else image
