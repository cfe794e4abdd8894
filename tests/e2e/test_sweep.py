"""Sweeps on a real cluster: trials and their figures, one that fails, the report, an end before the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.needs("cluster")

ROOT = Path(__file__).parents[2]
HOME = Path(os.environ.get("TIDEGATE_CLUSTER_HOME") or Path.home() / ".cache" / "tidegate" / "cluster")
EXAMPLES = ROOT / "docs" / "examples"
SWEEP = "batch-and-workers"
LONG_S = 330.0


def service_with(namespace, **environment):
    """The documented service, with more in its environment."""
    document = yaml.safe_load((EXAMPLES / "knative-service.yaml").read_text())
    container = document["spec"]["template"]["spec"]["containers"][0]
    container["env"] += [{"name": name, "value": value} for name, value in environment.items()]
    namespace.put(document)
    namespace.wait("ksvc/distilbert")


def sweep_with(namespace, **spec):
    """The documented sweep, with some of its spec replaced."""
    document = yaml.safe_load((EXAMPLES / "cluster-sweep.yaml").read_text())
    document["spec"] |= spec
    namespace.put(document)


def sweep(namespace):
    return namespace.get("sweep", SWEEP)


def trials(namespace):
    listed = namespace.get("sweeptrials")["items"]
    return sorted(listed, key=lambda each: each["spec"]["number"])


def phases(namespace):
    return [(each.get("status") or {}).get("phase") for each in trials(namespace)]


def report(namespace, folder):
    command = [sys.executable, "-m", "controller", "report", f"sweep/{SWEEP}", "-n", namespace.name, "--json"]
    done = subprocess.run(
        [*command, "--out", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
        env=os.environ | {"KUBECONFIG": str(HOME / "run" / "admin.kubeconfig")},
    )
    return json.loads(done.stdout)


def test_six_trials_of_which_one_fails_are_measured_explained_and_leave_the_service_as_it_was(
    operator, namespace, until, tmp_path
):
    service_with(namespace, TIDEGATE_WORKERS="5")
    before, warm = namespace.get("ksvc", "distilbert"), namespace.warm("distilbert-00001")
    sweep_with(namespace, parameters=[{"name": "workers", "values": [1, 2, 3, 4, 5, 6]}])
    until("the end of the sweep", lambda: sweep(namespace)["status"]["phase"] == "Complete", LONG_S)
    ended = trials(namespace)
    *measured, refused = ended
    assert refused["status"]["phase"] == "Failed"
    assert "it started 5" in refused["status"]["why"]
    # A node of two cores may make a generator late twice; the trial then says so and is not taken for a result.
    assert {each["status"]["phase"] for each in measured} <= {"Complete", "Invalid"}
    for each in measured:
        figures = each["status"]["figures"]
        assert figures["requests"] > 30
        assert float(figures["costPerMillionUsd"]) > 0
        assert 0 <= float(figures["attainment"]) <= 1
        assert figures["p95"].endswith("s")
    assert sweep(namespace)["status"]["best"]["name"].startswith(f"{SWEEP}-00")
    assert {"SweepStarted", "TrialFailed", "SweepComplete"} <= {
        each["reason"] for each in namespace.get("events")["items"]
    }
    # As it was: nothing of ours is left on the service or on the sweep.
    assert namespace.get("ksvc", "distilbert")["spec"] == before["spec"]
    assert namespace.warm("distilbert-00001") == warm
    assert namespace.revisions() == ["distilbert-00001"]
    assert not namespace.kubectl("get", "configmap", "tidegate-hot-distilbert", "--ignore-not-found")
    until("no finalizer", lambda: not sweep(namespace)["metadata"].get("finalizers"))
    written = report(namespace, tmp_path / "report")
    assert (written["kind"], written["trials"]) == ("sweep", 6)
    assert (tmp_path / "report" / "report.html").stat().st_size > 1000


def test_a_sweep_that_is_cancelled_or_deleted_puts_its_service_back(operator, namespace, until):
    service_with(namespace)
    values = [{"name": "containerConcurrency", "values": [4, 6, 8]}]
    sweep_with(namespace, parameters=values)
    until("a trial that runs", lambda: "Running" in phases(namespace))
    assert namespace.get("ksvc", "distilbert")["spec"]["template"]["spec"]["containerConcurrency"] == 4
    namespace.kubectl("patch", "sweep", SWEEP, "--type=merge", "-p", '{"spec": {"cancel": true}}')
    until("the end of the sweep", lambda: sweep(namespace)["status"]["phase"] == "Cancelled")
    assert namespace.get("ksvc", "distilbert")["spec"]["template"]["spec"]["containerConcurrency"] == 12
    assert [each["status"]["why"] for each in trials(namespace)] == ["cancelled"]
    assert not namespace.get("jobs")["items"]
    namespace.kubectl("delete", "sweep", SWEEP)
    sweep_with(namespace, parameters=values)
    until("a trial that runs", lambda: "Running" in phases(namespace))
    namespace.kubectl("delete", "sweep", SWEEP, "--timeout=100s")
    template = namespace.get("ksvc", "distilbert", "--show-managed-fields")
    assert template["spec"]["template"]["spec"]["containerConcurrency"] == 12
    assert "tidegate" not in {each["manager"] for each in template["metadata"]["managedFields"]}
    until("no trial and no Job", lambda: not trials(namespace) and not namespace.get("jobs")["items"])
