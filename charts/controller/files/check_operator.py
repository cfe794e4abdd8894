"""helm test: are the resource definitions served, and is the operator ready? The argument is its address."""

import json
import ssl
import sys
import time
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
WANTED = {"inferencetunings", "sweeps", "sweeptrials"}
PATIENCE_S = 60.0


def served_resources() -> set[str]:
    """Names of the resources that the API server has under tidegate.dev/v1alpha1."""
    request = urllib.request.Request(
        "https://kubernetes.default.svc/apis/tidegate.dev/v1alpha1",
        headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"},
    )
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trusted) as answer:  # noqa: S310  https
        return {each["name"] for each in json.load(answer)["resources"]}


def wait_until_ready(address: str) -> None:
    """Return when the operator says that it is ready; the last refusal is raised."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310  the chart gives it
                return
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(1)


missing = WANTED - served_resources()
if missing:
    sys.exit(f"the API server does not serve {', '.join(sorted(missing))}; install charts/tidegate, which brings them")
wait_until_ready(sys.argv[1])
print("resource definitions are served, the operator is ready")  # noqa: T201  the outcome of the test
