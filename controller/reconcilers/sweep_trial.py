"""One SweepTrial at work: its target is set, its load Job made and waited for, its figures read and written.

What an operator that died has begun is taken up: a Job that is there is waited for, whoever made it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from controller.domain.prices import load_prices
from controller.errors import TemporaryError, TrialError
from controller.platforms.cluster_client import ConflictError, ForbiddenError, InvalidError, MissingError
from controller.platforms.owned import Owner
from controller.reconcilers.conditions import present_only, timestamp
from controller.reconcilers.load_job import (
    JOB_LABEL,
    JobSeen,
    LoadTask,
    job_document,
    last_words,
    load_document_of,
    look_at_job,
)
from controller.reconcilers.own_resource import OwnResource
from controller.reconcilers.resources import API_VERSION
from controller.reconcilers.sweep_pods import PodLives
from controller.reconcilers.sweep_status import ended_status, figures_of, outcome_of
from controller.sweeps.from_cluster import setting_of
from controller.sweeps.runner import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.platforms.cluster_client import Cluster
    from controller.reconcilers.sweep_target import SweepTarget
    from controller.sweeps.sweep_document import Sweep

POLL_S = 1.0
SENDS_AFTER_S = 8.0
"""A load generator that has run for so long sends, also to a service whose servers do not report."""
LOG_LINES = 50

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrialParts:
    """What every trial of one Sweep works with.

    Attributes:
        cluster: for calls.
        sweep: whose workload is sent.
        image: of the load generator.
        wall: the wall clock.
    """

    cluster: Cluster
    sweep: Sweep
    image: str
    wall: Callable[[], float]


class TrialRun:
    """Brings one SweepTrial to its end.

    Args:
        trial: its document; its status here is what was written last.
        target: that it measures.
        parts: of its Sweep.
    """

    def __init__(self, trial: dict[str, Any], target: SweepTarget, parts: TrialParts) -> None:
        self._trial, self._target, self._parts = trial, target, parts
        self._namespace, self._name = trial["metadata"]["namespace"], trial["metadata"]["name"]
        self._owner = Owner(API_VERSION, "SweepTrial", self._name, trial["metadata"]["uid"])
        self._setting = setting_of(trial["spec"]["parameters"])

    async def run(self) -> None:
        """Measure, and write down what came of it.

        Raises:
            TemporaryError: the cluster does not answer; to be run again.
        """
        try:
            outcome = await self._measure()
        except TrialError as error:
            outcome = Outcome("Failed", str(error))
        if outcome.state == "Failed":
            await delete_job(self._parts.cluster, self._trial)
        _log.info("trial_ended trial=%s/%s state=%s why=%s", self._namespace, self._name, outcome.state, outcome.why)
        await write_trial(
            self._parts.cluster,
            self._trial,
            ended_status(self._trial.get("status") or {}, outcome, timestamp(self._parts.wall())),
        )

    async def _measure(self) -> Outcome:
        """Run once, and once more if the generator was late: the machine was at fault and not the setting."""
        attempt = int((self._trial.get("status") or {}).get("attempt") or 1)
        outcome = await self._attempt(attempt)
        if outcome.state == "Invalid" and attempt == 1:
            attempt, outcome = 2, await self._attempt(2)
        return replace(outcome, why=f"twice: {outcome.why}") if outcome.state == "Invalid" else outcome

    async def _attempt(self, attempt: int) -> Outcome:
        status = self._trial.get("status") or {}
        name = f"{self._name}-{attempt}"
        job = await self._find_job(name)
        if job is not None:
            await self._target.resume()
        elif status.get("phase") == "Running" and status.get("attempt") == attempt:
            raise TrialError(f"its Job {name} is gone: somebody deleted it, or it ended more than an hour ago")
        else:
            started_at = status.get("startedAt") or timestamp(self._parts.wall())
            settings = ", ".join(f"{each['name']} {each['value']}" for each in self._trial["spec"]["parameters"])
            await self._write({"phase": "Setting", "settings": settings, "attempt": attempt, "startedAt": started_at})
            await self._target.set(self._setting)
            job = await self._make_job(name)
        await self._write({"phase": "Running", "attempt": attempt, "job": name})
        return await self._follow(job)

    async def _follow(self, job: dict[str, Any]) -> Outcome:
        """Wait for the end of a Job and work out what it measured."""
        target, lives = self._target, PodLives(self._target.platform.shape)
        runs_s = 0.0
        while True:
            target.look()
            lives.look(target.seen.pods.values(), self._parts.wall())
            seen = look_at_job(job, await self._load_pods(job), now_s=self._parts.wall())
            if seen.phase in ("ended", "broken"):
                break
            if target.has_traffic() or runs_s >= SENDS_AFTER_S:
                await target.loosen(self._setting)
            await asyncio.sleep(POLL_S)
            runs_s += POLL_S * (seen.phase == "running")
            job = await self._find_job(job["metadata"]["name"]) or {}
            if not job:
                raise TrialError("its Job was deleted while it ran")
        target.ended()
        if seen.phase == "broken":
            raise TrialError(seen.why)
        log = await self._read_log(seen.pod)
        document = load_document_of(log)
        if document is None:
            raise TrialError(_why_no_figures(seen, log))
        try:
            figures = figures_of(document, lives.rows(), load_prices().cluster)
        except TemporaryError as error:
            raise TrialError(str(error)) from error
        why = target.why_not_measured(self._setting)
        return Outcome("Failed", why) if why else outcome_of(document, seen.exit_code, figures)

    async def _make_job(self, name: str) -> dict[str, Any]:
        task = LoadTask(
            self._parts.image,
            self._target.url,
            self._target.model_name,
            self._parts.sweep.workload,
            self._parts.sweep.slo,
        )
        labels = {**self._trial["metadata"].get("labels", {}), "tidegate.dev/trial": self._name}
        document = job_document(task, name=name, labels=labels, owner=self._owner.reference())
        try:
            return await self._parts.cluster.create(f"/apis/batch/v1/namespaces/{self._namespace}/jobs", document)
        except ConflictError as error:
            found = await self._find_job(name)
            if found is None:
                raise
            # One of an earlier trial of this name, which the cluster has not cleared away yet.
            raise TemporaryError(f"Job {name} is there already; delete it if it is not about to go") from error
        except (InvalidError, ForbiddenError) as error:
            raise TrialError(str(error)) from error

    async def _find_job(self, name: str) -> dict[str, Any] | None:
        """Return our Job; one of the same name that belongs to somebody else is none."""
        try:
            found = await self._parts.cluster.get(f"/apis/batch/v1/namespaces/{self._namespace}/jobs/{name}")
        except MissingError:
            return None
        return found if self._owner.owns(found) and not found["metadata"].get("deletionTimestamp") else None

    async def _load_pods(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        pods = await self._parts.cluster.list(
            f"/api/v1/namespaces/{self._namespace}/pods", labels=f"{JOB_LABEL}={job['metadata']['name']}"
        )
        owner = Owner("batch/v1", "Job", job["metadata"]["name"], job["metadata"]["uid"])
        return [each for each in pods if owner.owns(each)]

    async def _read_log(self, pod: str) -> str:
        try:
            return await self._parts.cluster.text(
                f"/api/v1/namespaces/{self._namespace}/pods/{pod}/log?tailLines={LOG_LINES}"
            )
        except (MissingError, InvalidError) as error:
            raise TrialError(f"the log of its load pod {pod} cannot be read: {error}") from error

    async def _write(self, change: dict[str, Any]) -> None:
        await write_trial(self._parts.cluster, self._trial, {**(self._trial.get("status") or {}), **change})


async def write_trial(cluster: Cluster, trial: dict[str, Any], status: dict[str, Any]) -> None:
    """Write the status of a trial, if it says anything new.

    Raises:
        TemporaryError: the cluster does not take it.
    """
    if trial.get("status") == status:
        return
    metadata = trial["metadata"]
    resource = OwnResource(cluster, "SweepTrial", metadata["namespace"], metadata["name"])
    await resource.write_status(present_only(status))
    trial["status"] = status


async def delete_job(cluster: Cluster, trial: dict[str, Any]) -> None:
    """Delete the load Job of a trial, if it has one: nothing may be sent after its end.

    Raises:
        TemporaryError: the cluster does not take it.
    """
    attempt = (trial.get("status") or {}).get("attempt")
    if attempt is not None:
        metadata = trial["metadata"]
        name = f"{metadata['name']}-{attempt}"
        await cluster.delete(f"/apis/batch/v1/namespaces/{metadata['namespace']}/jobs/{name}")


def _why_no_figures(seen: JobSeen, log: str) -> str:
    word = f" ({seen.why})" if seen.why not in ("", "Error", "Completed") else ""
    return f"the load generator ended with exit code {seen.exit_code}{word}: {last_words(log)}"
