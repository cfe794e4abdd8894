"""InferenceTunings at work in virtual time, on a cluster in memory: what is written when, and what is left alone."""

import asyncio
import contextlib
import json
import math
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controller.domain.serving_config import ServingConfig
from controller.optimizer.objective import Evaluation
from controller.optimizer.study import SearchResult
from controller.platforms.cluster_client import ClusterCallError, InvalidError
from controller.platforms.fake_cluster import FakeCluster
from controller.platforms.place import ClusterFacts
from controller.platforms.revision_annotations import ANNOTATION_OF
from controller.platforms.watched import Watched
from controller.reconcilers.authority import Bundle
from controller.reconcilers.events import Events
from controller.reconcilers.operator_metrics import OperatorMetrics
from controller.reconcilers.tunings import Tunings
from controller.reconcilers.world import World
from controller.telemetry.tls import make_authority

pytestmark = pytest.mark.looptime

BEGAN_S = 1_767_225_600.0
SERVING = "/apis/serving.knative.dev/v1/namespaces/team"
SERVICE, REVISION, REVISION_2 = f"{SERVING}/services/s", f"{SERVING}/revisions/s-1", f"{SERVING}/revisions/s-2"
SCALER = "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/team/podautoscalers"
TUNINGS = "/apis/tidegate.dev/v1alpha1/namespaces/team/inferencetunings"
TUNING = f"{TUNINGS}/tune"
MAPS = "/api/v1/namespaces/team/configmaps"
STATE, HOT, CA = f"{MAPS}/tidegate-state-tune", f"{MAPS}/tidegate-hot-s", f"{MAPS}/tidegate-ca"
MIN, MAX, TARGET = (ANNOTATION_OF[knob] for knob in ("min_scale", "max_scale", "target"))
AWAY = ClusterCallError("cluster: no answer", status=0)
SPEC = {
    "targetRef": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "s"},
    "objective": {"slo": {"quantile": "0.95", "latency": "500ms"}},
    "mode": "Apply",
}
BETTER = {"max_batch_size": 32, "max_scale": 4}


def wall():
    return BEGAN_S + asyncio.get_running_loop().time()


