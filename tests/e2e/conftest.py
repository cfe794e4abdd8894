"""What every test on the cluster shares: a namespace, kubectl and helm, the operator, calls through the gateway."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("disrupts") is not None)


ROOT = Path(__file__).parents[2]
HOME = Path(os.environ.get("TIDEGATE_CLUSTER_HOME") or Path.home() / ".cache" / "tidegate" / "cluster")
KUBECONFIG = HOME / "run" / "admin.kubeconfig"
AUDIT = HOME / "run" / "audit.log"
GATEWAY = ("127.0.0.1", 31080)
DOMAIN = "127.0.0.1.sslip.io"
PATIENCE_S = 120.0
EXAMPLES = ROOT / "docs" / "examples"
CHARTS = ROOT / "charts"


def run(program: str, *arguments: str, check: bool = True, text: str | None = None) -> str:
    done = subprocess.run(
        [str(HOME / "bin" / program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_S,
        input=text,
        env=os.environ | {"KUBECONFIG": str(KUBECONFIG)},
    )
    assert not check or done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_until(what: str, condition, patience_s: float = PATIENCE_S, every_s: float = 0.5):
    """What the condition returns once it is true; it may also raise while it is not."""
    end_s = time.monotonic() + patience_s
    seen: object = None
    while time.monotonic() < end_s:
        try:
            found = condition()
        except (AssertionError, LookupError, OSError) as error:
            found, seen = None, error
        if found:
            return found
        time.sleep(every_s)
    raise AssertionError(f"{what}: not within {patience_s:.0f} s; last seen: {seen}")


@dataclass(frozen=True)
class Namespace:
    """One test's part of the cluster."""

    name: str

    def kubectl(self, *arguments: str, check: bool = True, text: str | None = None) -> str:
        return run("kubectl", "-n", self.name, *arguments, check=check, text=text)

    def helm(self, *arguments: str, check: bool = True) -> str:
        return run("helm", "-n", self.name, *arguments, check=check)

    def get(self, *arguments: str) -> dict:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, example: str) -> None:
        self.kubectl("apply", "-f", str(EXAMPLES / example))

    def put(self, *documents: dict) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.kubectl("apply", "-f", "-", text=json.dumps(items))

    def wait(self, what: str, condition: str = "Ready") -> None:
        self.kubectl("wait", f"--for=condition={condition}", what, f"--timeout={PATIENCE_S:.0f}s")

    def install(self, name: str, values: dict, *, platform: str = "knative") -> None:
        """A model by its chart, from the demo's image; ready when this returns."""
        self.trust_operator()
        image = {"repository": "dev.local/tidegate-demo", "tag": "1"}
        self.install_chart(name, "inference-service", {"platform": platform, "image": image, **values})
        self.wait(f"ksvc/{name}" if platform == "knative" else f"inferenceservice/{name}")

    def install_chart(self, release: str, chart: str, values: dict) -> str:
        """Install or upgrade one of our charts; returns what helm says, its notes among it."""
        arguments = ("-n", self.name, "upgrade", "--install", release, str(CHARTS / chart), "-f", "-")
        return run("helm", *arguments, text=json.dumps(values))

    def trust_operator(self) -> None:
        """Put the link's certificate here first: a pod that is quicker than the operator gets it a minute later."""
        words = ("-n", "tidegate", "get", "secret", "tidegate-ca", "--ignore-not-found", "-o", "json")
        secret = run("kubectl", *words)
        if secret:
            text = base64.b64decode(json.loads(secret)["data"]["ca.crt"]).decode()
            metadata = {"name": "tidegate-ca", "namespace": self.name}
            self.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": text}})

    def load(self, name: str, service: str, *, rates: tuple[float, float], seconds: int, wait: bool = True) -> None:
        """A load Job at a bursty rate; with `wait`, until it has ended well."""
        job = (EXAMPLES / "load-job.yaml").read_text()
        arrivals = {"kind": "mmpp", "rates_rps": list(rates), "switching_per_s": [[0, 0.5], [1, 0]]}
        job = job.replace("name: load\n", f"name: {name}\n", 1).replace("http://distilbert.", f"http://{service}.")
        lines = [
            f"            - '--arrivals={json.dumps(arrivals)}'" if "--arrivals=" in line else line
            for line in job.replace("--duration=20", f"--duration={seconds}").splitlines()
        ]
        self.kubectl("apply", "-f", "-", text="\n".join(lines))
        if wait:
            self.figures(name)

    def figures(self, job: str) -> dict:
        """What a load Job measured, once it has ended; one that was late on a busy machine is fine here."""

        def ended():
            conditions = self.get("job", job)["status"].get("conditions") or []
            return [each for each in conditions if each["type"] in ("Complete", "Failed") and each["status"] == "True"]

        wait_until(f"the end of job {job}", ended, 2 * PATIENCE_S)
        # Its words on stderr may come after the figures.
        lines = self.kubectl("logs", f"job/{job}").splitlines()
        found = json.loads(next(line for line in reversed(lines) if line.startswith("{")))
        assert found["valid"] or "late" in found["why"], found["why"]
        return found

    def pods(self, *labels: str) -> list[str]:
        listed = self.get("pods", *labels)["items"]
        return [pod["metadata"]["name"] for pod in listed if "deletionTimestamp" not in pod["metadata"]]

    def wait_for_pods(self, count: int, *labels: str) -> None:
        wait_until(f"{count} pods", lambda: len(self.pods(*labels)) == count)

    def revisions(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.get("revisions")["items"]]

    def warm(self, revision: str) -> dict[str, str]:
        """Autoscaling annotations of a revision."""
        annotations = self.get("revision", revision)["metadata"].get("annotations") or {}
        return {name: each for name, each in annotations.items() if name.startswith("autoscaling.knative.dev/")}

    def status(self, tuning: str) -> dict:
        return self.get("inferencetuning", tuning).get("status") or {}

    def condition(self, tuning: str, kind: str) -> dict:
        found = [each for each in self.status(tuning).get("conditions") or [] if each["type"] == kind]
        if not found:
            raise LookupError(f"{tuning} has no condition {kind} yet")  # which a wait takes for "not now"
        return found[0]

    def events(self, reason: str) -> list[str]:
        return [each["message"] for each in self.get("events")["items"] if each["reason"] == reason]

    def request(self, service: str, method: str, path: str, document: object = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*GATEWAY, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            headers = {"Host": f"{service}.{self.name}.{DOMAIN}", "Content-Type": "application/json"}
            connection.request(method, path, None if document is None else json.dumps(document), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def ask(self, service: str, path: str, document: object) -> dict:
        """Answer of one POST through the gateway, as a client outside sees it."""
        status, text = self.request(service, "POST", path, document)
        assert status == 200, f"{status}: {text}"
        return json.loads(text)


@contextlib.contextmanager
def temporary_namespace(session: pytest.Session) -> Generator[Namespace]:
    made = Namespace(f"e2e-{uuid.uuid4().hex[:8]}")
    run("kubectl", "create", "namespace", made.name)
    failed = session.testsfailed
    yield made
    if session.testsfailed > failed:
        for words in (
            ("get", "all"),
            ("get", "inferencetunings,sweeps,sweeptrials", "-o", "yaml"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", "--all-containers", "--prefix", "-l", "serving.knative.dev/service", "--tail=40"),
        ):
            sys.stdout.write(f"--- kubectl {' '.join(words)}\n{made.kubectl(*words, check=False)}\n")
        every = ("logs", "--prefix", "-l", "app.kubernetes.io/name=tidegate-controller", "--tail=60")
        log = run("kubectl", "-n", "tidegate", *every, check=False)
        sys.stdout.write(f"--- operator\n{log}\n")
    # What holds a finalizer must go while the operator is there to clear it.
    made.kubectl("delete", "inferencetunings,sweeps", "--all", f"--timeout={PATIENCE_S:.0f}s", check=False)
    made.kubectl("delete", "namespace", made.name, "--wait=false", check=False)


@pytest.fixture
def namespace(request):
    """A namespace that is removed at the end; a failed test prints its events and logs first."""
    with temporary_namespace(request.session) as made:
        yield made


@pytest.fixture
def other(request):
    """A second one."""
    with temporary_namespace(request.session) as made:
        yield made


@pytest.fixture
def until():
    """Wait for a condition: `until("what", condition, patience_s)`; its value is returned."""
    return wait_until


@dataclass(frozen=True)
class Gateway:
    """Where clients outside the cluster send requests."""

    url: str = f"http://{GATEWAY[0]}:{GATEWAY[1]}"
    domain: str = DOMAIN


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


class Operator(Namespace):
    """The namespace of the operator."""

    def asked(self) -> list[dict]:
        """What the API server has answered to the operator's account, oldest first."""
        entries = [json.loads(line) for line in AUDIT.read_text().splitlines()]
        account = f"system:serviceaccount:{self.name}:tidegate-controller"
        return [each for each in entries if each["user"]["username"] == account]

    def rights(self) -> set[tuple[str, str, str]]:
        """Group, resource and verb of all that its roles grant."""
        label = ("-l", "app.kubernetes.io/name=tidegate-controller")
        roles = [role for kind in ("clusterrole", "role") for role in self.get(kind, *label)["items"]]
        return {
            (group, resource, verb)
            for role in roles
            if role["metadata"]["name"].startswith("tidegate-controller")
            for rule in role["rules"]
            for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"])
        }

    def upgrade(self, *more: str) -> None:
        values = str(CHARTS / "tidegate" / "ci" / "operator-values.yaml")
        chart = ("tidegate", str(CHARTS / "tidegate"), "-f", values)
        self.helm("upgrade", "--install", *chart, "--create-namespace", "--wait", "--timeout=120s", *more)


@pytest.fixture(scope="session")
def operator():
    """The operator, installed by its chart as a user does, for all namespaces."""
    made = Operator("tidegate")
    made.upgrade()
    yield made
    made.helm("uninstall", "tidegate", "--wait", "--timeout=300s", check=False)
    run("kubectl", "delete", "namespace", made.name, "--wait=false", check=False)
