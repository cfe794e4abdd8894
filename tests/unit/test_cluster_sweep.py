"""Sweeps in a cluster that is played: its API is the shipped fake; Knative, servers and load Jobs do what theirs would.

Time is virtual; what one trial takes here in some milliseconds takes half a minute there.
"""

import asyncio
import json
import time

import pytest

from controller.platforms.cluster_client import ClusterCallError
from controller.platforms.fake_cluster import FakeCluster
from controller.platforms.place import ClusterFacts
from controller.platforms.watched import Watched
from controller.reconcilers.events import Events
from controller.reconcilers.operator_metrics import OperatorMetrics
from controller.reconcilers.sweeps import Sweeps
from controller.reconcilers.world import World
from controller.telemetry.heartbeat import SCHEMA

pytestmark = pytest.mark.looptime

NS = "shop"
SERVING = f"/apis/serving.knative.dev/v1/namespaces/{NS}"
OURS = f"/apis/tidegate.dev/v1alpha1/namespaces/{NS}"
JOBS = f"/apis/batch/v1/namespaces/{NS}/jobs"
PODS = f"/api/v1/namespaces/{NS}/pods"
MAPS = f"/api/v1/namespaces/{NS}/configmaps"
SCALE = "autoscaling.knative.dev/"


class Bundle:
    async def publish(self, namespace):
        assert namespace == NS


