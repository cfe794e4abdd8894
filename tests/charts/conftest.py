"""Charts as Helm renders them, without a cluster: one call of helm for each set of values, kept for all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

CHARTS = Path(__file__).parents[2] / "charts"
HOME = Path(os.environ.get("TIDEGATE_CLUSTER_HOME") or Path.home() / ".cache" / "tidegate" / "cluster")
KUBERNETES = "1.34.4"


@dataclass(frozen=True)
class Helm:
    """The program, and what it has answered so far."""

    program: str
    answers: dict[tuple[str, ...], subprocess.CompletedProcess] = field(default_factory=dict)

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        if arguments not in self.answers:
            self.answers[arguments] = subprocess.run(
                [self.program, *arguments], capture_output=True, text=True, check=False, timeout=60
            )
        return self.answers[arguments]

    def render(self, chart: str | Path, *flags: str, values: Path | None = None, namespace: str = "home") -> list[dict]:
        """Objects of a chart; `flags` are those of --set-json, a path and its JSON."""
        done = self._template(chart, flags, values, namespace)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    def refusal(self, chart: str, *flags: str) -> str:
        """What Helm says of values that it must not take."""
        done = self._template(chart, flags, None, "home")
        assert done.returncode != 0, done.stdout
        return done.stderr

    def _template(self, chart, flags, values, namespace):
        words = ["template", "try", str(CHARTS / chart), f"--kube-version={KUBERNETES}", f"--namespace={namespace}"]
        words += [f"--values={values}"] if values else []
        return self.run(*words, *(f"--set-json={flag}" for flag in flags))


@pytest.fixture(scope="session")
def helm():
    own = HOME / "bin" / "helm"
    return Helm(str(own) if own.exists() else shutil.which("helm") or "helm")


@pytest.fixture(scope="session")
def cluster_home():
    """Folder with the programs and the access of the test cluster."""
    return HOME


@pytest.fixture(scope="session")
def kubectl(cluster_home):
    """Run kubectl as the administrator of the test cluster."""
    program = [cluster_home / "bin" / "kubectl", f"--kubeconfig={cluster_home / 'run' / 'admin.kubeconfig'}"]

    def run(*words, given=""):
        inside = ["nsenter", "--net=/run/netns/tidegate-node", *program, *words]
        return subprocess.run(inside, input=given, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.fixture
def only():
    """The one object of a kind among those that a chart renders."""

    def choose(documents: list[dict], kind: str, name: str | None = None) -> dict:
        found = [each for each in documents if each["kind"] == kind and name in (None, each["metadata"]["name"])]
        assert len(found) == 1, [(each["kind"], each["metadata"]["name"]) for each in documents]
        return found[0]

    return choose


def pytest_generate_tests(metafunc):
    """`case` is each values file of each chart, with the chart."""
    if "case" in metafunc.fixturenames:
        files = sorted([*CHARTS.glob("*/ci/*-values.yaml"), CHARTS / "tidegate" / "values-cloud.yaml"])
        cases = [(path.relative_to(CHARTS).parts[0], path) for path in files]
        metafunc.parametrize("case", cases, ids=[f"{chart}-{path.stem}" for chart, path in cases])
