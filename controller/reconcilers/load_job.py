"""The load Job of a trial: its document, and what became of it (pure)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from controller.platforms.watched import seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.domain.slo import LatencySlo
    from controller.sweeps.sweep_document import Workload

TO_START_S = 60.0
"""How long a load pod may take to run: an image that must be pulled takes most of it."""
ANSWERS_S = 30.0
"""The generator waits this long for the last answers."""
KEPT_S = 3600
"""How long a Job that ended stays to be looked at."""
HOPELESS = ("InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
"""Reasons of a waiting container that time does not cure."""
LATE_GENERATOR = 4
JOB_LABEL = "batch.kubernetes.io/job-name"


@dataclass(frozen=True, slots=True)
class LoadTask:
    """What one load Job sends, and where to.

    Attributes:
        image: of the load generator.
        host: base URL of the service.
        model_name: in the URLs of its protocol.
        workload: of the Sweep.
        slo: that its figures are judged by.
    """

    image: str
    host: str
    model_name: str
    workload: Workload
    slo: LatencySlo

    @property
    def deadline_s(self) -> int:
        """Seconds after which a Job is ended, whatever it does."""
        return round(TO_START_S + self.workload.duration_s + 2 * ANSWERS_S)


def job_document(task: LoadTask, *, name: str, labels: Mapping[str, str], owner: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Job.

    Args:
        task: what it does.
        name: of the Job.
        labels: of the Job and its pod.
        owner: reference to the SweepTrial.
    """
    workload = task.workload
    arguments = [
        f"--host={task.host}",
        f"--arrivals={json.dumps(workload.arrivals, separators=(',', ':'))}",
        f"--seed={workload.seed}",
        f"--duration={workload.duration_s:.6f}",
        f"--payloads={workload.payloads}",
        f"--protocol={workload.protocol}",
        f"--model-name={task.model_name}",
        f"--slo-quantile={task.slo.quantile:.9g}",
        f"--slo-s={task.slo.bound_s:.9g}",
        f"--timeout-s={ANSWERS_S:g}",
        "--out=/results/run",
        "--json",
    ]
    container = {
        "name": "load",
        "image": task.image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "volumeMounts": [{"name": "results", "mountPath": "/results"}],
        "resources": {"requests": {"cpu": "200m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container],
        "volumes": [{"name": "results", "emptyDir": {}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": dict(labels), "ownerReferences": [dict(owner)]},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": task.deadline_s,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
        },
    }


@dataclass(frozen=True, slots=True)
class JobSeen:
    """How a load Job stands.

    Attributes:
        phase: waiting: nothing runs yet; running; ended: its pod has an exit code; broken: it has come to nothing.
        why: of a broken one; of an ended one the kubelet's word for it, such as OOMKilled.
        pod: whose log is to be read, once there is one.
        exit_code: of an ended one.
    """

    phase: Literal["waiting", "running", "ended", "broken"]
    why: str = ""
    pod: str = ""
    exit_code: int = 0


def look_at_job(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], *, now_s: float) -> JobSeen:
    """Return how a Job stands, by its document and those of its pods.

    Args:
        job: the Job.
        pods: that it made.
        now_s: wall clock.
    """
    pod = max(pods, key=lambda each: each["metadata"]["creationTimestamp"], default=None)
    status = (pod or {}).get("status") or {}
    name = "" if pod is None else pod["metadata"]["name"]
    state = next(iter(status.get("containerStatuses") or []), {}).get("state") or {}
    if "terminated" in state:
        ended = state["terminated"]
        return JobSeen("ended", str(ended.get("reason") or ""), name, int(ended.get("exitCode", 1)))
    failed = next((each for each in _conditions(job) if each["type"] == "Failed" and each["status"] == "True"), None)
    if failed is not None:
        return JobSeen("broken", _why_failed(failed), name)
    if status.get("phase") == "Failed":
        return JobSeen("broken", f"its pod failed: {status.get('message') or status.get('reason') or 'unknown'}", name)
    if "running" in state:
        return JobSeen("running", pod=name)
    waited_s = now_s - seconds_of(job["metadata"]["creationTimestamp"])
    waiting = state.get("waiting") or {}
    if waited_s < TO_START_S and waiting.get("reason") not in HOPELESS:
        return JobSeen("waiting", pod=name)
    return JobSeen("broken", _why_waiting(pod, status, waiting, waited_s), name)


def _why_failed(condition: Mapping[str, Any]) -> str:
    if condition.get("reason") == "DeadlineExceeded":
        return "its Job did not end in time (activeDeadlineSeconds): the service hangs, or the node is busy"
    return f"its Job failed: {condition.get('message') or condition.get('reason')}"


def _why_waiting(
    pod: Mapping[str, Any] | None, status: Mapping[str, Any], waiting: Mapping[str, Any], waited_s: float
) -> str:
    if pod is None:
        return f"its Job made no pod within {waited_s:.0f} s; a quota or a policy of the namespace may forbid it"
    if waiting:
        said = ": ".join(str(waiting[each]) for each in ("reason", "message") if waiting.get(each))
        return f"its load pod does not start: {said}"
    unscheduled = next((each for each in _conditions(pod) if each.get("reason") == "Unschedulable"), None)
    if unscheduled is not None:
        return f"no node takes its load pod: {unscheduled.get('message') or 'unschedulable'}"
    return f"its load pod did not start within {waited_s:.0f} s (phase {status.get('phase') or 'unknown'})"


def _conditions(document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (document.get("status") or {}).get("conditions") or []


def load_document_of(log: str) -> dict[str, Any] | None:
    """Return load.json, the last line of a log that begins with a brace; None where there is none."""
    line = next((each for each in reversed(log.splitlines()) if each.startswith("{")), "")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "classes" in found else None


def last_words(log: str, *, most: int = 600) -> str:
    """Return the end of a log in one line, for a person."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("{")]
    return " / ".join(lines[-4:])[-most:] or "its log is empty"