def at(seconds_s):
    return datetime.fromtimestamp(seconds_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def evaluation(config, *, excess, cost):
    return Evaluation(config, 0.4 + excess, 0.1, 1.0 if excess <= 0 else 0.4, 0.97, excess, cost, cost, 0.0, 0.0, cost)


class StrictCluster(FakeCluster):
    """May refuse every status, as a definition of another version would."""

    refuses_status = False

    async def apply(self, path, document, *, force=False):
        if self.refuses_status and path.endswith("/status"):
            raise InvalidError("cluster: answered 422: status.latency.p95: Too long", status=422)
        return await super().apply(path, document, force=force)


class Searches:
    """Finds at once that other values of some settings are better."""

    def __init__(self):
        self.better, self.problems = dict(BETTER), []

    def submit(self, problem):
        self.problems.append(problem)
        present = evaluation(problem.present, excess=0.5, cost=2.0)
        wanted = replace(problem.present, **self.better)
        best = present if wanted == problem.present else evaluation(wanted, excess=-0.5, cost=1.0)
        answer = Future()
        answer.set_result(SearchResult(present, best, (), 10, 0.1))
        return answer


class Server:
    """One pod that answers requests, tells of them each second and obeys the hot settings it is answered."""

    def __init__(self, name):
        self.name, self.seq, self.rate, self.bins, self.generation, self.hot = name, 0, 20, [], 0, None

    def tell(self, desk, now_s):
        self.seq += 1
        self.bins += [self.rate // 10] * (int(now_s * 10) - len(self.bins))
        answered = sum(self.bins)
        counters = {"accepted": answered, "answered": answered, "busy_s": answered * 0.02, "cpu_s": answered * 0.02}
        heartbeat = {
            "schema": 1,
            "service": "s",
            "instance": self.name,
            "boot_id": self.name,
            "seq": self.seq,
            "ready": True,
            "generation": self.generation,
            "clock": {"monotonic_s": now_s, "wall_s": BEGAN_S + now_s},
            "bins": {"width_s": 0.1, "first": max(0, len(self.bins) - 1200), "counts": self.bins[-1200:]},
            "counters": counters,
            "batches": [
                {
                    "batch_size": 2,
                    "padded_tokens": 64,
                    "count": answered // 2,
                    "sum_s": answered * 0.01,
                    "sum_sq_s": answered * 0.0002,
                }
            ],
            "lengths": {"32": answered},
            "latency": {"0.1": answered},
        }
        desk.outbox.saw(desk.merge.accept(heartbeat, desk.now()).generation)
        found = desk.outbox.current()
        if found is not None and found["generation"] > self.generation:
            self.generation, self.hot = found["generation"], found


class Bench:
    """A namespace with one service, whatever tunings a test makes, and an operator that can be restarted."""

    def __init__(self, authority):
        self.cluster, self.searches, self.authority = StrictCluster(wall=wall), Searches(), authority
        self.servers, self.changes, self.tunings, self.world, self.passing = [], [], None, None, set()
        self.follows = True
        self.cluster.followers.append(self.watch)

    def start(self):
        """Start an operator that knows nothing but what watches tell."""
        self.world = World(
            cluster=self.cluster,
            watched=Watched(),
            facts=ClusterFacts({}),
            events=Events(self.cluster),
            searches=self.searches,
            metrics=OperatorMetrics(),
            bundle=Bundle(self.cluster, self.authority),
            prometheus=None,
            wall=wall,
        )
        self.tunings = Tunings(self.world)
        for path, document in list(self.cluster.objects.items()):
            self.tell(path, document, is_gone=False)

    async def stop(self):
        # Outside a test the loop's clock is the real one: nobody may take a turn in it.
        await self.tunings.aclose()
        await asyncio.gather(*self.passing)
        await self.tunings.aclose()

    def watch(self, path, document, is_gone):
        self.changes.append(path)
        if path.startswith(f"{SERVING}/revisions/") and self.follows and not is_gone:
            scaler = f"{SCALER}/{path.rpartition('/')[2]}"
            annotations = dict(document["metadata"].get("annotations") or {})
            self.cluster.objects[scaler] = {"metadata": {"annotations": annotations}}
        if self.world is not None:
            self.tell(path, document, is_gone=is_gone)

    def tell(self, path, document, *, is_gone):
        take = {"services": "take_service", "revisions": "take_revision", "pods": "take_pod"}.get(path.split("/")[-2])
        if path.startswith(TUNINGS):
            self.passing.add(asyncio.ensure_future(self.tunings.take(document, is_gone=is_gone)))
        elif take:
            getattr(self.world.watched, take)(document, is_gone=is_gone)

    def put_revision(self, name="s-1", *, fence=0, **annotations):
        labels = {"serving.knative.dev/service": "s"}
        metadata = {"name": name, "namespace": "team", "labels": labels, "annotations": annotations}
        spec = {"containers": [{"name": "user-container"}], "containerConcurrency": fence}
        self.cluster.put(f"{SERVING}/revisions/{name}", {"metadata": metadata, "spec": spec})

    def put_service(self, newest="s-1", *, fence=None, **annotations):
        status = {"latestReadyRevisionName": newest, "latestCreatedRevisionName": newest, "observedGeneration": 1}
        status |= {"traffic": [{"revisionName": newest, "percent": 100, "latestRevision": True}]}
        spec = {} if fence is None else {"containerConcurrency": fence}
        template = {"metadata": {"annotations": annotations}, "spec": spec}
        document = {"metadata": {"name": "s", "namespace": "team"}, "spec": {"template": template}, "status": status}
        self.cluster.put(SERVICE, document)

    def roll(self, name, fence, *, why_not=""):
        """Play Knative: make a Revision of the template as it is now; it is ready at once, or never."""
        self.put_revision(name, fence=fence)
        service = self.cluster.objects[SERVICE]
        is_ready = "False" if why_not else "True"
        kinds = {"Ready": "", "ConfigurationsReady": why_not}
        conditions = [{"type": kind, "status": is_ready, "message": why} for kind, why in kinds.items()]
        status = {**service["status"], "latestCreatedRevisionName": name, "conditions": conditions}
        status["observedGeneration"] = service["metadata"]["generation"]
        if not why_not:
            status |= {"latestReadyRevisionName": name, "traffic": [{"revisionName": name, "percent": 100}]}
        self.cluster.put(SERVICE, {**service, "status": status})

    def put_pod(self, name="s-1-deployment-a"):
        labels = {"serving.knative.dev/service": "s", "serving.knative.dev/revision": "s-1"}
        metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "labels": labels}
        metadata["creationTimestamp"] = at(BEGAN_S)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": at(BEGAN_S + 1)}
        spec = {"containers": [{"name": "user-container"}]}
        path = f"/api/v1/namespaces/team/pods/{name}"
        self.cluster.put(path, {"metadata": metadata, "spec": spec, "status": {"conditions": [ready]}})
        self.servers.append(Server(name))

    async def remove_pods(self):
        for each in self.servers:
            await self.cluster.delete(f"/api/v1/namespaces/team/pods/{each.name}")
        self.servers = []

    async def tune(self, name="tune", **spec):
        return await self.cluster.create(TUNINGS, {"metadata": {"name": name}, "spec": {**SPEC, **spec}})

    async def change(self, **spec):
        await self.cluster.patch(TUNING, {"spec": spec})

    async def run(self, seconds):
        """Let time pass; servers tell of themselves each second."""
        for _ in range(seconds):
            await asyncio.sleep(1.0)
            desk = None if self.world is None else self.world.desks.get(("team", "s"))
            for each in self.servers:
                if desk is not None:
                    each.tell(desk, asyncio.get_running_loop().time())

    def annotations(self, path=REVISION):
        return self.cluster.objects[path]["metadata"]["annotations"]

    def condition(self, kind="Ready", tuning=TUNING):
        found = self.cluster.objects[tuning].get("status", {}).get("conditions", [])
        return next((each["status"], each["reason"]) for each in found if each["type"] == kind)

    def status(self):
        return self.cluster.objects[TUNING].get("status", {})

    def events(self, reason):
        events = [each for path, each in self.cluster.objects.items() if "/events/" in path]
        return [each["message"] for each in events if each["reason"] == reason]

    def state(self):
        return json.loads(self.cluster.objects[STATE]["data"]["state.json"])

    def written(self):
        """Which objects were changed, but for events, since this was asked last."""
        found, self.changes = {each for each in self.changes if "/events/" not in each}, []
        return found


@pytest.fixture(scope="module")
def authority():
    return make_authority(BEGAN_S)


@pytest.fixture
async def bench(authority):
    made = Bench(authority)
    made.put_revision()
    made.put_service()
    made.put_pod()
    made.start()
    yield made
    await made.stop()


async def test_recommending_writes_nothing_but_status_state_and_the_bundle(bench):
    await bench.tune(mode="Recommend")
    bench.written()
    await bench.run(60)
    assert bench.written() == {TUNING, STATE, CA}
    assert bench.annotations() == {}
    assert "finalizers" not in bench.cluster.objects[TUNING]["metadata"]
    assert bench.status()["decision"]["action"] == "recommend"
    assert bench.status()["decision"]["changes"] == {"maxBatchSize": "8 → 32", "maxScale": "unbounded → 4"}
    assert len(bench.events("Recommended")) == 1


async def test_observing_searches_nothing(bench):
    await bench.tune(mode="Observe")
    await bench.run(60)
    assert bench.searches.problems == []
    assert bench.annotations() == {}


async def test_applying_changes_hot_and_warm_settings(bench):
    await bench.tune()
    await bench.run(20)
    assert bench.annotations() == {MAX: "4"}
    assert bench.servers[0].hot["max_batch_size"] == 32
    assert json.loads(bench.cluster.objects[HOT]["data"]["hot-settings.json"])["max_batch_size"] == 32
    assert bench.events("SettingApplied") == ["warm: maxBatchSize 8 → 32, maxScale unbounded → 4"]
    assert (bench.status()["changes"], bench.condition(), bench.condition("WarmSettings")) == (
        1,
        ("True", "Watching"),
        ("True", "Followed"),
    )


async def test_the_finalizer_comes_before_the_first_change(bench):
    await bench.tune()
    bench.changes.clear()
    first = {}
    bench.cluster.followers.append(
        lambda path, document, is_gone: first.setdefault(path, bench.cluster.objects[TUNING]["metadata"])
    )
    await bench.run(20)
    assert "tidegate.dev/restore" in first[REVISION]["finalizers"]
    assert "tidegate.dev/restore" in first[HOT]["finalizers"]


async def test_what_may_not_change_now_is_no_change_to_tell_of(bench):
    bench.searches.better = {"max_scale": 4}
    await bench.tune(limits={"slowPerHour": 0, "warmPerMinute": 0})
    await bench.run(90)
    assert bench.annotations() == {}
    assert bench.events("SettingApplied") == []
    assert bench.status()["changes"] == 0


async def test_of_two_tunings_of_a_service_the_oldest_acts(bench):
    await bench.tune("old")
    await bench.run(1)
    await bench.tune("tune")
    await bench.run(20)
    assert bench.condition("Conflict") == ("True", "OlderTuning")
    assert bench.condition("Conflict", f"{TUNINGS}/old") == ("False", "OnlyTuning")
    assert "finalizers" not in bench.cluster.objects[TUNING]["metadata"]
    await bench.cluster.delete(f"{TUNINGS}/old")
    await bench.run(20)
    assert f"{TUNINGS}/old" not in bench.cluster.objects
    assert (bench.condition("Conflict"), bench.condition()) == (("False", "OnlyTuning"), ("True", "Watching"))
    assert bench.annotations() == {MAX: "4"}


async def test_a_suspended_tuning_leaves_everything_as_it_is(bench):
    await bench.tune()
    await bench.run(20)
    await bench.change(suspend=True)
    await bench.run(2)
    bench.written()
    bench.put_revision("s-2")
    bench.put_service("s-2")
    await bench.run(30)
    assert bench.written() == {REVISION_2, SERVICE}
    assert bench.condition() == ("False", "Suspended")
    assert bench.status()["target"]["revision"] == "s-1"
    await bench.change(suspend=False)
    await bench.run(5)
    assert bench.annotations(REVISION_2) == {MAX: "4"}


async def test_a_service_that_is_not_there_is_waited_for(bench):
    await bench.cluster.delete(SERVICE)
    await bench.tune()
    await bench.run(10)
    assert bench.condition() == ("False", "TargetMissing")
    bench.put_service()
    await bench.run(1)  # the watch tells; nobody looks again for half a minute
    assert bench.condition() == ("True", "Watching")
    await bench.run(20)
    assert bench.annotations() == {MAX: "4"}


async def test_a_service_that_was_never_ready_is_waited_for(bench):
    bench.put_service("")
    await bench.tune()
    await bench.run(10)
    assert bench.condition() == ("False", "TargetNotReady")


async def test_a_start_that_fails_does_not_erase_what_was_learned(bench):
    await bench.tune()
    await bench.run(40)
    await bench.stop()
    learned = bench.state()["loop"]
    assert learned["profile"]["batches"]
    await bench.change(pricing={"configMapRef": {"name": "none"}})
    bench.start()
    await bench.run(70)
    assert bench.condition() == ("False", "InvalidSpec")
    await bench.stop()
    assert bench.state()["loop"] == learned


async def test_what_a_sweep_changed_under_a_suspended_tuning_is_nobodys_drift(bench):
    await bench.tune()
    await bench.run(20)
    assert bench.annotations() == {MAX: "4"}
    await bench.change(suspend=True)
    await bench.run(2)
    await bench.cluster.patch(REVISION, {"metadata": {"annotations": {MAX: None}}})
    await bench.change(suspend=False)
    await bench.run(5)
    assert bench.annotations() == {MAX: "4"}
    assert "heldByOthers" not in bench.status()["target"]


async def test_a_window_outside_its_bounds_is_brought_inside_and_given_back(bench):
    await bench.tune(bounds={"window": {"max": "30s"}})
    await bench.run(3)
    window = ANNOTATION_OF["window_s"]
    assert bench.annotations()[window] == "30s"
    assert bench.status()["target"]["settings"]["window"] == "30s"
    assert "warm: window default → 30s; spec.bounds asks for it" in bench.events("SettingApplied")
    await bench.cluster.delete(TUNING)
    await bench.run(5)
    assert window not in bench.annotations()


@pytest.mark.parametrize(
    "spec",
    [
        {"objective": {"slo": {"quantile": "1.5", "latency": "500ms"}}},
        {"bounds": {"maxBatchSize": {"min": 4096}}},
        {"pricing": {"configMapRef": {"name": "none"}}},
        {"source": "Prometheus"},
        {"mode": "Perhaps"},
    ],
)
async def test_a_spec_that_cannot_be_is_told_and_can_be_mended(bench, spec):
    await bench.tune(**spec)
    await bench.run(10)
    assert bench.condition() == ("False", "InvalidSpec")
    assert bench.annotations() == {}
    await bench.change(**(dict.fromkeys(spec) | {name: SPEC[name] for name in spec if name in SPEC}))
    await bench.run(20)
    assert bench.condition() == ("True", "Watching")


async def test_a_service_at_zero_is_not_woken_and_gets_no_new_revision(bench):
    bench.searches.better = {"min_scale": 2, "max_scale": 4, "container_concurrency": 16}
    await bench.tune()
    await bench.run(2)
    await bench.remove_pods()
    await bench.run(60)
    assert MIN not in bench.annotations()
    assert "containerConcurrency" not in bench.cluster.objects[SERVICE]["spec"]["template"]["spec"]
    assert bench.condition("MetricsAvailable") == ("True", "NoPods")


async def test_instances_are_not_kept_for_nobody(bench):
    bench.put_revision("s-1", **{MIN: "2"})
    bench.searches.better = {}
    await bench.tune()
    await bench.run(20)
    for each in bench.servers:
        each.rate = 0
    await bench.run(90)
    assert bench.annotations()[MIN] == "0"


async def test_drift_is_told_once_and_left_alone_until_the_tuning_is_changed(bench):
    await bench.tune()
    await bench.run(20)
    await bench.cluster.patch(REVISION, {"metadata": {"annotations": {MAX: "9"}}})
    await bench.run(60)
    assert bench.annotations() == {MAX: "9"}
    told = bench.events("DriftNoticed")
    assert len(told) == 1
    assert told[0].startswith("maxScale is left alone: somebody set it to 9 on s-1")
    assert bench.status()["target"]["heldByOthers"] == ["maxScale: somebody set it to 9 on s-1"]
    await bench.change(limits={"slowPerHour": 1})
    await bench.run(60)
    assert bench.annotations() == {MAX: "4"}
    assert "heldByOthers" not in bench.status()["target"]


async def test_drift_that_is_noticed_while_a_setting_is_applied_is_told_too(bench, monkeypatch):
    await bench.tune()
    await bench.run(20)
    submit = bench.searches.submit

    def submit_late(problem):
        answer = submit(problem)
        # Somebody edits the template in the moment before the answer is taken.
        answer.done = lambda: bench.put_service("s-1", **{MAX: "7"}) or True
        return answer

    bench.searches.better = {**BETTER, "target": 20.0}
    monkeypatch.setattr(bench.searches, "submit", submit_late)
    await bench.run(60)
    assert bench.annotations()[TARGET] == "20"
    assert len(bench.events("DriftNoticed")) == 1


async def test_a_new_revision_gets_our_settings(bench):
    await bench.tune()
    await bench.run(20)
    bench.put_revision("s-2")
    bench.put_service("s-2")
    await bench.run(3)
    assert bench.annotations(REVISION_2) == {MAX: "4"}
    assert bench.events("DriftNoticed") == []


async def test_an_autoscaler_that_does_not_follow_is_left_alone_and_hot_settings_go_on(bench):
    bench.follows = False
    bench.cluster.objects[f"{SCALER}/s-1"] = {"metadata": {}}
    await bench.tune()
    await bench.run(60)
    assert bench.annotations() == {}
    assert bench.condition("WarmSettings") == ("False", "KnativeTooOld")
    assert bench.servers[0].hot["max_batch_size"] == 32
    assert bench.condition() == ("True", "Watching")


async def test_a_restarted_operator_goes_on_where_it_was(bench):
    await bench.tune()
    await bench.run(60)
    state, generation = bench.state(), bench.servers[0].generation
    await bench.stop()
    await bench.run(10)
    assert bench.annotations() == {MAX: "4"}
    bench.searches.better = {"max_batch_size": 16, "max_scale": 4}
    bench.start()
    await bench.run(40)
    assert bench.servers[0].generation > generation
    assert bench.servers[0].hot["max_batch_size"] == 16
    assert bench.state()["changes"] == state["changes"] + 1
    assert bench.events("DriftNoticed") == []
    assert len(bench.events("SettingApplied")) == 2


async def test_a_restart_in_silence_keeps_generation_and_settings(bench):
    await bench.tune()
    await bench.run(60)
    before = bench.servers[0].hot
    bench.servers.clear()
    await bench.stop()
    bench.start()
    await bench.run(20)
    desk = bench.world.desks["team", "s"]
    assert desk.outbox.current() == before


async def test_a_held_knob_stays_held_over_a_restart(bench):
    await bench.tune()
    await bench.run(20)
    await bench.cluster.patch(REVISION, {"metadata": {"annotations": {MAX: "9"}}})
    await bench.run(40)
    await bench.stop()
    bench.start()
    await bench.run(40)
    assert bench.annotations() == {MAX: "9"}
    assert len(bench.events("DriftNoticed")) == 1


@pytest.mark.parametrize(
    "state",
    [
        {"changes": "many", "decided_at_s": "yesterday", "spec_generation": []},
        {"platform": {"overlay": {"written": 3}, "roller": {"rollout": {"stage": 1}, "made": 3}, "cpu": "x"}},
        {"platform": {"hot": {"max_batch_size": "x"}, "generation": "x"}, "loop": {"schema": 9}},
        {"decision": {"reason": 3}, "changes": -1.5},
        {"platform": {"generation": 10**400}, "decided_at_s": 10**400, "changes": math.inf},
    ],
)
async def test_a_state_that_cannot_be_does_not_stop_a_tuning(bench, state):
    bench.cluster.put(STATE, {"metadata": {"name": "x"}, "data": {"state.json": json.dumps(state)}})
    await bench.tune()
    await bench.run(20)
    assert bench.condition() == ("True", "Watching")
    assert bench.annotations() == {MAX: "4"}


async def test_deletion_puts_the_service_back_and_lets_the_tuning_go(bench):
    bench.put_revision("s-1", **{MIN: "1"})
    bench.put_service("s-1", **{MIN: "1"})
    bench.searches.better = {"min_scale": 2, "max_batch_size": 32, "target": 7.0}
    await bench.tune()
    await bench.run(20)
    assert bench.annotations() == {MIN: "2", TARGET: "7"}
    generation = bench.servers[0].generation
    desk = bench.world.desks["team", "s"]
    await bench.cluster.delete(TUNING)
    await bench.run(3)
    assert TUNING not in bench.cluster.objects
    assert bench.annotations() == {MIN: "1"}
    assert desk.outbox.generation > generation
    assert desk.outbox.current()["max_batch_size"] == ServingConfig().max_batch_size
    assert bench.events("SettingRestored") == ["the service has its own settings again"]
    assert (len(bench.tunings), bench.world.desks) == (0, {})


async def test_deletion_waits_for_a_cluster_that_is_away(bench):
    await bench.tune()
    await bench.run(20)
    await bench.cluster.delete(TUNING)
    bench.cluster.refusal = AWAY
    await bench.run(30)
    assert TUNING in bench.cluster.objects
    bench.cluster.refusal = None
    await bench.run(3)
    assert TUNING not in bench.cluster.objects
    assert bench.annotations() == {}


async def test_a_late_end_of_an_earlier_tuning_of_the_name_leaves_the_later_one(bench):
    made = await bench.tune()
    earlier = {**made, "metadata": {**made["metadata"], "uid": "uid-earlier"}}
    await bench.run(1)
    await bench.tunings.take(earlier, is_gone=True)
    assert (list(bench.world.tunings), len(bench.tunings)) == ([("team", "tune")], 1)


async def test_deletion_after_the_service_is_gone_is_no_trouble(bench):
    await bench.tune()
    await bench.run(20)
    await bench.cluster.delete(SERVICE)
    await bench.cluster.delete(TUNING)
    await bench.run(3)
    assert TUNING not in bench.cluster.objects


async def test_deletion_before_the_watch_has_told_of_the_service_waits_and_puts_back(bench):
    await bench.tune()
    await bench.run(20)
    assert bench.annotations() == {MAX: "4"}
    await bench.stop()
    bench.world = None
    await bench.cluster.delete(TUNING)
    service = bench.cluster.objects.pop(SERVICE)
    revision = bench.cluster.objects.pop(REVISION)
    bench.start()
    # The cluster knows the service; the watch has not told of it yet.
    bench.cluster.objects |= {SERVICE: service, REVISION: revision}
    await bench.run(10)
    assert TUNING in bench.cluster.objects
    bench.put_service()
    bench.put_revision(**{MAX: "4"})
    await bench.run(10)
    assert TUNING not in bench.cluster.objects
    assert bench.annotations() == {}


async def test_running_servers_hear_of_their_own_settings_before_the_tuning_goes(bench):
    await bench.tune()
    await bench.run(20)
    assert bench.servers[0].hot["max_batch_size"] == 32
    await bench.cluster.delete(TUNING)
    await bench.run(12)
    assert TUNING not in bench.cluster.objects
    assert bench.servers[0].hot["max_batch_size"] == ServingConfig().max_batch_size
    assert HOT not in bench.cluster.objects
    assert STATE not in bench.cluster.objects


async def test_the_state_of_a_tuning_that_was_replaced_is_not_taken_for_ours(bench):
    await bench.tune()
    await bench.run(20)
    await bench.stop()
    state = bench.cluster.objects[STATE]
    del bench.cluster.objects[TUNING]
    bench.cluster.objects[STATE] = {**state, "metadata": {**state["metadata"], "ownerReferences": [{"uid": "another"}]}}
    bench.put_revision()
    await bench.tune(mode="Recommend")
    bench.start()
    await bench.run(3)
    assert bench.status()["changes"] == 0


async def test_an_operator_that_ends_between_a_write_and_its_memory_knows_it_for_its_own(bench, monkeypatch):
    await bench.tune()
    await bench.run(20)
    bench.searches.better = {"max_batch_size": 32, "max_scale": 6}
    monkeypatch.setattr("controller.reconcilers.tuning_teller.Teller.tell", _interrupted)
    await bench.run(40)
    assert bench.annotations() == {MAX: "6"}
    monkeypatch.undo()
    saved = bench.cluster.objects[STATE]
    await bench.stop()
    bench.cluster.objects[STATE] = saved
    bench.start()
    await bench.run(10)
    assert bench.events("DriftNoticed") == []


async def _interrupted(*_):
    raise AWAY


async def test_a_service_made_again_under_its_name_begins_anew(bench):
    await bench.tune()
    await bench.run(20)
    await bench.cluster.delete(SERVICE)
    await bench.cluster.delete(REVISION)
    bench.put_revision()
    bench.put_service()
    await bench.run(40)
    assert bench.events("DriftNoticed") == []
    assert bench.annotations() == {MAX: "4"}


async def test_a_limit_of_zero_holds_for_bursts_too(bench):
    bench.searches.better = {"min_scale": 2}
    await bench.tune(limits={"warmPerMinute": 0})
    await bench.run(40)
    assert bench.annotations() == {}


async def test_a_fence_that_the_cluster_refuses_is_not_asked_for_again(bench, monkeypatch):
    bench.searches.better = {}
    bench.put_revision("s-1", fence=8)
    bench.put_service("s-1", fence=8)
    asked = []

    async def refused(*_, **__):
        asked.append(1)
        raise InvalidError("cluster: answered 422: expected 0 <= 2000 <= 1000", status=422)

    monkeypatch.setattr("controller.platforms.roller.write_slow", refused)
    await bench.tune(**RAISED)
    await bench.run(30)
    assert len(asked) == 1
    assert "was refused" in bench.status()["target"]["heldByOthers"][0]
    assert bench.condition() == ("True", "Watching")


async def test_nothing_is_written_when_nothing_changes(bench):
    await bench.remove_pods()
    await bench.tune()
    await bench.run(200)
    bench.written()
    await bench.run(300)
    assert bench.written() == set()


async def test_figures_of_a_busy_service_are_written_now_and_then(bench):
    await bench.tune()
    await bench.run(60)
    bench.changes.clear()
    for second in range(60):
        bench.servers[0].rate = 20 + 10 * (second % 2)
        await bench.run(1)
    assert 0 < bench.changes.count(TUNING) <= 14
    assert bench.changes.count(STATE) <= 4


async def test_an_outage_leaves_the_state_and_the_setting_and_passes(bench):
    await bench.tune()
    await bench.run(60)
    state, hot = bench.state(), bench.servers[0].hot
    bench.cluster.refusal = AWAY
    bench.written()
    await bench.run(60)
    assert bench.written() == set()
    assert (bench.state(), bench.servers[0].hot, bench.annotations()) == (state, hot, {MAX: "4"})
    bench.cluster.refusal = None
    bench.searches.better = {"max_batch_size": 16, "max_scale": 3}
    await bench.run(40)
    assert bench.condition() == ("True", "Watching")
    assert (bench.annotations(), bench.servers[0].hot["max_batch_size"]) == ({MAX: "3"}, 16)


async def test_an_operator_that_starts_in_an_outage_does_not_forget(bench):
    await bench.tune()
    await bench.run(60)
    generation = bench.servers[0].generation
    await bench.stop()
    bench.cluster.refusal = AWAY
    bench.start()
    await bench.run(30)
    bench.cluster.refusal = None
    await bench.run(10)
    assert bench.world.desks["team", "s"].outbox.generation >= generation
    assert bench.state()["changes"] == 1


async def test_a_status_that_is_refused_does_not_stop_the_tuning(bench):
    bench.cluster.refuses_status = True
    await bench.tune()
    await bench.run(30)
    assert bench.annotations() == {MAX: "4"}
    assert bench.servers[0].hot["max_batch_size"] == 32
    assert bench.state()["changes"] == 1


async def test_an_error_that_nobody_thought_of_does_not_end_a_tuning(bench, monkeypatch, caplog):
    submit = bench.searches.submit

    def fail(problem):
        monkeypatch.setattr(bench.searches, "submit", submit)
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(bench.searches, "submit", fail)
    await bench.tune()
    await bench.run(60)
    assert bench.annotations() == {MAX: "4"}
    assert "a defect" in caplog.text


RAISED = {"bounds": {"containerConcurrency": {"min": 16}}}


def fence(bench):
    return bench.cluster.objects[SERVICE]["spec"]["template"]["spec"].get("containerConcurrency")


async def test_a_fence_below_what_the_spec_asks_for_is_raised_by_a_rollout(bench):
    bench.searches.better = {}
    bench.put_revision("s-1", fence=8)
    bench.put_service("s-1", fence=8)
    await bench.tune(**RAISED)
    await bench.run(5)
    assert fence(bench) == 16
    bench.roll("s-2", 16)
    bench.put_pod("s-2-deployment-b")
    await bench.run(50)
    assert len(bench.events("RolloutStarted")) == 1
    assert bench.events("RolloutFinished") == ["containerConcurrency 8 → 16 on s-2"]
    assert bench.status()["target"]["settings"]["containerConcurrency"] == "16"
    await bench.cluster.delete(TUNING)
    await bench.run(3)
    assert fence(bench) == 8


async def test_a_new_revision_that_is_no_worse_than_a_burning_service_was_stays(bench):
    bench.searches.better = {}
    bench.put_revision("s-1", fence=8)
    bench.put_service("s-1", fence=8)
    missed = {"slo": {"quantile": "0.95", "latency": "50ms"}}
    await bench.tune(objective=missed)
    await bench.run(30)
    assert bench.condition("SLOMet") == ("False", "Measured")
    await bench.change(**RAISED)
    await bench.run(5)
    await bench.remove_pods()
    bench.roll("s-2", 16)
    bench.put_pod("s-2-deployment-b")
    await bench.run(50)
    assert bench.events("RolledBack") == []
    assert bench.events("RolloutFinished") == ["containerConcurrency 8 → 16 on s-2"]


async def test_a_rollout_that_was_undone_is_not_tried_again_not_even_after_a_restart(bench):
    bench.searches.better = {}
    bench.put_revision("s-1", fence=8)
    bench.put_service("s-1", fence=8)
    await bench.tune(**RAISED)
    await bench.run(5)
    bench.roll("s-2", 16, why_not="no such image")
    await bench.run(5)
    assert fence(bench) == 8
    bench.roll("s-3", 8)
    await bench.run(5)
    assert len(bench.events("RolledBack")) == 1
    await bench.run(40)
    await bench.stop()
    bench.start()
    await bench.run(40)
    assert len(bench.events("RolloutStarted")) == 1
    assert fence(bench) == 8
    assert bench.status()["target"]["heldByOthers"][0].startswith("containerConcurrency: rolled back, ")


async def test_a_rollout_goes_on_after_a_restart(bench):
    bench.searches.better = {}
    bench.put_revision("s-1", fence=8)
    bench.put_service("s-1", fence=8)
    await bench.tune(**RAISED)
    await bench.run(2)
    await bench.stop()
    bench.start()
    bench.roll("s-2", 16)
    bench.put_pod("s-2-deployment-b")
    await bench.run(60)
    assert len(bench.events("RolloutStarted")) == 1
    assert len(bench.events("RolloutFinished")) == 1


async def test_a_tuning_waits_while_a_sweep_measures_and_lays_its_settings_on_again(bench):
    await bench.tune()
    await bench.run(20)
    bench.world.held["team", "s"] = "campaign"
    await bench.run(2)
    await bench.cluster.patch(REVISION, {"metadata": {"annotations": {MAX: "1"}}})
    await bench.run(30)
    assert bench.condition() == ("False", "SweepRuns")
    assert bench.annotations() == {MAX: "1"}
    del bench.world.held["team", "s"]
    await bench.run(5)
    assert bench.annotations() == {MAX: "4"}
    assert bench.events("DriftNoticed") == []


async def test_an_operator_that_ends_leaves_services_as_they_are(bench):
    await bench.tune()
    await bench.run(20)
    bench.written()
    with contextlib.suppress(asyncio.CancelledError):
        await bench.tunings.aclose()
    await bench.run(5)
    assert bench.written() == set()
    assert bench.world.desks == {}
