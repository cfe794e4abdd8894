"""From zero pods to the first right answer through the gateway, five times, and the median; nothing is asserted.

Run it on the test cluster, where the node's network is, on a quiet machine:

    python tests/e2e/bench_from_zero.py --repeats 5
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ.get("TIDEGATE_CLUSTER_HOME") or Path.home() / ".cache" / "tidegate" / "cluster")
KUBECTL = (str(HOME / "bin" / "kubectl"), f"--kubeconfig={HOME / 'run' / 'admin.kubeconfig'}", "-n", "from-zero")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "knative-service.yaml"
HOST = "distilbert.from-zero.127.0.0.1.sslip.io"


def kubectl(*words: str) -> str:
    return subprocess.run([*KUBECTL, *words], capture_output=True, text=True, check=True, timeout=180).stdout


def ask() -> float:
    """Seconds to a right answer."""
    began_s = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", 31080, timeout=60)
    body = json.dumps({"instances": ["a warm and wonderful film"]})
    connection.request(
        "POST", "/v1/models/distilbert:predict", body, {"Host": HOST, "Content-Type": "application/json"}
    )
    answer = json.loads(connection.getresponse().read())
    took_s = time.perf_counter() - began_s
    connection.close()
    if answer["predictions"][0]["label"] != "positive":
        raise SystemExit(f"a wrong answer: {answer}")
    return took_s


def stages() -> dict[str, float]:
    """Stages of the server's own start, from its log."""
    lines = kubectl(
        "logs", "-l", "serving.knative.dev/service=distilbert", "-c", "user-container", "--tail=20"
    ).splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return next(each["cold_start_s"] for each in reversed(events) if each["event"] == "ready")


def wait_for_zero() -> None:
    while json.loads(kubectl("get", "pods", "-o", "json"))["items"]:
        time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="answers from zero (5)")
    repeats = parser.parse_args().repeats
    subprocess.run([*KUBECTL[:2], "create", "namespace", "from-zero"], check=False, capture_output=True)
    try:
        kubectl("apply", "-f", str(EXAMPLE))
        kubectl("wait", "--for=condition=Ready", "ksvc/distilbert", "--timeout=120s")
        found: list[float] = []
        for number in range(repeats):
            wait_for_zero()
            found.append(ask())
            warm = statistics.median(ask() for _ in range(5))
            sys.stdout.write(
                f"{number + 1}: {found[-1]:.2f} s from zero, {1000 * warm:.0f} ms warm, server {stages()}\n"
            )
            sys.stdout.flush()
        sys.stdout.write(
            f"median {statistics.median(found):.2f} s of {repeats}, from {min(found):.2f} to {max(found):.2f}\n"
        )
    finally:
        subprocess.run(
            [*KUBECTL[:2], "delete", "namespace", "from-zero", "--wait=false"], check=False, capture_output=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
