"""Ends that a watch never told of are noticed, and nothing else is taken for gone."""

import asyncio

import pytest

from controller.platforms.cluster_client import ClusterCallError
from controller.platforms.fake_cluster import FakeCluster
from controller.platforms.watched import Watched
from controller.reconcilers.resync import EVERY_S, Resync, followed_of
from controller.reconcilers.workers import Workers

pytestmark = pytest.mark.looptime

PODS = "/api/v1/namespaces/team/pods"
SERVING = "/apis/serving.knative.dev/v1/namespaces/team"
SWEEPS = "/apis/tidegate.dev/v1alpha1/namespaces/team/sweeps"
AWAY = ClusterCallError("cluster: no answer", status=0)


class Rest:
    """Works on nothing."""

    def take(self, document):
        pass

    async def run(self):
        await asyncio.Event().wait()


class Asked(FakeCluster):
    """Remembers what was listed, refuses some of it, and does something in the middle of it."""

    __slots__ = ("lists", "meanwhile", "refused")

    async def uids(self, path, *, labels=""):
        if path == self.refused:
            raise AWAY
        self.lists.append(path + (f"?{labels}" if labels else ""))
        found = await super().uids(path, labels=labels)
        self.meanwhile()
        return found


class Operator:
    """What an operator knows, and the cluster that it knows it of."""

    def __init__(self, namespaces=()):
        self.cluster, self.watched = Asked(), Watched()
        self.cluster.lists, self.cluster.meanwhile, self.cluster.refused = [], lambda: None, ""
        self.own = {plural: Workers(plural, lambda *_: Rest()) for plural in ("inferencetunings", "sweeps")}
        self.resync = Resync(self.cluster, followed_of(self.watched, self.own), namespaces)

    def add(self, path, name, *, uid=None, is_told=True):
        """Make an object, of which the watch tells."""
        metadata = {"name": name, "namespace": "team", "uid": uid or f"uid-{name}"}
        metadata |= {"creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"serving.knative.dev/service": "s"}}
        self.cluster.objects[f"{path}/{name}"] = {"metadata": metadata}
        take = {PODS: self.watched.take_pod, f"{SERVING}/services": self.watched.take_service}
        take |= {f"{SERVING}/revisions": self.watched.take_revision}
        if is_told:
            take[path]({"metadata": metadata}, is_gone=False)

    @property
    def seen(self):
        return self.watched.service(("team", "s"))


@pytest.fixture
def operator():
    return Operator()


async def test_a_pod_whose_end_was_missed_is_gone_and_one_that_is_there_stays(operator):
    operator.add(PODS, "a")
    operator.add(PODS, "b")
    del operator.cluster.objects[f"{PODS}/a"]
    await operator.resync.compare()
    assert list(operator.seen.pods) == ["b"]
    assert operator.watched.find_pod("uid-a") is None
    assert operator.watched.find_pod("uid-b") is not None


async def test_services_and_revisions_that_are_gone_are_told_of_too(operator):
    operator.add(f"{SERVING}/services", "s")
    operator.add(f"{SERVING}/revisions", "s-1")
    operator.cluster.objects.clear()
    operator.seen.changed.clear()
    await operator.resync.compare()
    assert (operator.seen.service, operator.seen.revisions) == (None, {})
    assert operator.seen.changed.is_set()


async def test_the_worker_of_a_resource_that_is_gone_ends(operator):
    sweeps = operator.own["sweeps"]
    for name in ("a", "b"):
        operator.add(SWEEPS, name, is_told=False)
        await sweeps.take(operator.cluster.objects[f"{SWEEPS}/{name}"], is_gone=False)
    del operator.cluster.objects[f"{SWEEPS}/a"]
    await operator.resync.compare()
    assert [each["metadata"]["name"] for each in sweeps.known()] == ["b"]
    await sweeps.aclose()


async def test_what_was_made_again_under_its_name_unseen_has_taken_the_place_of_a_ghost(operator):
    operator.add(PODS, "a", uid="old")
    operator.add(PODS, "a", uid="new", is_told=False)
    await operator.resync.compare()
    assert operator.seen.pods == {}


async def test_what_was_made_again_under_its_name_and_seen_stays(operator):
    operator.add(PODS, "a", uid="old")
    operator.add(PODS, "a", uid="new")
    await operator.resync.compare()
    assert operator.seen.pods["a"].uid == "new"


async def test_what_is_made_again_during_the_list_stays(operator):
    operator.add(PODS, "a", uid="old")
    operator.cluster.objects.clear()
    operator.cluster.meanwhile = lambda: operator.add(PODS, "a", uid="new")
    await operator.resync.compare()
    assert operator.seen.pods["a"].uid == "new"


async def test_what_comes_during_the_list_is_not_taken_for_gone(operator):
    operator.add(PODS, "a")
    operator.cluster.meanwhile = lambda: operator.add(PODS, "b")
    await operator.resync.compare()
    assert list(operator.seen.pods) == ["a", "b"]


async def test_without_a_list_nothing_is_gone_and_it_is_told_once(operator, caplog):
    operator.add(PODS, "a")
    del operator.cluster.objects[f"{PODS}/a"]
    operator.cluster.refusal = AWAY
    await operator.resync.compare()
    await operator.resync.compare()
    assert list(operator.seen.pods) == ["a"]
    assert caplog.text.count("resync_failed kind=pods") == 1
    operator.cluster.refusal = None
    await operator.resync.compare()
    assert list(operator.seen.pods) == []


async def test_a_failure_after_a_success_is_told_again(operator, caplog):
    operator.add(PODS, "a")
    for refusal in (AWAY, None, AWAY):
        operator.cluster.refusal = refusal
        await operator.resync.compare()
    assert caplog.text.count("resync_failed kind=pods") == 2


async def test_a_kind_that_may_not_be_listed_does_not_hold_up_the_others(operator):
    operator.add(f"{SERVING}/services", "s")
    operator.add(PODS, "a")
    operator.cluster.objects.clear()
    operator.cluster.refused = "/apis/serving.knative.dev/v1/services"
    await operator.resync.compare()
    assert operator.seen.service is not None
    assert operator.seen.pods == {}


async def test_pods_are_asked_for_as_the_watch_asks_and_once_for_the_whole_cluster(operator):
    operator.add(PODS, "a")
    await operator.resync.compare()
    assert operator.cluster.lists == ["/api/v1/pods?serving.knative.dev/service"]


async def test_only_the_served_namespaces_are_asked_for():
    operator = Operator(namespaces=("other", "team"))
    operator.add(f"{SERVING}/services", "s")
    await operator.resync.compare()
    other = "/apis/serving.knative.dev/v1/namespaces/other/services"
    assert operator.cluster.lists == [other, f"{SERVING}/services"]
    assert operator.seen.service is not None


async def test_of_what_nothing_is_known_nothing_is_asked(operator):
    await operator.resync.compare()
    assert operator.cluster.lists == []


async def test_it_is_done_every_five_minutes(operator):
    operator.add(PODS, "a")
    task = asyncio.create_task(operator.resync.keep())
    await asyncio.sleep(2 * EVERY_S + 1)
    task.cancel()
    assert (EVERY_S, len(operator.cluster.lists)) == (300.0, 2)


async def test_a_late_end_of_an_earlier_resource_leaves_the_worker_of_the_later_one(operator):
    sweeps = operator.own["sweeps"]
    old, new = ({"metadata": {"name": "a", "namespace": "team", "uid": uid}} for uid in ("old", "new"))
    for each in (old, new):
        await sweeps.take(each, is_gone=False)
    await sweeps.take(old, is_gone=True)
    assert [each["metadata"]["uid"] for each in sweeps.known()] == ["new"]
    await sweeps.aclose()