class Play:
    """A cluster with services of one pod, whose latency falls and whose cost stays with the batch size."""

    def __init__(self, *services, started_workers=2):
        self._origin_s = time.time() - asyncio.get_running_loop().time()
        self.cluster, self.started_workers = FakeCluster(wall=self.wall), started_workers
        self.cluster.followers.append(self._follow)
        self.broken_fences = ()
        self.exit_codes = {}
        """By Job: of its load generator."""
        self.applied, self.tasks, self.sweeps = {}, [], None
        for name in services or ("sentiment",):
            self._make_service(name, fence=12)

    def wall(self):
        return self._origin_s + asyncio.get_running_loop().time()

    async def __aenter__(self):
        self.beating = asyncio.create_task(self._beat())
        self.begin_operator()
        return self

    async def __aexit__(self, *_):
        await self.end_operator()
        self.beating.cancel()

    def begin_operator(self):
        cluster = self.cluster
        self.world = World(
            cluster=cluster,
            watched=Watched(),
            facts=ClusterFacts({"stable-window": "6s"}, has_warm=True),
            events=Events(cluster),
            searches=None,
            metrics=OperatorMetrics(),
            prometheus=None,
            bundle=Bundle(),
        )
        self.sweeps = Sweeps(self.world, "load:1", self.wall)
        for path, document in list(cluster.objects.items()):
            self._tell(path, document, is_gone=False)

    async def end_operator(self):
        """As by SIGKILL: nothing is said, nothing is put back."""
        sweeps, self.sweeps = self.sweeps, None
        if sweeps is not None:
            await sweeps.aclose()

    def _make_service(self, name, fence):
        self.cluster.put(
            f"{SERVING}/services/{name}",
            {
                "metadata": {
                    "name": name,
                    "namespace": NS,
                    "creationTimestamp": "2026-11-25T12:00:00Z",
                    "managedFields": [{"manager": "kubectl"}, {"manager": "tidegate"}],
                },
                "spec": {"template": {"metadata": {"annotations": {f"{SCALE}max-scale": "5"}}, "spec": {}}},
                "status": {},
            },
        )
        self.cluster.objects[f"{SERVING}/services/{name}"]["spec"]["template"]["spec"]["containerConcurrency"] = fence
        self._reconcile(name)

    def _reconcile(self, name):
        """Knative's controller: a template that no Revision carries becomes one."""
        service = self.cluster.objects[f"{SERVING}/services/{name}"]
        template, number = service["spec"]["template"], service["metadata"]["generation"]
        revision = f"{name}-{number:05}"
        if f"{SERVING}/revisions/{revision}" in self.cluster.objects:
            return
        self.cluster.put(
            f"{SERVING}/revisions/{revision}",
            {
                "metadata": {
                    "name": revision,
                    "namespace": NS,
                    "labels": {"serving.knative.dev/service": name},
                    "annotations": dict(template["metadata"]["annotations"]),
                },
                "spec": {
                    "containers": [
                        {"name": "user-container", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}
                    ],
                    "containerConcurrency": template["spec"].get("containerConcurrency", 0),
                },
            },
        )
        broken = template["spec"].get("containerConcurrency") in self.broken_fences
        words = {"status": "False", "message": "the image is gone"} if broken else {"status": "True"}
        status = {
            "observedGeneration": number,
            "latestCreatedRevisionName": revision,
            "latestReadyRevisionName": service["status"].get("latestReadyRevisionName") if broken else revision,
            "address": {"url": f"http://{name}.{NS}.svc.cluster.local"},
            "conditions": [{"type": "Ready", **words}, {"type": "ConfigurationsReady", **words}],
        }
        self.cluster.put(f"{SERVING}/services/{name}", {**service, "status": status})

    def _scale(self, revision):
        """Knative's autoscaler, of a service that nobody asks: the lowest scale is the scale."""
        document = self.cluster.objects[f"{SERVING}/revisions/{revision}"]
        service = document["metadata"]["labels"]["serving.knative.dev/service"]
        newest = self.cluster.objects[f"{SERVING}/services/{service}"]["status"]["latestReadyRevisionName"]
        lowest = int(document["metadata"]["annotations"].get(f"{SCALE}min-scale", 0)) if revision == newest else 0
        for number in range(4):
            path = f"{PODS}/{revision}-{number}"
            if number >= lowest and path in self.cluster.objects:
                self.cluster.remove(path)
            elif number < lowest and path not in self.cluster.objects:
                self._make_pod(path, service, revision)

    def _make_pod(self, path, service, revision):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.wall()))
        labels = {"serving.knative.dev/service": service, "serving.knative.dev/revision": revision}
        metadata = {"name": path.rpartition("/")[2], "namespace": NS, "labels": labels, "creationTimestamp": at}
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": at}
        spec = {"containers": [{"name": "user-container"}]}
        self.cluster.put(path, {"metadata": metadata, "spec": spec, "status": {"conditions": [ready]}})

    async def _beat(self):
        """Servers: each second a word to the operator, and its hot settings back."""
        while True:
            await asyncio.sleep(1)
            pods = [each for path, each in self.cluster.objects.items() if path.startswith(PODS)]
            for pod in pods:
                labels = pod["metadata"].get("labels") or {}
                desk = self.world.desks.get((NS, labels.get("serving.knative.dev/service")))
                if desk is not None and self.sweeps is not None:
                    self._say(desk, pod["metadata"])

    def _say(self, desk, metadata):
        uid, wanted = metadata["uid"], desk.outbox.current()
        told = self.applied.get(uid, {"generation": 0})
        if wanted and wanted["generation"] > told["generation"] and wanted["workers"] <= self.started_workers:
            told = self.applied[uid] = wanted
        desk.outbox.saw(told["generation"])
        body = {
            "schema": SCHEMA,
            "service": "s",
            "instance": metadata["name"],
            "boot_id": uid,
            "seq": int(self.wall()),
            "generation": told["generation"],
            "clock": {"monotonic_s": self.wall(), "wall_s": self.wall()},
            "bins": {"width_s": 0.1, "first": 0, "counts": []},
            "counters": {"accepted": 1},
            "workers": {"started": self.started_workers, "active": 1},
        }
        desk.merge.accept(body, desk.now())

    def _follow(self, path, document, *, is_gone):
        kind = path.split("/")[-2]
        loop = asyncio.get_running_loop()
        if not is_gone:
            name = document["metadata"]["name"]
            if kind == "services":
                loop.call_soon(self._reconcile, name)
            elif kind == "revisions":
                loop.call_later(2, lambda: path in self.cluster.objects and self._scale(name))
            elif kind == "jobs" and "status" not in document:
                self.tasks.append(asyncio.create_task(self._load(name, document)))
        if self.sweeps is not None:
            self._tell(path, document, is_gone=is_gone)

    def _tell(self, path, document, *, is_gone):
        kind = path.split("/")[-2]
        watched = self.world.watched
        takers = {"services": watched.take_service, "revisions": watched.take_revision, "pods": watched.take_pod}
        if kind in takers:
            takers[kind](document, is_gone=is_gone)
        if kind == "sweeps":
            self.tasks.append(asyncio.create_task(self.sweeps.take(document, is_gone=is_gone)))

    async def _load(self, name, job):
        """A load Job: its pod, ten seconds of load, a line of figures."""
        service = next(each.split("//")[1].split(".")[0] for each in _arguments(job) if each.startswith("--host"))
        pod = f"{PODS}/{name}-pod"
        metadata = {
            "name": f"{name}-pod",
            "namespace": NS,
            "labels": {"batch.kubernetes.io/job-name": name},
            "creationTimestamp": job["metadata"]["creationTimestamp"],
            "ownerReferences": [{"uid": job["metadata"]["uid"]}],
        }
        spec = {"containers": [{"name": "load"}]}
        self.cluster.put(pod, {"metadata": metadata, "spec": spec, "status": _container({"running": {}})})
        began_s = self.wall()
        await asyncio.sleep(10)
        if pod not in self.cluster.objects:
            return
        code = self.exit_codes.get(name, 0)
        told = next((each for each in self.applied.values() if each["generation"]), {})
        self.cluster.logs[f"{pod}/log"] = self._log(service, told, code, began_s)
        self.cluster.put(
            pod, {"metadata": metadata, "spec": spec, "status": _container({"terminated": {"exitCode": code}})}
        )

    def _log(self, service, told, code, began_s):
        if code not in (0, 4):
            return "a line\nthe disk is full\n"
        latest = max(self.applied.values(), key=lambda each: each["generation"], default={})
        p95_s = 0.8 / latest.get("max_batch_size", 8)
        document = {
            "valid": code == 0,
            "why": None if code == 0 else "late",
            "started_at": began_s,
            "duration_s": 10.0,
            "elapsed_s": 10.0,
            "requests": 100,
            "classes": {"ok": {"count": 98}, "cold_start": {"count": 0}, "rejected": {"count": 2}},
            "latency_with_failures_s": {"from_intended": {"p50": p95_s / 2, "p95": p95_s, "p99": None}},
            "objective": {"latency_s": p95_s, "window_violation_ratio": 0.0 if p95_s < 0.25 else 1.0},
            "failures": {"429: the queue is full": 2},
        }
        return f"starting\n{json.dumps(document)}\n"

    # What a person sees and does.

    async def apply(self, **spec):
        targets = spec.pop("targets", ["sentiment"])
        reference = {"apiVersion": "serving.knative.dev/v1", "kind": "Service"}
        document = {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "Sweep",
            "metadata": {"name": "campaign"},
            "spec": {
                "parameters": [{"name": "maxBatchSize", "values": [1, 4, 16]}],
                "strategy": "Grid",
                "workload": {"arrivals": {"kind": "poisson", "rate_rps": 10}, "duration": "10s"},
                "objective": {"slo": {"quantile": "0.95", "latency": "250ms"}},
                "cancel": False,
                **spec,
            },
        }
        names = [{**reference, "name": each} for each in targets]
        document["spec"] |= {"targetRef": names[0]} if len(names) == 1 else {"targetRefs": names}
        await self.cluster.create(f"{OURS}/sweeps", document)

    async def until(self, is_true, within_s=3600):
        async with asyncio.timeout(within_s):
            while not is_true():  # noqa: ASYNC110  a state comes without an event that tells of it
                await asyncio.sleep(0.25)

    async def ended(self):
        await self.until(lambda: self.status.get("phase") in ("Complete", "Failed", "Cancelled"))
        await self.until(lambda: "finalizers" not in self.sweep["metadata"] or not self.sweep["metadata"]["finalizers"])

    @property
    def sweep(self):
        return self.cluster.objects[f"{OURS}/sweeps/campaign"]

    @property
    def status(self):
        return self.sweep.get("status", {})

    @property
    def trials(self):
        return [each for path, each in sorted(self.cluster.objects.items()) if path.startswith(f"{OURS}/sweeptrials")]

    @property
    def jobs(self):
        return [path.rpartition("/")[2] for path in sorted(self.cluster.objects) if path.startswith(JOBS)]

    def phases(self):
        return [each.get("status", {}).get("phase") for each in self.trials]

    def reasons(self):
        return [each["reason"] for path, each in self.cluster.objects.items() if "/events/" in path]

    def annotations(self, service="sentiment"):
        newest = self.cluster.objects[f"{SERVING}/services/{service}"]["status"]["latestReadyRevisionName"]
        return self.cluster.objects[f"{SERVING}/revisions/{newest}"]["metadata"]["annotations"]

    def is_restored(self):
        assert self.annotations() == {f"{SCALE}max-scale": "5"}
        assert f"{MAPS}/tidegate-hot-sentiment" not in self.cluster.objects
        assert "tidegate.dev/before" not in self.sweep["metadata"].get("annotations", {})
        assert not self.world.held
        assert not self.world.desks


