"""KServe in Knative mode, from the charts inside its Go module: no Istio, no cert-manager, certificates by openssl."""

from __future__ import annotations

import base64
import shutil
from typing import TYPE_CHECKING, Any

import yaml
from certificates import make_authority, sign
from places import BIN, RUN, kubectl, run, wait_for_definitions
from programs import module_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEBHOOK = "kserve-webhook-server-service.kserve.svc"
LEFT_OUT = {"Certificate", "Issuer", "ClusterStorageContainer", "Secret"}
VALUES = (
    "kserve.controller.deploymentMode=Knative",
    "kserve.controller.gateway.disableIstioVirtualHost=true",
    "certManager.enabled=false",
)


def install() -> None:
    """Apply the charts and wait until the controller is available."""
    folder = RUN / "kserve"
    folder.mkdir()
    make_authority(folder, "ca", "kserve-ca")
    sign(folder, "tls", subject=f"/CN={WEBHOOK}", names=f"DNS:{WEBHOOK}")
    charts = folder / "charts"
    shutil.copytree(module_folder("kserve", "github.com/kserve/kserve") / "charts", charts, copy_function=shutil.copy)
    definitions = folder / "definitions.yaml"
    definitions.write_text(run(BIN / "helm", "template", "kserve", charts / "kserve-crd"))
    settings = [word for value in VALUES for word in ("--set", value)]
    chart = run(BIN / "helm", "template", "kserve", charts / "kserve-resources", "-n", "kserve", *settings)
    manifest = folder / "kserve.yaml"
    manifest.write_text(yaml.safe_dump_all(_adapt(chart, folder)))
    kubectl("apply", "--server-side", "-f", str(definitions))
    wait_for_definitions()
    kubectl("apply", "--server-side", "-f", str(manifest))
    kubectl("-n", "kserve", "wait", "--for=condition=Available", "deploy", "--all", "--timeout=180s")


def _adapt(chart: str, folder: Path) -> Iterator[dict[str, Any]]:
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kserve"}}
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "kserve-webhook-server-cert", "namespace": "kserve"},
        "data": {name: _encoded(folder / name) for name in ("tls.crt", "tls.key")},
    }
    for document in yaml.safe_load_all(chart):
        if document and document["kind"] not in LEFT_OUT:
            _use_ours(document, authority=_encoded(folder / "ca.crt"))
            yield document


def _use_ours(document: dict[str, Any], *, authority: str) -> None:
    if document["kind"].endswith("WebhookConfiguration"):
        for hook in document["webhooks"]:
            hook["clientConfig"]["caBundle"] = authority
    if document["kind"] == "Deployment":
        pod = document["spec"]["template"]["spec"]
        pod["containers"] = [each for each in pod["containers"] if "rbac-proxy" not in each["image"]]
        for container in pod["containers"]:
            container.update(image="dev.local/kserve:1", imagePullPolicy="Never", resources={})


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
