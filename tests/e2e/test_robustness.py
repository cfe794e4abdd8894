"""What an operator must live through: an API server that is away, definitions that vanish, a second replica."""

import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest

pytestmark = pytest.mark.needs("cluster")

FAKE = {
    "model": {"path": "fake"},
    "server": {"maxBatchSize": 1, "env": {"TIDEGATE_FAKE_FIXED_S": "0.04"}},
    "containerConcurrency": 12,
    "autoscaling": {"window": "10s"},
    "tuning": {
        "enabled": True,
        "mode": "Apply",
        "objective": {"slo": {"latency": "300ms"}},
        "bounds": {"minScale": {"min": 1, "max": 1}, "maxScale": {"min": 1, "max": 1}},
    },
}
OUTAGE_S = 60


def generation(address):
    """Of the hot settings of a pod, asked without the gateway: Kourier does not outlive its API server."""
    with urllib.request.urlopen(f"http://{address}:8080/metrics", timeout=10) as answer:
        text = answer.read().decode()
    line = [each for each in text.splitlines() if each.startswith("tidegate_hot_settings_generation")][0]  # noqa: RUF015
    return float(line.rpartition(" ")[2])


def heard(namespace):
    return namespace.condition("fake", "MetricsAvailable")["reason"] == "HeartbeatsArrive"


@pytest.fixture
def api_server():
    """Process id of the test cluster's API server."""
    found = subprocess.run(["pgrep", "-x", "kube-apiserver"], capture_output=True, text=True, check=True).stdout.split()
    assert len(found) == 1, found
    return int(found[0])


@pytest.mark.disrupts
def test_all_that_was_ever_asked_for_is_granted_by_the_roles(operator, record_property):
    """After all others. What was refused was refused to an operator of other namespaces, or of a release that went."""
    asked = {(*of(each["objectRef"]), each["verb"]) for each in operator.asked() if "objectRef" in each}
    record_property("rights_never_used", sorted(operator.rights() - asked))
    assert ("serving.knative.dev", "revisions", "watch") in asked
    assert asked - operator.rights() == set()


def of(reference):
    """Group, and resource with its part."""
    parts = (reference["resource"], reference.get("subresource"))
    return reference.get("apiGroup", ""), "/".join(filter(None, parts))


@pytest.mark.disrupts
def test_an_outage_of_the_api_server_loses_neither_state_nor_answers(operator, namespace, until, api_server):
    namespace.install("fake", FAKE)
    namespace.load("load", "fake", rates=(4, 40), seconds=20)
    address = namespace.get("pods", "-l", "serving.knative.dev/service=fake")["items"][0]["status"]["podIP"]
    until("a hot change", lambda: generation(address) >= 1)
    until("heartbeats", lambda: heard(namespace))
    before, changes = generation(address), namespace.status("fake")["changes"]
    pods = [
        each["metadata"]["name"]
        for each in operator.get("pods", "-l", "app.kubernetes.io/name=tidegate-controller")["items"]
    ]
    os.kill(api_server, signal.SIGSTOP)
    try:
        until_s = time.monotonic() + OUTAGE_S
        while time.monotonic() < until_s:
            # The server does not notice; it keeps the settings that it has.
            assert generation(address) >= before
            time.sleep(5)
    finally:
        os.kill(api_server, signal.SIGCONT)
    until("the API server", lambda: namespace.get("inferencetuning", "fake"))
    until("heartbeats again", lambda: heard(namespace))
    until("readiness", lambda: namespace.condition("fake", "Ready")["status"] == "True")
    until(
        "the operator", lambda: operator.kubectl("rollout", "status", "deployment/tidegate-controller", "--timeout=60s")
    )
    assert namespace.status("fake")["changes"] >= changes
    assert generation(address) >= before
    after = operator.get("pods", "-l", "app.kubernetes.io/name=tidegate-controller")["items"]
    assert [each["metadata"]["name"] for each in after] == pods
    # Knative's, Kourier's and KServe's own controllers end when they lose their leases; the next test needs them.
    for each in ("knative-serving", "kourier-system", "kserve"):
        words = ("-n", each, "wait", "--for=condition=Available", "deployment", "--all", "--timeout=10s")
        until(each, lambda words=words: "condition met" in operator.kubectl(*words))
    # It still works: a change of the spec is seen.
    namespace.kubectl("patch", "inferencetuning", "fake", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    until("the suspension", lambda: namespace.condition("fake", "Ready")["reason"] == "Suspended")


def test_definitions_that_vanish_and_come_back_are_taken_up_again(operator, namespace, until):
    namespace.install("fake", FAKE)
    until("the tuning", lambda: namespace.condition("fake", "Ready")["status"] == "True")
    document = namespace.get("inferencetuning", "fake")
    document["metadata"] = {"name": "fake", "namespace": namespace.name}
    del document["status"]
    definition = json.loads(operator.kubectl("get", "crd", "inferencetunings.tidegate.dev", "-o", "json"))
    definition["metadata"] = {"name": definition["metadata"]["name"]}
    del definition["status"]
    operator.kubectl("delete", "crd", "inferencetunings.tidegate.dev", "--timeout=60s")
    assert namespace.ask("fake", "/v1/models/distilbert:predict", {"instances": ["still there"]})
    operator.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(definition))
    # `kubectl wait` fails where the definition has no conditions yet.
    until("the definition", lambda: namespace.put(document) is None)
    until("the tuning again", lambda: namespace.condition("fake", "Ready")["status"] == "True")


def test_a_second_replica_waits_and_takes_over(operator, until):
    label = ("-l", "app.kubernetes.io/name=tidegate-controller")

    def ready():
        found = {}
        for pod in operator.get("pods", *label)["items"]:
            states = {each["type"]: each["status"] for each in pod["status"].get("conditions") or []}
            if "deletionTimestamp" not in pod["metadata"]:
                found[pod["metadata"]["name"]] = states.get("Ready") == "True"
        return found

    first = next(iter(ready()))
    operator.kubectl("scale", "deployment/tidegate-controller", "--replicas=2")
    until("the second", lambda: len(ready()) == 2)
    second = next(name for name in ready() if name != first)
    until("its log", lambda: "this replica waits" in operator.kubectl("logs", second, check=False))
    assert ready() == {first: True, second: False}
    operator.kubectl("delete", "pod", first)

    def acting():
        return [name for name, is_ready in ready().items() if is_ready and name != first]

    # The second, or the one that replaces the first: whoever asks first when the Lease is let go.
    until("the take-over", lambda: len(acting()) == 1 and len(ready()) == 2)
    operator.kubectl("scale", "deployment/tidegate-controller", "--replicas=1")
    until("one replica", lambda: len(ready()) == 1)