def _arguments(job):
    return job["spec"]["template"]["spec"]["containers"][0]["args"]


def _container(state):
    return {"phase": "Running", "containerStatuses": [{"name": "load", "state": state}]}


async def test_a_sweep_measures_its_grid_names_the_best_and_leaves_no_trace():
    async with Play() as play:
        await play.apply()
        await play.ended()
        assert play.phases() == ["Complete"] * 3, [each["status"] for each in play.trials]
        assert [each["status"]["figures"]["p95"] for each in play.trials] == ["800ms", "200ms", "50ms"]
        assert [each["spec"]["parameters"][0]["value"] for each in play.trials] == ["1", "4", "16"]
        assert play.status["phase"] == "Complete"
        assert play.status["best"] | {"costPerMillionUsd": ""} == {
            "name": "campaign-002",
            "parameters": {"maxBatchSize": "16"},
            "p95": "50ms",
            "costPerMillionUsd": "",
        }
        assert play.reasons() == ["SweepStarted", "SweepComplete"]
        play.is_restored()


async def test_an_operator_that_was_killed_takes_up_the_trial_that_ran_and_sends_nothing_twice():
    async with Play() as play:
        await play.apply()
        await play.until(lambda: play.phases() == ["Complete", "Running"])
        await play.end_operator()
        await asyncio.sleep(30)  # the load ends while nobody looks
        play.begin_operator()
        await play.ended()
        assert play.phases() == ["Complete"] * 3, [each["status"] for each in play.trials]
        assert play.jobs == ["campaign-000-1", "campaign-001-1", "campaign-002-1"]
        assert [each["status"]["figures"]["p95"] for each in play.trials] == ["800ms", "200ms", "50ms"]
        play.is_restored()


