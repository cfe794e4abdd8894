"""`kind-config.yaml` and the guide beside it: kind itself reads them, up to the container that Docker would start."""

import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("kind")

ROOT = Path(__file__).parents[2]
WITHOUT_DOCKER = Path(__file__).parent / "without_docker"
CONFIG = ROOT / "kind-config.yaml"
GUIDE = (ROOT / "docs" / "on-a-cluster.md").read_text()
PATCHES = [shlex.split(line)[1:] for line in GUIDE.splitlines() if re.match(r"kubectl -n \S+ patch ", line)]


@dataclass(frozen=True)
class Kind:
    """The program, in a folder where a cluster of its user's is out of reach."""

    program: Path
    folder: Path

    def run(self, *words):
        """What kind says, and the words of the `docker run` that it came to, if it did."""
        runs = self.folder / "runs"
        home = {"HOME": str(self.folder), "KUBECONFIG": str(self.folder / "kubeconfig")}
        environment = {"PATH": str(WITHOUT_DOCKER), "RUNS": str(runs), **home}
        done = subprocess.run(
            [self.program, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stderr, runs.read_text().splitlines() if runs.exists() else []


@pytest.fixture
def kind(cluster_home, tmp_path):
    return Kind(cluster_home / "bin" / "kind", tmp_path)


@pytest.fixture
def node(kind):
    """Words of the `docker run` that the guide's first command ends in."""
    said, words = kind.run(*shlex.split(re.search(r"^kind (create .*)$", GUIDE, flags=re.MULTILINE)[1]))
    assert words, said
    return words


def test_one_container_is_the_whole_cluster(node):
    assert node.count("run") == 1
    assert "io.x-k8s.kind.role=control-plane" in node


def test_the_node_is_pinned_by_digest_and_as_new_as_the_test_cluster(node):
    modules = (ROOT / "tests" / "cluster" / "modules" / "kubernetes" / "go.mod").read_text()
    minor = re.search(r"k8s\.io/kubernetes v(1\.\d+)\.", modules)[1]
    assert re.fullmatch(rf"kindest/node:v{re.escape(minor)}\.\d+@sha256:[0-9a-f]{{64}}", node[-1])


def test_the_gateway_is_where_the_guide_calls_it(node):
    inside = re.search(r'"nodePort": (\d+)', GUIDE)[1]
    address, outside = re.search(r"curl -s http://\S+?\.([\d.]+)\.sslip\.io:(\d+)/", GUIDE).groups()
    assert f"--publish={address}:{outside}:{inside}/TCP" in node


def test_images_are_loaded_into_this_cluster(kind, node):
    command = re.search(r"kind (load docker-image .*?);", GUIDE)[1].replace("$image", "demo")
    said, _ = kind.run(*shlex.split(command))
    name = re.search(r'no nodes found for cluster "(.*)"', said)[1]
    assert f"io.x-k8s.kind.cluster={name}" in node


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("extraPortMappings", "extraPortMapping", "field extraPortMapping not found"),
        ("listenAddress", "listenAdress", "field listenAdress not found"),
        ("hostPort: 31080", "hostPort: 310800", "invalid port number: 310800"),
        ("role: control-plane", "role: control", '"control" is not a valid node role'),
        ("v1alpha4", "v1alpha5", "unknown apiVersion"),
    ],
)
def test_a_mistake_in_the_file_is_refused(kind, tmp_path, right, wrong, complaint):
    text = CONFIG.read_text()
    assert right in text
    (tmp_path / "wrong.yaml").write_text(text.replace(right, wrong))
    said, words = kind.run("create", "cluster", "--config", str(tmp_path / "wrong.yaml"))
    assert complaint in said
    assert not words


@pytest.mark.needs("cluster")
@pytest.mark.parametrize("words", PATCHES, ids=lambda words: words[4])
def test_the_guide_sets_what_the_test_cluster_has(kubectl, words):
    now = kubectl(*words[:2], "get", *words[3:5], "--output=json")
    then = kubectl(*words, "--dry-run=server", "--output=json")
    assert then.returncode == 0, then.stderr
    assert json.loads(then.stdout) | {"metadata": {}} == json.loads(now.stdout) | {"metadata": {}}
