"""Whose heartbeat it is: the pod's of the token, found by the watch or asked for, and nobody's that is gone."""

from datetime import UTC, datetime

import pytest

from controller.errors import TemporaryError
from controller.platforms.cluster_client import ClusterCallError, ForbiddenError
from controller.platforms.fake_cluster import FakeCluster
from controller.platforms.place import ClusterFacts
from controller.platforms.watched import Watched
from controller.reconcilers.events import Events
from controller.reconcilers.link import PodReception
from controller.reconcilers.operator_metrics import OperatorMetrics
from controller.reconcilers.world import World
from controller.telemetry.identity import PodIdentity
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox
from controller.telemetry.pace import BURST
from controller.telemetry.reception import Desk, RefusedError, TooFastError

POD = "/api/v1/namespaces/team/pods/p"
HEADER = "Bearer token"


class Identity:
    """Believes a token to be one pod's."""

    who = PodIdentity("team", "p", "uid-p", "default")

    async def verify(self, token):
        if token != "token":  # noqa: S105  the word itself
            raise RefusedError("heartbeat: not a token of this cluster")
        return self.who


def pod(uid="uid-p", service="s", created="2026-01-01T00:00:00Z"):
    labels = {"serving.knative.dev/service": service} if service else {}
    metadata = {"name": "p", "namespace": "team", "uid": uid, "labels": labels}
    return {"metadata": {**metadata, "creationTimestamp": created}, "spec": {"containers": []}}


@pytest.fixture
def world():
    cluster = FakeCluster()
    return World(
        cluster=cluster,
        watched=Watched(),
        facts=ClusterFacts({}),
        events=Events(cluster),
        searches=None,
        metrics=OperatorMetrics(),
        bundle=None,
        prometheus=None,
    )


@pytest.fixture
def desk(world):
    made = Desk(HeartbeatMerge(), Outbox(), lambda: 0.0)
    world.desks["team", "s"] = made
    return made


@pytest.fixture
def reception(world):
    made = PodReception(world)
    made._identity, made._began_s = Identity(), 0.0
    return made


async def test_a_pod_that_the_watch_knows_is_heard_without_a_call(world, reception, desk):
    world.watched.take_pod(pod(), is_gone=False)
    world.cluster.refusal = ClusterCallError("cluster: no answer", status=0)
    found = await reception.find(HEADER)
    assert (found.merge, found.outbox, found.instance) == (desk.merge, desk.outbox, "p")
    assert world.metrics.heartbeats == {"merged": 1}


async def test_a_pod_that_speaks_before_the_watch_tells_of_it_is_asked_for_once(world, reception, desk):
    world.cluster.put(POD, pod())
    assert (await reception.find(HEADER)).merge is desk.merge
    del world.cluster.objects[POD]
    assert (await reception.find(HEADER)).merge is desk.merge


async def test_the_token_of_a_pod_that_is_gone_is_refused(world, reception, desk):
    with pytest.raises(RefusedError, match="is of a pod that is gone"):
        await reception.find(HEADER)
    assert world.metrics.heartbeats == {"refused": 1}


async def test_the_token_of_an_earlier_pod_of_the_same_name_is_refused(world, reception, desk):
    world.cluster.put(POD, pod(uid="uid-later"))
    with pytest.raises(RefusedError, match="is of a pod that is gone"):
        await reception.find(HEADER)


async def test_after_the_watch_has_told_of_its_end_a_pod_is_refused(world, reception, desk):
    world.watched.take_pod(pod(), is_gone=False)
    world.watched.take_pod(pod(), is_gone=True)
    with pytest.raises(RefusedError):
        await reception.find(HEADER)


@pytest.mark.parametrize("header", ["", "token", "Basic token", "Bearer other", "Bearer "])
async def test_who_shows_no_token_of_ours_is_refused(world, reception, desk, header):
    with pytest.raises(RefusedError):
        await reception.find(header)
    assert world.metrics.heartbeats == {"refused": 1}


@pytest.mark.parametrize("service", ["other", ""])
async def test_a_pod_of_a_service_that_is_not_tuned_is_told_so(world, reception, desk, service):
    world.watched.take_pod(pod(service=service), is_gone=False)
    world.cluster.put(POD, pod(service=service))
    assert await reception.find(HEADER) is None
    assert world.metrics.heartbeats == {"untuned": 1}


async def test_a_pod_of_a_namespace_that_is_not_served_is_told_that_it_is_not_tuned(world, reception, desk):
    world.cluster.refusal = ForbiddenError("cluster: answered 403: pods is forbidden", status=403)
    assert await reception.find(HEADER) is None
    assert world.metrics.heartbeats == {"untuned": 1}


@pytest.mark.parametrize("service", ["s", "other"])
async def test_a_pod_that_floods_is_refused_by_name_and_another_is_not(world, reception, desk, service):
    world.watched.take_pod(pod(service=service), is_gone=False)
    for _ in range(BURST):
        await reception.find(HEADER)
    with pytest.raises(TooFastError, match="pod team/p sends more than 5 a second"):
        await reception.find(HEADER)
    assert world.metrics.heartbeats == {"merged" if service == "s" else "untuned": BURST, "too-fast": 1}
    reception._identity.who = PodIdentity("team", "q", "uid-q", "default")
    world.watched.take_pod(pod(uid="uid-q", service=service), is_gone=False)
    await reception.find(HEADER)


async def test_an_outage_is_no_refusal(world, reception, desk):
    world.cluster.refusal = ClusterCallError("cluster: no answer", status=0)
    with pytest.raises(TemporaryError):
        await reception.find(HEADER)
    assert world.metrics.heartbeats == {}


async def test_an_operator_that_has_just_started_tells_nobody_that_it_is_not_tuned(world):
    world.watched.take_pod(pod(), is_gone=False)
    reception = PodReception(world)
    reception._identity = Identity()
    with pytest.raises(TemporaryError, match="has just started"):
        await reception.find(HEADER)


async def test_a_pod_that_has_just_started_is_not_told_that_it_is_not_tuned(world, reception):
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.watched.take_pod(pod(created=now), is_gone=False)
    with pytest.raises(TemporaryError, match="has just started"):
        await reception.find(HEADER)