async def test_an_api_server_that_is_away_for_a_minute_costs_only_the_time():
    async with Play() as play:
        await play.apply()
        await play.until(lambda: play.phases() == ["Complete", "Running"])
        play.cluster.refusal = ClusterCallError("cluster: no answer", status=0)
        await asyncio.sleep(60)
        play.cluster.refusal = None
        await play.ended()
        assert play.phases() == ["Complete"] * 3
        assert len(play.jobs) == 3
        play.is_restored()


async def test_a_run_with_a_late_generator_is_made_once_more():
    async with Play() as play:
        play.exit_codes = {"campaign-000-1": 4, "campaign-001-1": 4, "campaign-001-2": 4}
        await play.apply()
        await play.ended()
        assert play.phases() == ["Complete", "Invalid", "Complete"]
        assert [each["status"]["attempt"] for each in play.trials] == [2, 2, 1]
        assert play.trials[1]["status"]["why"] == "twice: late"
        assert (play.status["succeeded"], play.status["failed"]) == (2, 1)


async def test_hot_settings_that_a_server_refuses_are_a_failed_trial_with_the_reason():
    async with Play(started_workers=1) as play:
        await play.apply(parameters=[{"name": "workers", "values": [1, 3]}])
        await play.ended()
        assert play.phases() == ["Complete", "Failed"]
        assert "refuses workers 3: it started 1" in play.trials[1]["status"]["why"]
        assert play.jobs == ["campaign-000-1"]
        assert "TrialFailed" in play.reasons()
        play.is_restored()


