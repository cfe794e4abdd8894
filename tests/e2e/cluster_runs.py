"""One run on the test cluster: a service, a schedule sent by the load generator, the life of every pod, the answers.

Times are seconds since the start of the run, which is a wall clock instant that all parts are told beforehand.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.domain.instance_log import InstanceRow

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
HOME = Path(os.environ.get("TIDEGATE_CLUSTER_HOME") or Path.home() / ".cache" / "tidegate" / "cluster")
KUBECTL = (str(HOME / "bin" / "kubectl"), f"--kubeconfig={HOME / 'run' / 'admin.kubeconfig'}")
PORT = 31080
DOMAIN = "127.0.0.1.sslip.io"
SERVICE_LABEL = "serving.knative.dev/service"
PATIENCE_S = 240.0
LONGEST_S = 4 * 3600
"""A watch ends by itself after this."""
VCPU, MEMORY_MB = 0.1, 256
"""What one pod asks for; every pod asks for the same, so costs are as pod-seconds."""


def kubectl(*words: str, text: str | None = None) -> str:
    done = subprocess.run([*KUBECTL, *words], input=text, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise SystemExit(f"bench: kubectl {' '.join(words)[:200]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def node_address() -> str:
    """Address of the node, which is this machine's own and reached from pods."""
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    return next(each["address"] for each in nodes[0]["status"]["addresses"] if each["type"] == "InternalIP")


def knative_service(
    name: str, *, environment: Mapping[str, str], annotations: Mapping[str, str], container_concurrency: int
) -> dict[str, Any]:
    """A Knative Service of the demo's image."""
    container = {
        "image": "dev.local/tidegate-demo:1",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready"}, "periodSeconds": 0},
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "resources": {"requests": {"cpu": "100m", "memory": f"{MEMORY_MB}Mi"}, "limits": {"memory": "512Mi"}},
    }
    scaling = {f"autoscaling.knative.dev/{key}": value for key, value in annotations.items()}
    spec = {"containerConcurrency": container_concurrency, "containers": [container]}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"template": {"metadata": {"annotations": scaling}, "spec": spec}},
    }


@dataclass(slots=True)
class PodLife:
    """Wall clock instants at which the API server told of a pod, NaN before it did."""

    name: str
    service: str
    created_at: float
    ready_at: float = math.nan
    asked_to_end_at: float = math.nan
    gone_at: float = math.nan

    def row(self, zero_at: float) -> InstanceRow:
        """Its row of instances.csv, paid until it is gone."""
        times = (self.created_at - zero_at, self.ready_at - zero_at, self.gone_at - zero_at)
        return InstanceRow(self.name, self.service, *times, VCPU, MEMORY_MB)


class PodWatch:
    """Every pod of a namespace from now on. The API server's own timestamps are whole seconds; these are not."""

    def __init__(self, namespace: str) -> None:
        self.lives: dict[str, PodLife] = {}
        # One event a line, which kubectl's own --watch does not print.
        path = f"/api/v1/namespaces/{namespace}/pods?watch=1&resourceVersion=0&timeoutSeconds={LONGEST_S}"
        self._process = subprocess.Popen((*KUBECTL, "get", "--raw", path), stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def of(self, service: str, *, until_at: float = math.inf, from_at: float = 0.0) -> list[PodLife]:
        """Pods of a service that were there at some time between."""
        lives = [life for life in list(self.lives.values()) if life.service == service]
        return [life for life in lives if life.created_at < until_at and not life.gone_at < from_at]

    def live(self) -> int:
        """Pods that are there now and nobody asked to end."""
        return sum(math.isnan(life.gone_at) and math.isnan(life.asked_to_end_at) for life in list(self.lives.values()))

    def wait_for_zero(self, service: str) -> None:
        """Return when every pod of a service is gone."""
        until_at = time.time() + PATIENCE_S
        while any(math.isnan(life.gone_at) for life in self.of(service)):
            if time.time() > until_at:
                raise SystemExit(f"bench: {service} still has pods after {PATIENCE_S:.0f} s")
            time.sleep(0.5)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            event = json.loads(line)
            self._note(event["type"], event["object"], time.time())

    def _note(self, kind: str, pod: dict[str, Any], now: float) -> None:
        metadata = pod["metadata"]
        service = (metadata.get("labels") or {}).get(SERVICE_LABEL, "")
        life = self.lives.setdefault(metadata["uid"], PodLife(metadata["name"], service, now))
        conditions = pod["status"].get("conditions") or []
        if math.isnan(life.ready_at) and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            life.ready_at = now
        if math.isnan(life.asked_to_end_at) and "deletionTimestamp" in metadata:
            life.asked_to_end_at = now
        if kind == "DELETED":
            life.gone_at = now


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """What a run was, as measured."""

    text_id: list[int]
    zero_at: float
    load: dict[str, Any]


def send(
    service: str, namespace: str, folder: Path, *, arrivals: dict[str, Any], seed: int, duration_s: float, texts: Path
) -> ClusterRun:
    """Send a schedule through the gateway by `python -m loadtest` and read back what each request met."""
    host = f"{service}.{namespace}.{DOMAIN}"
    flags = (
        f"--host=http://{host}:{PORT}",
        f"--arrivals={json.dumps(arrivals)}",
        f"--seed={seed}",
        f"--duration={duration_s:g}",
        f"--payloads={texts}",
        f"--out={folder}",
        "--timeout-s=60",
        "--overwrite",
        "--json",
    )
    with tempfile.NamedTemporaryFile("w", suffix=".hosts") as hosts:
        hosts.write(f"127.0.0.1 localhost {host}\n")
        hosts.flush()
        # No DNS knows the name in here, and the gateway tells services apart by it.
        script = 'mount --bind "$1" /etc/hosts; shift; exec "$@"'
        command = ("unshare", "--mount", "sh", "-c", script, "sh", hosts.name)
        command += (sys.executable, "-m", "loadtest", *flags)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not (folder / "requests.csv").exists():
        raise SystemExit(f"bench: the load generator said: {done.stderr.strip()[-800:]}")
    rows = (folder / "schedule.csv").read_text().splitlines()[1:]
    text_id = [int(row.rsplit(",", 1)[1]) for row in rows]
    load = json.loads((folder / "load.json").read_text())
    return ClusterRun(text_id, load["started_at"], load)
