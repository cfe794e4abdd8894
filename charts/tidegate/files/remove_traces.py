"""After an uninstall: remove what the operator made beside the release. Arguments: its namespace, those it served.

That is the link's authority (a Secret), its public part (a ConfigMap in each served namespace; no namespace named: in
all of them) and the Lease. It runs when the operator is gone, which would make them anew.
"""

from __future__ import annotations

import json
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "https://kubernetes.default.svc"
AUTHORITY, LEASE = "tidegate-ca", "tidegate-controller"


def call(method: str, path: str) -> dict:
    """Return the API server's answer; what is not there is an empty one."""
    request = urllib.request.Request(  # noqa: S310  https
        API + path, method=method, headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    )
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    try:
        with urllib.request.urlopen(request, timeout=20, context=trusted) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return {}
        sys.exit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}")


def holders() -> list[str]:
    """Every namespace that has the public part."""
    found = call("GET", f"/api/v1/configmaps?fieldSelector=metadata.name={AUTHORITY}")
    return [each["metadata"]["namespace"] for each in found.get("items", [])]


own, *served = sys.argv[1:]
paths = [f"/api/v1/namespaces/{each}/configmaps/{AUTHORITY}" for each in served or holders()]
paths.append(f"/api/v1/namespaces/{own}/secrets/{AUTHORITY}")
paths.append(f"/apis/coordination.k8s.io/v1/namespaces/{own}/leases/{LEASE}")
for each in paths:
    if call("DELETE", each):
        print(f"removed {each}")  # noqa: T201  the Job's log