async def test_a_load_generator_that_breaks_down_is_quoted():
    async with Play() as play:
        play.exit_codes = {"campaign-000-1": 1}
        await play.apply()
        await play.ended()
        assert play.phases() == ["Failed", "Complete", "Complete"]
        assert play.trials[0]["status"]["why"] == (
            "the load generator ended with exit code 1: a line / the disk is full"
        )


async def test_more_failures_than_allowed_end_the_sweep():
    async with Play(started_workers=1) as play:
        await play.apply(parameters=[{"name": "workers", "values": [2, 3, 4]}], maxFailedTrials=1)
        await play.ended()
        assert play.status["phase"] == "Failed"
        assert play.phases() == ["Failed", "Failed"]
        assert "more than maxFailedTrials 1" in play.status["conditions"][0]["message"]
        assert play.reasons()[-1] == "SweepFailed"
        play.is_restored()


async def test_cancelling_stops_the_load_and_restores_the_target():
    async with Play() as play:
        await play.apply()
        await play.until(lambda: play.phases() == ["Complete", "Running"])
        await play.cluster.patch(f"{OURS}/sweeps/campaign", {"spec": {"cancel": True}})
        await play.ended()
        assert play.status["phase"] == "Cancelled"
        assert play.phases() == ["Complete", "Failed"]
        assert play.trials[1]["status"]["why"] == "cancelled"
        assert play.jobs == ["campaign-000-1"]
        assert play.status["trials"] == 2
        play.is_restored()


async def test_a_sweep_that_is_deleted_while_it_runs_restores_its_target_before_it_goes():
    async with Play() as play:
        await play.apply()
        await play.until(lambda: play.phases() == ["Running"])
        assert play.annotations() != {f"{SCALE}max-scale": "5"}
        await play.cluster.delete(f"{OURS}/sweeps/campaign")
        await play.until(lambda: f"{OURS}/sweeps/campaign" not in play.cluster.objects)
        assert play.annotations() == {f"{SCALE}max-scale": "5"}
        assert not play.trials
        assert not play.jobs
        assert not play.world.held


async def test_a_sweep_that_is_deleted_while_no_operator_runs_is_cleared_away_by_the_next():
    async with Play() as play:
        await play.apply(parameters=[{"name": "containerConcurrency", "values": [3, 6]}])
        await play.until(lambda: play.phases() == ["Running"])
        await play.end_operator()
        await play.cluster.delete(f"{OURS}/sweeps/campaign")
        play.begin_operator()
        await play.until(lambda: f"{OURS}/sweeps/campaign" not in play.cluster.objects)
        template = play.cluster.objects[f"{SERVING}/services/sentiment"]["spec"]["template"]
        assert template["spec"]["containerConcurrency"] == 12
        assert play.annotations() == {f"{SCALE}max-scale": "5"}


async def test_changed_arrivals_end_the_sweep_for_its_trials_could_not_be_compared():
    async with Play() as play:
        await play.apply()
        await play.until(lambda: play.phases() == ["Complete", "Running"])
        arrivals = {"workload": {"arrivals": {"rate_rps": 20}}}
        await play.cluster.patch(f"{OURS}/sweeps/campaign", {"spec": arrivals})
        await play.ended()
        assert play.status["phase"] == "Failed"
        assert play.status["conditions"][0]["reason"] == "ArrivalsChanged"
        assert play.phases() == ["Complete", "Failed"]
        play.is_restored()


async def test_as_many_trials_run_at_once_as_there_are_targets_and_no_setting_twice():
    async with Play("blue", "green") as play:
        await play.apply(targets=["blue", "green"], strategy="Optuna", maxTrials=3)
        await play.until(lambda: play.phases() == ["Running", "Running"])
        await play.ended()
        assert play.phases() == ["Complete"] * 3
        assert len({each["spec"]["parameters"][0]["value"] for each in play.trials}) == 3
        assert {each["spec"]["targetRef"]["name"] for each in play.trials} == {"blue", "green"}


