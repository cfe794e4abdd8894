"""The Platform over a Knative Service: hot by the link, warm on Revisions, slow by a rollout, all taken back."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controller.domain.serving_config import ServingConfig
from controller.errors import TemporaryError
from controller.platforms.cluster_client import ClusterCallError, ForbiddenError, InvalidError
from controller.platforms.fake_cluster import FakeCluster
from controller.platforms.knative import KnativePlatform
from controller.platforms.owned import Owner
from controller.platforms.place import ClusterFacts, Place
from controller.platforms.revision_annotations import ANNOTATION_OF
from controller.platforms.warm_settings import VERIFY_S
from controller.platforms.watched import Watched
from controller.telemetry.outbox import Outbox

pytestmark = pytest.mark.looptime

BEGAN_S = 1_767_225_600.0
SERVING = "/apis/serving.knative.dev/v1/namespaces/team"
SERVICE, REVISION, REVISION_2 = f"{SERVING}/services/s", f"{SERVING}/revisions/s-1", f"{SERVING}/revisions/s-2"
SCALER = "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces/team/podautoscalers"
HOT = "/api/v1/namespaces/team/configmaps/tidegate-hot-s"
MIN, MAX, ACTIVATION = (ANNOTATION_OF[knob] for knob in ("min_scale", "max_scale", "activation_scale"))
TARGET, WINDOW = ANNOTATION_OF["target"], ANNOTATION_OF["window_s"]
AWAY = ClusterCallError("cluster: no answer", status=0)


def wall():
    return BEGAN_S + asyncio.get_running_loop().time()


def at(second):
    return datetime.fromtimestamp(BEGAN_S + second, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Knative(FakeCluster):
    """A cluster whose autoscalers follow annotations, do not, are hidden, or cannot be asked."""

    scalers = "follow"
    refused = None
    """An annotation that is not taken, with the status and words of the answer."""

    async def get(self, path):
        if path.startswith(SCALER) and self.scalers == "forbidden":
            raise ForbiddenError("cluster: answered 403: podautoscalers is forbidden", status=403)
        if path.startswith(SCALER) and self.scalers == "away":
            raise AWAY
        return await super().get(path)

    async def patch(self, path, change, *, kind="merge"):
        name, status, words = self.refused or ("", 0, "")
        if name and change.get("metadata", {}).get("annotations", {}).get(name):
            error = {400: InvalidError, 403: ForbiddenError}[status]
            raise error(f"cluster: answered {status}: {words}: {name}", status=status)
        found = await super().patch(path, change, kind=kind)
        name = path.rpartition("/")[2]
        if path.startswith(f"{SERVING}/revisions/") and self.scalers == "follow":
            self.objects[f"{SCALER}/{name}"] = {"metadata": {"annotations": found["metadata"].get("annotations")}}
        elif path.startswith(f"{SERVING}/revisions/") and self.scalers == "stay":
            self.objects[f"{SCALER}/{name}"] = {"metadata": {}}
        return found


class Bench:
    """One service and its platform."""

    def __init__(self):
        self.cluster, self.watched, self.facts, self.outbox = Knative(wall=wall), Watched(), ClusterFacts({}), Outbox()
        self.changes = []
        self.cluster.followers.append(self.watch)
        owner = Owner("tidegate.dev/v1alpha1", "InferenceTuning", "tune", "uid-7")
        seen = self.watched.service(("team", "s"))
        self.place = Place(self.cluster, self.facts, seen, "team", "s", owner, wall)
        self.platform = KnativePlatform(self.place, self.outbox, started_at_s=BEGAN_S)

    def watch(self, path, document, is_gone):
        self.changes.append(path)
        take = {"services": "take_service", "revisions": "take_revision", "pods": "take_pod"}.get(path.split("/")[-2])
        if take:
            getattr(self.watched, take)(document, is_gone=is_gone)

    def put_revision(self, name="s-1", *, fence=0, **annotations):
        metadata = {"name": name, "namespace": "team", "labels": {"serving.knative.dev/service": "s"}}
        spec = {"containers": [{"name": "user-container"}], "containerConcurrency": fence}
        self.cluster.put(
            f"{SERVING}/revisions/{name}", {"metadata": {**metadata, "annotations": annotations}, "spec": spec}
        )

    def put_service(self, newest="s-1", *, traffic=None, ready=None, **annotations):
        shares = traffic or {newest: 100}
        status = {
            "latestCreatedRevisionName": newest,
            "latestReadyRevisionName": newest if ready is None else ready,
            "traffic": [{"revisionName": name, "percent": percent} for name, percent in shares.items() if name],
        }
        spec = {"template": {"metadata": {"annotations": annotations}, "spec": {}}}
        document = {"metadata": {"name": "s", "namespace": "team"}, "spec": spec, "status": status}
        self.cluster.put(SERVICE, document)

    def put_pod(self, name, *, created=0, ready=None, phase="Running", **metadata):
        labels = {"serving.knative.dev/service": "s", "serving.knative.dev/revision": "s-1"}
        conditions = [] if ready is None else [{"type": "Ready", "status": "True", "lastTransitionTime": at(ready)}]
        self.cluster.put(
            f"/api/v1/namespaces/team/pods/{name}",
            {
                "metadata": {
                    "name": name,
                    "namespace": "team",
                    "labels": labels,
                    "creationTimestamp": at(created),
                    **metadata,
                },
                "spec": {"containers": [{"name": "user-container"}]},
                "status": {"conditions": conditions, "phase": phase},
            },
        )

    async def apply(self, **wanted):
        return await self.platform.apply(replace(self.platform.present(), **wanted))

    def annotations(self, path=REVISION):
        return self.cluster.objects[path]["metadata"]["annotations"]

    def hot(self):
        return json.loads(self.cluster.objects[HOT]["data"]["hot-settings.json"])


@pytest.fixture
def bench():
    made = Bench()
    made.put_revision()
    made.put_service()
    made.put_pod("a", ready=2)
    return made


async def test_what_is_in_force_already_costs_nothing(bench):
    bench.changes.clear()
    applied = await bench.apply()
    assert (applied.price, applied.changes, bench.changes) == (None, {}, [])


async def test_a_hot_change_goes_to_servers_and_into_the_map_for_pods_to_come(bench):
    applied = await bench.apply(max_batch_size=16)
    assert (applied.price, applied.changes, applied.generation) == ("hot", {"max_batch_size": (8, 16)}, 1)
    assert bench.hot() == bench.outbox.current()
    assert (bench.hot()["generation"], bench.hot()["max_batch_size"]) == (1, 16)
    owner = bench.cluster.objects[HOT]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("InferenceTuning", "uid-7")
    assert bench.annotations() == {}


async def test_a_map_of_hot_settings_that_could_not_be_written_is_written_later(bench):
    bench.cluster.refusal = AWAY
    with pytest.raises(TemporaryError):
        await bench.apply(max_batch_size=16)
    bench.cluster.refusal = None
    await bench.platform.enforce()
    assert bench.hot() == bench.outbox.current()


async def test_a_later_number_that_servers_know_comes_into_the_map(bench):
    await bench.apply(max_batch_size=16)
    bench.outbox.saw(40)
    await bench.platform.enforce()
    assert bench.hot()["generation"] == bench.outbox.generation == 41
    bench.changes.clear()
    await bench.platform.enforce()
    assert bench.changes == []


async def test_a_warm_change_is_written_on_the_revision_and_seen_in_its_autoscaler(bench):
    applied = await bench.apply(min_scale=1, max_scale=4)
    assert (applied.price, applied.revision) == ("warm", "s-1")
    assert bench.annotations() == {MIN: "1", MAX: "4"}
    assert bench.facts.has_warm is True
    assert bench.platform.present().max_scale == 4


async def test_a_start_from_zero_is_written_at_zero_and_taken_away_as_no_annotation(bench):
    bench.cluster.remove("/api/v1/namespaces/team/pods/a")
    await bench.apply(activation_scale=3)
    assert bench.annotations() == {ACTIVATION: "3"}
    bench.put_pod("b", ready=2)
    await bench.apply(activation_scale=0, min_scale=5)
    assert bench.annotations() == {MIN: "5"}


async def test_a_target_above_the_fence_is_not_asked_for_again_and_again(bench):
    bench.put_revision("s-1", fence=6)
    applied = await bench.apply(target=8)
    assert applied.changes == {}


async def test_a_scale_that_knative_would_refuse_beside_the_start_from_zero_is_not_asked_for(bench):
    bench.put_revision("s-1", **{ACTIVATION: "3"})
    bench.put_service("s-1", **{ACTIVATION: "3"})
    await bench.apply(min_scale=5, max_scale=8)
    assert bench.annotations() == {ACTIVATION: "5", MIN: "5", MAX: "8"}
    await bench.apply(min_scale=1, max_scale=2, activation_scale=3)
    assert bench.annotations() == {ACTIVATION: "2", MIN: "1", MAX: "2"}
    await bench.platform.release()
    assert bench.annotations() == {ACTIVATION: "3"}


async def test_a_burst_may_raise_the_scale_and_take_the_start_from_zero_away_though_the_limit_is_spent(bench):
    bench.put_revision("s-1", **{ACTIVATION: "3"})
    bench.put_service("s-1", **{ACTIVATION: "3"})
    bench.platform.limits.set(2, 1)
    await bench.apply(target=50)
    await bench.apply(min_scale=7, activation_scale=0)
    assert bench.annotations() == {MIN: "7", TARGET: "50"}


@pytest.mark.parametrize(("status", "words"), [(400, "denied"), (403, 'admission webhook "policy" denied')])
async def test_what_the_cluster_refuses_is_held_and_the_rest_is_written(bench, status, words):
    bench.cluster.refused = (WINDOW, status, words)
    applied = await bench.apply(window_s=7.5, max_scale=4)
    assert applied.changes == {"max_scale": (0, 4)}
    assert bench.annotations() == {MAX: "4"}
    assert "was refused" in bench.platform.overlay.held["window_s"]
    bench.changes.clear()
    await bench.apply(window_s=7.5)
    await bench.platform.enforce()
    assert bench.changes == []
    bench.platform.overlay.release()  # the tuning was changed
    bench.cluster.refused = None
    await bench.apply(window_s=8)
    assert bench.annotations() == {MAX: "4", WINDOW: "8s"}


async def test_a_right_that_is_lacking_is_no_reason_to_hold_a_setting(bench):
    bench.cluster.refused = (MAX, 403, 'User "operator" cannot patch resource "revisions"')
    with pytest.raises(TemporaryError):
        await bench.apply(max_scale=4)
    assert bench.platform.overlay.held == {}


async def test_an_autoscaler_that_does_not_follow_gets_everything_back_and_is_left_alone(bench):
    bench.cluster.scalers = "stay"
    bench.put_revision("s-1", **{MAX: "9"})
    bench.put_service("s-1", **{MAX: "9"})
    with pytest.raises(TemporaryError, match=r"does not follow annotations \(Knative before 1.21\)"):
        await bench.apply(min_scale=1, max_scale=4)
    assert asyncio.get_running_loop().time() == pytest.approx(VERIFY_S)
    assert bench.annotations() == {MAX: "9"}
    assert bench.facts.has_warm is False
    applied = await bench.apply(min_scale=1, max_scale=4, max_batch_size=16)
    assert (applied.price, list(applied.changes)) == ("hot", ["max_batch_size"])
    assert bench.annotations() == {MAX: "9"}


@pytest.mark.parametrize("scalers", ["forbidden", "none"])
async def test_where_the_autoscaler_cannot_be_looked_at_nothing_speaks_against_it(bench, scalers):
    bench.cluster.scalers = scalers
    await bench.apply(max_scale=4)
    assert bench.facts.has_warm is True
    assert bench.annotations() == {MAX: "4"}


async def test_an_outage_while_it_is_tried_leaves_the_question_open(bench):
    bench.cluster.scalers = "away"
    with pytest.raises(TemporaryError):
        await bench.apply(max_scale=4)
    assert bench.facts.has_warm is None
    bench.cluster.scalers = "follow"
    await bench.platform.enforce()
    assert bench.platform.overlay.held == {}
    await bench.apply(max_scale=5)
    assert (bench.facts.has_warm, bench.annotations()) == (True, {MAX: "5"})


async def test_more_warm_changes_than_allowed_wait_and_hot_ones_do_not(bench):
    for number in range(1, 10):
        await bench.apply(max_scale=number, max_batch_size=number)
    assert bench.annotations() == {MAX: "6"}
    assert bench.hot()["max_batch_size"] == 9
    await asyncio.sleep(61)
    await bench.apply(max_scale=9)
    assert bench.annotations() == {MAX: "9"}


async def test_a_service_at_zero_is_never_woken(bench):
    await bench.cluster.delete("/api/v1/namespaces/team/pods/a")
    applied = await bench.apply(min_scale=2, max_scale=4, container_concurrency=16)
    assert (bench.annotations(), list(applied.changes)) == ({MAX: "4"}, ["max_scale"])
    assert bench.platform.roller.rollout is None


async def test_a_service_at_zero_may_be_let_go_further(bench):
    bench.put_revision("s-1", **{MIN: "3"})
    await bench.cluster.delete("/api/v1/namespaces/team/pods/a")
    await bench.apply(min_scale=0)
    assert bench.annotations() == {MIN: "0"}


async def test_a_highest_scale_below_the_lowest_takes_the_lowest_along(bench):
    bench.put_revision("s-1", **{MIN: "3"})
    await bench.cluster.delete("/api/v1/namespaces/team/pods/a")
    await bench.platform.apply(ServingConfig(min_scale=1, max_scale=1))
    assert bench.annotations() == {MIN: "1", MAX: "1"}


async def test_a_held_knob_is_left_alone(bench):
    await bench.apply(max_scale=4)
    await bench.cluster.patch(REVISION, {"metadata": {"annotations": {MAX: "7"}}})
    await bench.platform.enforce()
    applied = await bench.apply(max_scale=2, min_scale=1)
    assert list(applied.changes) == ["min_scale"]
    assert bench.annotations() == {MIN: "1", MAX: "7"}


async def test_every_revision_that_takes_traffic_gets_our_settings(bench):
    await bench.apply(max_scale=4)
    bench.put_revision("s-2")
    bench.put_service("s-2", traffic={"s-1": 90, "s-2": 10})
    await bench.platform.enforce()
    assert (bench.annotations(), bench.annotations(REVISION_2)) == ({MAX: "4"}, {MAX: "4"})
    bench.changes.clear()
    await bench.platform.enforce()
    assert bench.changes == []


async def test_the_setting_in_force_is_that_of_the_revision_with_most_traffic(bench):
    bench.put_revision("s-2", fence=8)
    bench.put_service("s-2", traffic={"s-1": 90, "s-2": 10})
    assert bench.platform.present().container_concurrency == 0
    bench.put_service("s-2", traffic={"s-1": 10, "s-2": 90})
    assert bench.platform.present().container_concurrency == 8


async def test_a_slow_change_begins_a_rollout_and_no_second_one(bench):
    applied = await bench.apply(container_concurrency=16)
    assert applied.price == "slow"
    assert bench.cluster.objects[SERVICE]["spec"]["template"]["spec"] == {"containerConcurrency": 16}
    again = await bench.apply(container_concurrency=32)
    assert again.changes == {}


async def test_slow_changes_are_limited_too(bench):
    bench.platform.limits.set(0, 6)
    assert (await bench.apply(container_concurrency=16)).changes == {}


async def test_instances_that_a_burst_needs_are_not_refused_by_the_limits(bench):
    bench.platform.limits.set(2, 1)
    await bench.apply(min_scale=2)
    assert list((await bench.apply(min_scale=5, max_scale=8)).changes) == ["min_scale", "max_scale"]
    assert (await bench.apply(min_scale=1)).changes == {}


async def test_release_takes_everything_back(bench):
    bench.put_service("s-1", **{MIN: "1"})
    bench.put_revision("s-1", **{MIN: "1", "other": "kept"})
    await bench.apply(min_scale=2, target=7.0, max_batch_size=16)
    generation = bench.outbox.generation
    await bench.platform.release()
    assert bench.annotations() == {MIN: "1", "other": "kept"}
    assert bench.hot()["max_batch_size"] == 8
    assert bench.hot()["generation"] == bench.outbox.generation > generation
    bench.changes.clear()
    await bench.platform.release()
    assert bench.changes == []


async def test_release_of_a_slow_change_puts_the_fence_back(bench):
    await bench.apply(container_concurrency=16)
    await bench.platform.release()
    assert bench.cluster.objects[SERVICE]["spec"]["template"]["spec"] == {}
    assert bench.platform.roller.rollout is None


async def test_release_without_a_change_of_ours_writes_nothing(bench):
    bench.changes.clear()
    await bench.platform.release()
    assert bench.changes == []


async def test_a_release_that_was_cut_off_is_finished_later(bench):
    await bench.apply(max_scale=4, max_batch_size=16)
    bench.cluster.refusal = AWAY
    with pytest.raises(TemporaryError):
        await bench.platform.release()
    bench.cluster.refusal = None
    await bench.platform.release()
    assert (bench.annotations(), bench.hot()["max_batch_size"]) == ({}, 8)


async def test_what_was_done_is_known_after_a_restart(bench):
    await bench.apply(max_scale=4, container_concurrency=16)
    document = json.loads(json.dumps(bench.platform.to_document()))
    restarted = KnativePlatform(bench.place, bench.outbox, started_at_s=BEGAN_S)
    restarted.restore(document)
    assert restarted.to_document() == bench.platform.to_document()
    await restarted.release()
    assert bench.annotations() == {}
    assert bench.cluster.objects[SERVICE]["spec"]["template"]["spec"] == {}


@pytest.mark.parametrize("document", [{}, {"overlay": [], "roller": 3, "cpu": "x"}, {"roller": {"rollout": {}}}])
async def test_what_is_no_such_document_is_no_state(bench, document):
    bench.platform.restore(document)
    assert bench.platform.to_document() == KnativePlatform(bench.place, Outbox(), started_at_s=0.0).to_document()


async def test_pods_are_counted_by_what_they_do(bench):
    bench.put_pod("b", created=1)
    bench.put_pod("c", ready=3, deletionTimestamp=at(5))
    bench.put_pod("d", ready=3, phase="Succeeded")
    await asyncio.sleep(5)
    state = await bench.platform.state()
    assert (state.ready, state.starting, state.revision, state.at_s) == (1, 1, "s-1", 5.0)


async def test_pods_are_told_oldest_first_on_the_runs_clock(bench):
    bench.put_pod("b", created=-10, ready=-7)
    rows = await bench.platform.instances()
    assert [(row.instance, row.started_s, row.ready_s) for row in rows] == [("b", -10.0, -7.0), ("a", 0.0, 2.0)]


async def test_the_quickest_start_is_what_a_start_takes(bench):
    bench.put_pod("b", created=1, ready=2)
    assert bench.platform.shape.cold_start_s == 1.0


async def test_a_service_that_is_not_there_is_told_with_its_remedy(bench):
    await bench.cluster.delete(SERVICE)
    with pytest.raises(TemporaryError, match="service s: is not there; create it"):
        bench.platform.present()


async def test_a_service_that_was_never_ready_has_no_setting(bench):
    bench.put_service("s-1", ready="", traffic={"": 100})
    with pytest.raises(TemporaryError, match="has no ready revision yet"):
        bench.platform.present()


async def test_a_revision_that_the_watch_has_not_told_of_is_waited_for(bench):
    bench.put_service("s-9")
    with pytest.raises(TemporaryError, match="s-9 is not seen yet"):
        bench.platform.present()
