"""Bursts on the cluster: two equal services at once, one tuned in Apply, one with Knative's autoscaler alone.

Both serve the fake runtime, which sleeps, and are sent the same schedule at the same time. Printed per repeat and as
medians: seconds from the begin of each burst until ready pods x capacity cover its rate, pod-seconds above what
Little's law needs, late answers. Nothing is asserted: other work shares the cores. Run it with KUBECONFIG set, where
the node's network is:

    python tests/e2e/bench_bursts.py --repeats 5 --window 60s
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from controller import cli
from controller.domain.arrival_process import read_arrivals, sample_arrivals
from controller.platforms.cluster_client import ClusterCallError, connect
from controller.reconcilers import run

NAMESPACE = "bursts"
GATEWAY = "http://127.0.0.1:31080"
DOMAIN = "127.0.0.1.sslip.io"
SCHEDULE = Path(__file__).parent / "bursts-on-a-cluster.json"
FIXED_S, BATCH, TARGET = 0.5, 4, 8
CAPACITY_RPS = BATCH / FIXED_S
MOST_PODS = 20
LATE_S = 2.0
SAMPLE_S = 0.5
KSVC = "/apis/serving.knative.dev/v1/namespaces"
TUNINGS = "/apis/tidegate.dev/v1alpha1/namespaces"
TUNED, ALONE = "tuned", "alone"


def knative_service(name: str, namespace: str, window: str) -> dict[str, Any]:
    link = {
        "TIDEGATE_CONTROLLER_URL": f"https://tidegate-controller.{namespace}.svc:8443",
        "TIDEGATE_CONTROLLER_TOKEN_FILE": "/var/run/tidegate/token",
        "TIDEGATE_CONTROLLER_CA_FILE": "/var/run/tidegate/ca.crt",
        "TIDEGATE_HOT_SETTINGS_FILE": "/var/run/tidegate/hot-settings.json",
    }
    fake = {
        "TIDEGATE_MODEL": "fake",
        "TIDEGATE_FAKE_FIXED_S": str(FIXED_S),
        "TIDEGATE_FAKE_BUSY": "0",
        "TIDEGATE_MAX_BATCH_SIZE": str(BATCH),
    }
    environment = fake | (link if name == TUNED else {})
    sources = [
        {"serviceAccountToken": {"audience": "tidegate", "expirationSeconds": 600, "path": "token"}},
        {"configMap": {"name": "tidegate-ca", "optional": True, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    annotations = {
        "autoscaling.knative.dev/window": window,
        "autoscaling.knative.dev/target": str(TARGET),
        "autoscaling.knative.dev/min-scale": "1",
        "autoscaling.knative.dev/max-scale": str(MOST_PODS),
    }
    container = {
        "image": "dev.local/tidegate-demo:1",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready"}, "periodSeconds": 0},
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "volumeMounts": [{"name": "tidegate", "mountPath": "/var/run/tidegate"}],
        "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}},
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "metadata": {"annotations": annotations},
                "spec": {
                    "containers": [container],
                    "volumes": [{"name": "tidegate", "projected": {"sources": sources}}],
                },
            }
        },
    }


TUNING: dict[str, Any] = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "InferenceTuning",
    "metadata": {"name": TUNED},
    "spec": {
        "targetRef": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": TUNED},
        "objective": {"slo": {"quantile": "0.95", "latency": "5s"}},
        "mode": "Apply",
        # Only the scale moves: what is compared is how two ways of scaling meet the same burst with equal pods.
        "bounds": {
            "maxBatchSize": {"min": BATCH, "max": BATCH},
            "workers": {"min": 1, "max": 1},
            "maxQueueDelay": {"min": "0s", "max": "0s"},
            "target": {"min": str(TARGET), "max": str(TARGET)},
            "minScale": {"min": 1, "max": MOST_PODS},
            "maxScale": {"min": 1, "max": MOST_PODS},
        },
    },
}


def link_to_host(node: str, port: int) -> list[tuple[str, dict[str, Any]]]:
    """A Service without a selector, so that pods reach an operator that runs on the host."""
    name = "tidegate-controller"
    ports = [{"name": "link", "port": 8443, "targetPort": port}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports}}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-host", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [node]}],
        "ports": [{"name": "link", "port": port}],
    }
    return [("services", service), ("endpointslices", endpoints)]


async def ask(session: aiohttp.ClientSession, host: str, at_s: float, began_s: float, into: list[float]) -> None:
    body = {"instances": ["a wonderful film, warm and funny"]}
    try:
        async with session.post(f"{GATEWAY}/v1/models/distilbert:predict", json=body, headers={"Host": host}) as answer:
            await answer.read()
            into.append(time.monotonic() - began_s - at_s if answer.status == 200 else math.inf)
    except (aiohttp.ClientError, TimeoutError):
        into.append(math.inf)


async def load(names: list[str], namespace: str, instants: np.ndarray, began_s: float) -> dict[str, list[float]]:
    latencies: dict[str, list[float]] = {name: [] for name in names}
    timeout = aiohttp.ClientTimeout(total=30)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
        for at_s in instants.tolist():
            await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
            for name in names:
                host = f"{name}.{namespace}.{DOMAIN}"
                group.create_task(ask(session, host, at_s, began_s, latencies[name]))
    return latencies


async def sample(cluster: Any, namespace: str, began_s: float, rows: list[tuple[float, dict[str, tuple[int, int]]]]):
    path = f"/api/v1/namespaces/{namespace}/pods"
    while True:
        with contextlib.suppress(ClusterCallError):
            pods = await cluster.list(path)
            counted = {name: [0, 0] for name in (TUNED, ALONE)}
            for pod in pods:
                name = (pod["metadata"].get("labels") or {}).get("serving.knative.dev/service")
                if name not in counted or "deletionTimestamp" in pod["metadata"]:
                    continue
                conditions = pod["status"].get("conditions") or []
                counted[name][0] += 1
                counted[name][1] += any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            rows.append((time.monotonic() - began_s, {name: (a, b) for name, (a, b) in counted.items()}))
        await asyncio.sleep(SAMPLE_S)


def phases(document: dict[str, Any]) -> list[tuple[float, float, float]]:
    found, now_s = [], 0.0
    for each in document["phases"]:
        found.append((now_s, now_s + each["duration_s"], each["arrivals"]["rate_rps"]))
        now_s += each["duration_s"]
    return found


def need_of(rate_rps: float) -> int:
    return math.ceil(rate_rps / CAPACITY_RPS - 1e-9)


def figures(
    rows: list[Any], path: list[tuple[float, float, float]], name: str, latency_s: list[float]
) -> dict[str, Any]:
    at_s = np.array([row[0] for row in rows])
    paid = np.array([row[1][name][0] for row in rows])
    ready = np.array([row[1][name][1] for row in rows])
    need = np.zeros(at_s.size)
    for begin, end, rate in path:
        need[(at_s >= begin) & (at_s < end)] = need_of(rate)
    times = []
    for before, (begin, end, rate) in itertools.pairwise(path):
        if need_of(rate) > need_of(before[2]):
            inside = (at_s >= begin) & (at_s < end)
            enough = np.flatnonzero(ready[inside] >= need_of(rate))
            times.append(float(at_s[inside][enough[0]] - begin) if enough.size else end - begin)
    widths = np.diff(at_s, append=at_s[-1] + SAMPLE_S)
    inside = (at_s >= 0) & (at_s < path[-1][1])
    excess_s = float((np.maximum(0, paid - need) * widths)[inside].sum())
    late = float(np.mean(np.array(latency_s) > LATE_S))
    pods_s = float((paid * widths)[inside].sum())
    return {
        "times_s": [round(each, 1) for each in times],
        "excess_s": round(excess_s),
        "pods_s": round(pods_s),
        "peak": int(paid.max()),
        "late": round(late, 3),
        "p95_s": round(float(np.quantile(latency_s, 0.95, method="inverted_cdf")), 2),
    }


async def prepare(cluster: Any, namespace: str, window: str, node: str, port: int) -> None:
    core, discovery = f"/api/v1/namespaces/{namespace}", f"/apis/discovery.k8s.io/v1/namespaces/{namespace}"
    with contextlib.suppress(ClusterCallError):
        await cluster.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    for plural, document in link_to_host(node, port):
        with contextlib.suppress(ClusterCallError):
            await cluster.create(f"{core if plural == 'services' else discovery}/{plural}", document)
    for name in (TUNED, ALONE):
        await cluster.create(f"{KSVC}/{namespace}/services", knative_service(name, namespace, window))
    await cluster.create(f"{TUNINGS}/{namespace}/inferencetunings", TUNING)


async def wait_ready(cluster: Any, namespace: str) -> None:
    for name in (TUNED, ALONE):
        for _ in range(240):
            found = await cluster.get(f"{KSVC}/{namespace}/services/{name}")
            conditions = (found.get("status") or {}).get("conditions") or []
            if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
                break
            await asyncio.sleep(0.5)
        else:
            raise SystemExit(f"bench: service {name} did not become ready within 120 s")


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    cluster, namespace = connect(), options.namespace
    process, document = read_arrivals(options.schedule), json.loads(options.schedule.read_text())
    path = phases(document)
    await prepare(cluster, namespace, options.window, options.node, options.link_port)
    await wait_ready(cluster, namespace)
    await asyncio.sleep(5)
    # What a pod serves must be known before anything can be said by Little's law: some seconds of full batches.
    warm = np.sort(np.random.default_rng(1).random(60) * 5)
    await load([TUNED, ALONE], namespace, warm, time.monotonic())
    await asyncio.sleep(options.settle_s)
    found = []
    for repeat in range(options.repeats):
        rng = np.random.default_rng(options.seed + repeat)
        instants = sample_arrivals(process, duration_s=path[-1][1], rng=rng)
        rows: list[Any] = []
        began_s = time.monotonic() + 0.5
        sampler = asyncio.create_task(sample(cluster, namespace, began_s, rows))
        latencies = await load([TUNED, ALONE], namespace, instants, began_s)
        await asyncio.sleep(max(0.0, began_s + path[-1][1] - time.monotonic()))
        sampler.cancel()
        row = {name: figures(rows, path, name, latencies[name]) for name in (TUNED, ALONE)}
        found.append(row)
        sys.stdout.write(f"{options.window} repeat {repeat}: {json.dumps(row)}\n")
        sys.stdout.flush()
        if options.dump:
            Path(options.dump).with_suffix(f".{options.window}.{repeat}.json").write_text(json.dumps(rows))
    return found


def summary(found: list[dict[str, Any]], window: str) -> str:
    def median(name: str, key: str) -> float:
        return statistics.median(row[name][key] for row in found)

    times = {name: [each for row in found for each in row[name]["times_s"]] for name in (TUNED, ALONE)}
    saved = [1 - row[TUNED]["excess_s"] / row[ALONE]["excess_s"] for row in found]
    lines = [f"window {window}, {len(found)} repeats, {len(times[TUNED])} bursts"]
    for name in (TUNED, ALONE):
        took = f"{statistics.median(times[name]):.1f} s (mean {statistics.mean(times[name]):.1f})"
        rest = f"late {median(name, 'late'):.1%}, p95 {median(name, 'p95_s'):.2f} s"
        excess = f"excess {median(name, 'excess_s'):.0f} pod-seconds, peak {median(name, 'peak'):.0f}"
        lines.append(f"  {name:6s} sufficient after {took}, {excess}, {rest}")
    lines.append(f"  excess saved: median {statistics.median(saved):.0%}, from {min(saved):.0%} to {max(saved):.0%}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", default=NAMESPACE)
    parser.add_argument("--window", default="60s", help="Knative's stable window")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--settle-s", type=float, default=20.0)
    parser.add_argument("--schedule", type=Path, default=SCHEDULE)
    parser.add_argument("--node", default="10.250.0.1", help="address of the host, as pods reach it")
    parser.add_argument("--link-port", type=int, default=28443)
    parser.add_argument("--status-port", type=int, default=28081)
    parser.add_argument("--dump", help="write the samples of each repeat beside this path")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="where the operator's log goes")
    parser.add_argument("--operate", action="store_true", help="be the operator of a run")
    options = parser.parse_args()
    if options.operate:
        raise SystemExit(operate())
    environment = os.environ | {
        "TIDEGATE_NAMESPACE": options.namespace,
        "TIDEGATE_WATCH_NAMESPACES": options.namespace,
        "TIDEGATE_LINK_PORT": str(options.link_port),
        "TIDEGATE_STATUS_PORT": str(options.status_port),
    }
    asyncio.run(make_namespace(options.namespace))
    with options.log.open("w") as log:
        operator = subprocess.Popen([sys.executable, __file__, "--operate"], env=environment, stderr=log, stdout=log)
        try:
            found = asyncio.run(measure(options))
            sys.stdout.write(summary(found, options.window) + "\n")
        finally:
            asyncio.run(clear(options.namespace))
            operator.terminate()
            operator.wait(timeout=20)


def operate() -> int:
    """Be an operator that may not see the nodes, as in an installation for some namespaces.

    The runtime sleeps, so pods do not share the cores of this node; who knows of two cores plans for two busy pods.
    """
    look = run._look_at_cluster

    async def look_without_nodes(cluster: Any, facts: Any) -> None:
        await look(cluster, facts)
        facts.cores = math.inf

    run._look_at_cluster = look_without_nodes
    return cli.main(["operator"])


async def make_namespace(namespace: str) -> None:
    with contextlib.suppress(ClusterCallError):
        await connect().create("/api/v1/namespaces", {"metadata": {"name": namespace}})


async def clear(namespace: str) -> None:
    """Take the tuning back while its operator lives, then everything."""
    cluster = connect()
    with contextlib.suppress(ClusterCallError):
        await cluster.delete(f"{TUNINGS}/{namespace}/inferencetunings/{TUNED}")
        await asyncio.sleep(4)
    with contextlib.suppress(ClusterCallError):
        await cluster.delete(f"/api/v1/namespaces/{namespace}")


if __name__ == "__main__":
    main()