async def test_a_second_sweep_of_the_same_target_waits_for_the_first():
    async with Play() as play:
        await play.apply()
        await play.until(lambda: play.phases() == ["Running"])
        second = {**play.sweep, "metadata": {"name": "second"}}
        await play.cluster.create(f"{OURS}/sweeps", second)
        await play.until(lambda: play.cluster.objects[f"{OURS}/sweeps/second"].get("status"))
        status = play.cluster.objects[f"{OURS}/sweeps/second"]["status"]
        assert (status["phase"], status["conditions"][0]["reason"]) == ("Pending", "TargetBusy")
        await play.until(lambda: play.cluster.objects[f"{OURS}/sweeps/second"]["status"]["phase"] == "Complete")
        assert play.phases() == ["Complete"] * 6


async def test_a_fence_is_written_into_the_template_and_taken_back_with_no_field_left_ours():
    async with Play() as play:
        await play.apply(parameters=[{"name": "containerConcurrency", "values": [3, 6]}])
        await play.until(lambda: play.phases() == ["Running"])
        service = play.cluster.objects[f"{SERVING}/services/sentiment"]
        assert service["spec"]["template"]["spec"]["containerConcurrency"] == 3
        await play.ended()
        service = play.cluster.objects[f"{SERVING}/services/sentiment"]
        assert service["spec"]["template"]["spec"]["containerConcurrency"] == 12
        assert service["metadata"]["managedFields"] == [{"manager": "kubectl"}]
        revisions = [path[-1] for path in play.cluster.objects if path.startswith(f"{SERVING}/revisions")]
        assert revisions == ["1", "4"]  # those of the trials are gone
        assert play.phases() == ["Complete"] * 2
        play.is_restored()


async def test_a_revision_that_does_not_come_up_is_one_failed_trial_and_also_after_a_restart():
    async with Play() as play:
        play.broken_fences = (3,)
        await play.apply(parameters=[{"name": "containerConcurrency", "values": [3, 6]}])
        await play.until(lambda: play.phases()[:1] == ["Failed"])
        await play.end_operator()
        play.begin_operator()
        await play.ended()
        assert play.phases() == ["Failed", "Complete"], [each["status"] for each in play.trials]
        assert play.trials[0]["status"]["why"] == "the new revision does not come up: the image is gone"
        assert f"{SERVING}/revisions/sentiment-00002" not in play.cluster.objects
        play.is_restored()


async def test_what_a_tuning_told_the_servers_is_told_again_under_a_newer_generation():
    async with Play() as play:
        settings = {
            "max_batch_size": 5,
            "batch_tokens": 100,
            "max_queue_delay_s": 0.0,
            "max_queue_length": 9,
            "workers": 1,
        }
        owners = [{"kind": "InferenceTuning", "name": "t", "uid": "u"}]
        data = {"hot-settings.json": json.dumps({"generation": 7, **settings})}
        document = {"metadata": {"name": "tidegate-hot-sentiment", "ownerReferences": owners}, "data": data}
        play.cluster.put(f"{MAPS}/tidegate-hot-sentiment", document)
        await play.apply()
        await play.ended()
        after = play.cluster.objects[f"{MAPS}/tidegate-hot-sentiment"]
        told = json.loads(after["data"]["hot-settings.json"])
        assert after["metadata"]["ownerReferences"] == owners
        assert told.pop("generation") > 7
        assert told == settings


async def test_a_service_that_is_not_there_is_waited_for():
    async with Play("other") as play:
        await play.apply()
        await play.until(lambda: play.status)
        assert play.status["phase"] == "Pending"
        assert play.status["conditions"][0]["reason"] == "TargetMissing"
        assert play.sweep["metadata"].get("finalizers") is None


async def test_a_file_of_arrivals_is_refused_for_the_operator_would_read_its_own():
    async with Play() as play:
        workload = {"arrivals": {"kind": "trace", "file": "/etc/passwd"}, "duration": "10s"}
        await play.apply(workload=workload)
        await play.ended()
        assert play.status["phase"] == "Failed"
        assert play.status["conditions"][0]["reason"] == "InvalidSpec"
        assert "a cluster has no such file" in play.status["conditions"][0]["message"]
