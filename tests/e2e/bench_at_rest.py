"""Memory and CPU of the operator at rest, before and beside thousands of objects; nothing is asserted.

    python tests/e2e/bench_at_rest.py --pods 1000 --configmaps 2000 --tunings 100

The operator runs in the cluster already. Pods carry Knative's label and fit no node, tunings point at nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(os.environ.get("TIDEGATE_CLUSTER_HOME") or Path.home() / ".cache" / "tidegate" / "cluster")
KUBECTL = (str(HOME / "bin" / "kubectl"), f"--kubeconfig={HOME / 'run' / 'admin.kubeconfig'}")
NAMESPACE = "crowd"
SETTLED_S = 30.0
"""After so long the cluster has told of what was made."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def kubectl(*words: str, text: str | None = None, check: bool = True) -> str:
    done = subprocess.run([*KUBECTL, *words], capture_output=True, text=True, check=False, timeout=900, input=text)
    if check and done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def processes() -> list[int]:
    """The operator and its children."""
    found = subprocess.run(
        ["pgrep", "-f", "python -m controller operator"], capture_output=True, text=True, check=False
    )
    roots = [int(each) for each in found.stdout.split()]
    if not roots:
        raise SystemExit("no operator runs on this node; install it: helm install tidegate charts/tidegate")
    children = subprocess.run(
        ["pgrep", "-P", ",".join(map(str, roots))], capture_output=True, text=True, check=False
    ).stdout.split()
    return sorted({*roots, *map(int, children)})


def memory_mb(pids: list[int]) -> float:
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(text.partition("\nPss:")[2].split()[0]) for text in texts) / 1024


def cpu_s(pids: list[int]) -> float:
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS_PER_S


def report(what: str, seconds: float) -> None:
    time.sleep(SETTLED_S)
    pids = processes()
    began_s, before = time.monotonic(), cpu_s(pids)
    time.sleep(seconds)
    share = (cpu_s(pids) - before) / (time.monotonic() - began_s)
    sys.stdout.write(f"{what:40s} {memory_mb(pids):6.0f} MB   {100 * share:5.2f} % of a core\n")
    sys.stdout.flush()


def pod(number: int) -> dict[str, Any]:
    labels = {"serving.knative.dev/service": f"s{number % 50}", "serving.knative.dev/revision": f"s{number % 50}-00001"}
    container = {"name": "user-container", "image": "dev.local/none:1"}
    spec = {"containers": [container], "nodeSelector": {"there": "is-none"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}", "labels": labels}, "spec": spec}


def config_map(number: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}"}, "data": {"a": "b" * 1000}}


def tuning(number: int) -> dict[str, Any]:
    target = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": f"none-{number}"}
    spec = {"targetRef": target, "objective": {"slo": {"quantile": "0.95", "latency": "500ms"}}}
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceTuning",
        "metadata": {"name": f"t{number}"},
        "spec": spec,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--configmaps", type=int, default=2000)
    parser.add_argument("--tunings", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each measurement (60)")
    asked = parser.parse_args()
    report("operator alone", asked.seconds)
    kubectl("create", "namespace", NAMESPACE, check=False)
    try:
        for what, make, count in (
            ("ConfigMaps", config_map, asked.configmaps),
            ("pods of Knative", pod, asked.pods),
            ("tunings of nothing", tuning, asked.tunings),
        ):
            for first in range(0, count, 500):
                items = [make(number) for number in range(first, min(count, first + 500))]
                listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
                kubectl("-n", NAMESPACE, "create", "-f", "-", text=listed)
            report(f"and {count} {what}", asked.seconds)
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false", check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
