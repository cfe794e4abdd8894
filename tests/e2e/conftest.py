"""What every test on the cluster shares: a namespace of its own, kubectl, and calls through the gateway."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

HOME = Path(os.environ.get("TIDEGATE_CLUSTER_HOME") or Path.home() / ".cache" / "tidegate" / "cluster")
KUBECTL = [str(HOME / "bin" / "kubectl"), f"--kubeconfig={HOME / 'run' / 'admin.kubeconfig'}"]
GATEWAY = ("127.0.0.1", 31080)
DOMAIN = "127.0.0.1.sslip.io"
PATIENCE_S = 120.0
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@dataclass(frozen=True)
class Namespace:
    """One test's part of the cluster."""

    name: str

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [*KUBECTL, "-n", self.name, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, example: str) -> None:
        self.kubectl("apply", "-f", str(EXAMPLES / example))

    def wait(self, what: str, condition: str = "Ready") -> None:
        self.kubectl("wait", f"--for=condition={condition}", what, f"--timeout={PATIENCE_S:.0f}s")

    def pods(self) -> list[str]:
        listed = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        return [pod["metadata"]["name"] for pod in listed if "deletionTimestamp" not in pod["metadata"]]

    def wait_for_pods(self, count: int) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while len(pods := self.pods()) != count:
            assert time.monotonic() < until_s, f"{count} pods wanted, there are {pods}"
            time.sleep(0.5)

    def ask(self, service: str, path: str, document: object) -> dict:
        """Answer of one POST through the gateway, as a client outside sees it."""
        connection = http.client.HTTPConnection(*GATEWAY, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            host = f"{service}.{self.name}.{DOMAIN}"
            connection.request("POST", path, json.dumps(document), {"Host": host, "Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, f"{answer.status}: {text}"
            return json.loads(text)


@pytest.fixture
def namespace(request):
    """A namespace that is removed at the end; a failed test prints its events and logs first."""
    made = Namespace(f"e2e-{uuid.uuid4().hex[:8]}")
    subprocess.run([*KUBECTL, "create", "namespace", made.name], check=True, capture_output=True, timeout=PATIENCE_S)
    failed = request.session.testsfailed
    yield made
    if request.session.testsfailed > failed:
        for words in (
            ("get", "all"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", "--all-containers", "--prefix", "-l", "serving.knative.dev/service", "--tail=40"),
        ):
            sys.stdout.write(f"--- kubectl {' '.join(words)}\n{made.kubectl(*words, check=False)}\n")
    made.kubectl("delete", "namespace", made.name, "--wait=false", check=False)
