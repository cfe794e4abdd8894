"""Rollouts carried out on a Knative Service and an InferenceService, with a Knative of the test's own behind them."""

import contextlib
import json

import pytest

from controller.platforms.cluster_client import ClusterCallError
from controller.platforms.fake_cluster import FakeCluster
from controller.platforms.roller import Roller
from controller.platforms.rollout import CREATING_S, LONGEST_STEP_S
from controller.platforms.watched import Watched

SERVING = "/apis/serving.knative.dev/v1/namespaces/team"
SERVICE, REVISIONS = f"{SERVING}/services/s", f"{SERVING}/revisions"
INFERENCE = "/apis/serving.kserve.io/v1beta1/namespaces/team/inferenceservices/model"
AWAY = ClusterCallError("cluster: no answer", status=0)
LATEST = [{"latestRevision": True, "percent": 100}]


class Knative:
    """A service in a cluster, and what Knative makes of it when it is asked to."""

    def __init__(self, *, fence=None, owner=None):
        self.cluster, self.watched, self.number, self.now_s = FakeCluster(), Watched(), 0, 0.0
        self.cluster.followers.append(self.watch)
        self.answered, self.shares, self.broken = 1000, {}, ""
        self.follow = lambda: self.template.get("containerConcurrency", 0)
        owners = [{"kind": "InferenceService", "name": owner, "uid": "u"}] if owner else []
        spec = {"template": {"spec": {} if fence is None else {"containerConcurrency": fence}}}
        metadata = {"name": "s", "namespace": "team", "ownerReferences": owners}
        self.cluster.put(SERVICE, {"metadata": metadata, "spec": spec, "status": {}})
        self.settle()
        self.roller = Roller(self.cluster, self.watched.service(("team", "s")), "team")

    def watch(self, path, document, is_gone):
        take = {"services": "take_service", "revisions": "take_revision"}.get(path.split("/")[-2])
        if take:
            getattr(self.watched, take)(document, is_gone=is_gone)

    @property
    def service(self):
        return self.cluster.objects[SERVICE]

    @property
    def template(self):
        return self.service["spec"]["template"]["spec"]

    @property
    def traffic(self):
        return {
            each.get("revisionName", "latest"): each["percent"] for each in self.service["spec"].get("traffic", LATEST)
        }

    @property
    def names(self):
        return sorted(path.rpartition("/")[2] for path in self.cluster.objects if path.startswith(REVISIONS))

    def settle(self):
        """Make a Revision of a template that has changed; it is ready at once, or never where it is broken."""
        fence = self.follow()
        newest = self.cluster.objects.get(f"{REVISIONS}/s-{self.number}")
        if newest is None or newest["spec"]["containerConcurrency"] != fence:
            self.number += 1
            metadata = {"name": f"s-{self.number}", "namespace": "team", "labels": {"serving.knative.dev/service": "s"}}
            revision = {"metadata": metadata, "spec": {"containerConcurrency": fence}}
            self.cluster.put(f"{REVISIONS}/s-{self.number}", revision)
        name, before = f"s-{self.number}", self.service.get("status", {})
        is_broken = bool(self.broken) and fence == self.broken[0]
        ready = before.get("latestReadyRevisionName", "") if is_broken else name
        conditions = [
            {"type": "Ready", "status": "False" if is_broken else "True"},
            {
                "type": "ConfigurationsReady",
                "status": "False" if is_broken else "True",
                "message": self.broken[1] if is_broken else "",
            },
        ]
        shares = self.service["spec"].get("traffic", LATEST)
        traffic = [{"revisionName": each.get("revisionName", ready), "percent": each["percent"]} for each in shares]
        status = {
            "latestCreatedRevisionName": name,
            "latestReadyRevisionName": ready,
            "observedGeneration": self.service["metadata"]["generation"],
            "conditions": conditions,
            "traffic": traffic,
        }
        self.cluster.put(SERVICE, {**self.service, "status": status})

    async def begin(self, fence=16, *, is_gradual=False):
        self.roller.is_gradual = is_gradual
        await self.roller.prepare(fence, share_before=0.99, now_s=self.now_s)
        await self.roller.begin()
        self.settle()

    async def turn(self, seconds=31.0):
        self.now_s += seconds
        measured = {name: (self.answered, self.shares.get(name, 0.99)) for name in self.names}
        ended = await self.roller.turn(lambda name: measured.get(name, (0, None)), quantile=0.95, now_s=self.now_s)
        self.settle()
        return ended

    async def run(self):
        """How it ends."""
        for _ in range(20):
            if (ended := await self.turn()) is not None:
                return ended[0]
        return "it does not end"


@pytest.fixture
def knative():
    return Knative()


async def test_a_change_makes_a_revision_that_takes_all_traffic(knative):
    await knative.begin()
    assert await knative.run() == "finished"
    assert (knative.template, knative.names, knative.roller.fence) == ({"containerConcurrency": 16}, ["s-1", "s-2"], 16)
    assert "traffic" not in knative.service["spec"]


async def test_traffic_that_is_ours_moves_by_and_by(knative):
    await knative.begin(is_gradual=True)
    assert knative.traffic == {"s-1": 100}
    moves = []
    while await knative.turn() is None:
        moves.append(knative.traffic)
    assert moves == [{"s-1": 90, "s-2": 10}, {"s-1": 50, "s-2": 50}, {"latest": 100}]
    assert knative.service["spec"]["traffic"] == LATEST


async def test_without_traffic_it_ends_as_well(knative):
    knative.answered = 0
    await knative.begin(is_gradual=True)
    ended = [await knative.turn(LONGEST_STEP_S + 1) for _ in range(4)]
    assert ended[-1][0] == "finished"


@pytest.mark.parametrize("is_gradual", [False, True])
async def test_a_revision_that_cannot_serve_is_taken_back_and_removed(knative, is_gradual):
    knative.broken = (16, "no such image")
    await knative.begin(is_gradual=is_gradual)
    assert await knative.run() == "rolled back"
    assert knative.template == {}
    assert knative.traffic == {"latest": 100}
    assert "s-2" not in knative.names
    assert (knative.roller.rollout, knative.roller.fence) == (None, None)


@pytest.mark.parametrize("is_gradual", [False, True])
async def test_a_revision_on_which_the_objective_burns_is_taken_back(is_gradual):
    knative = Knative(fence=8)
    knative.shares["s-2"] = 0.5
    await knative.begin(is_gradual=is_gradual)
    assert await knative.run() == "rolled back"
    assert knative.template == {"containerConcurrency": 8}
    assert knative.traffic == {"latest": 100}
    assert knative.names == ["s-1", "s-3"]


async def test_the_traffic_goes_back_at_once_when_the_objective_burns(knative):
    knative.shares["s-2"] = 0.5
    await knative.begin(is_gradual=True)
    await knative.turn()
    assert knative.traffic == {"s-1": 90, "s-2": 10}
    await knative.turn(1.0)
    assert knative.traffic == {"s-1": 100}


async def test_a_way_back_that_never_serves_is_given_up(knative):
    knative.broken = (16, "no such image")
    await knative.begin()
    await knative.turn()
    knative.broken = (0, "the registry is away")
    knative.settle()
    assert await knative.turn(CREATING_S + 1) is not None
    assert knative.template == {}


@pytest.mark.parametrize("turns", range(5))
async def test_a_step_that_the_cluster_does_not_take_is_taken_later(knative, turns):
    await knative.begin(is_gradual=True)
    for _ in range(turns):
        await knative.turn()
    knative.cluster.refusal = AWAY
    for _ in range(3):
        with contextlib.suppress(ClusterCallError):
            await knative.turn()
    knative.cluster.refusal = None
    while knative.roller.rollout is not None:
        await knative.turn()
    assert knative.template == {"containerConcurrency": 16}
    assert knative.traffic == {"latest": 100}


async def test_a_share_that_could_not_be_written_is_written_when_the_cluster_is_back(knative):
    await knative.begin(is_gradual=True)
    knative.cluster.refusal = AWAY
    with pytest.raises(ClusterCallError):
        await knative.turn()
    knative.cluster.refusal = None
    assert knative.traffic == {"s-1": 100}
    await knative.turn(1.0)
    assert knative.traffic == {"s-1": 90, "s-2": 10}


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("share", [0.99, 0.5])
async def test_a_restarted_operator_goes_on_with_it(knative, turns, share):
    await knative.begin(is_gradual=True)
    for _ in range(turns):
        await knative.turn()
    knative.shares["s-2"] = share
    document = json.loads(json.dumps(knative.roller.to_document()))
    knative.roller = Roller(knative.cluster, knative.watched.service(("team", "s")), "team")
    knative.roller.restore(document)
    knative.roller.is_gradual = True
    assert await knative.run() == ("finished" if share > 0.9 else "rolled back")
    assert knative.template == ({"containerConcurrency": 16} if share > 0.9 else {})
    assert knative.traffic == {"latest": 100}


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("fence", [None, 8])
async def test_release_puts_back_what_was_there_at_any_moment(fence, turns):
    knative = Knative(fence=fence)
    await knative.begin(is_gradual=True)
    for _ in range(turns):
        await knative.turn()
    await knative.roller.release()
    assert knative.template == ({} if fence is None else {"containerConcurrency": fence})
    assert knative.traffic == {"latest": 100}
    assert (knative.roller.rollout, knative.roller.original) == (None, None)


async def test_after_two_changes_the_first_value_is_put_back():
    knative = Knative(fence=8)
    for fence in (16, 32):
        await knative.begin(fence)
        assert await knative.run() == "finished"
    await knative.roller.release()
    assert knative.template == {"containerConcurrency": 8}


async def test_what_somebody_else_makes_of_the_fence_is_theirs(knative):
    await knative.begin()
    await knative.run()
    assert knative.roller.taken_back() is None
    await knative.cluster.patch(SERVICE, {"spec": {"template": {"spec": {"containerConcurrency": 4}}}})
    assert (knative.roller.taken_back(), knative.roller.taken_back()) == (4, None)
    await knative.roller.release()
    assert knative.template == {"containerConcurrency": 4}


async def test_a_revision_that_somebody_else_makes_meanwhile_ends_it(knative):
    await knative.begin(is_gradual=True)
    await knative.turn()
    await knative.cluster.patch(SERVICE, {"spec": {"template": {"spec": {"containerConcurrency": 20}}}})
    knative.settle()
    assert (await knative.turn())[0] == "finished"
    assert knative.traffic == {"latest": 100}


async def test_an_inference_service_is_changed_itself_and_shifts_traffic_in_its_own_way():
    knative = Knative(owner="model")
    knative.cluster.put(INFERENCE, {"metadata": {"name": "model", "namespace": "team"}, "spec": {"predictor": {}}})

    def predictor():
        return knative.cluster.objects[INFERENCE]["spec"]["predictor"]

    knative.follow = lambda: predictor().get("containerConcurrency", 0)
    await knative.begin(is_gradual=True)
    assert predictor() == {"containerConcurrency": 16, "canaryTrafficPercent": 0}
    assert "containerConcurrency" not in knative.template
    moves = [await knative.turn() is None and predictor()["canaryTrafficPercent"] for _ in range(3)]
    assert moves == [10, 50, 100]
    assert (await knative.turn())[0] == "finished"
    assert predictor() == {"containerConcurrency": 16}
    await knative.roller.release()
    assert predictor() == {}


@pytest.mark.parametrize("share", [0.99, 0.5])
async def test_no_field_of_ours_is_left_on_an_inference_service_that_was_given_back(share):
    knative = Knative(owner="model")
    knative.cluster.put(INFERENCE, {"metadata": {"name": "model", "namespace": "team"}, "spec": {"predictor": {}}})
    knative.follow = lambda: knative.cluster.objects[INFERENCE]["spec"]["predictor"].get("containerConcurrency", 0)
    knative.shares["s-2"] = share
    await knative.begin(is_gradual=True)
    for _ in range(3):
        await knative.turn()
    await knative.roller.release()
    assert knative.cluster.objects[INFERENCE]["spec"]["predictor"] == {}


@pytest.mark.parametrize(
    "document", [{}, {"rollout": [], "made": 3, "original": 8, "fence": "x"}, {"original": [1, 2]}, {"made": None}]
)
async def test_what_is_no_such_document_is_no_rollout(knative, document):
    knative.roller.restore(document)
    assert knative.roller.to_document() == {"rollout": None, "made": [], "original": None, "fence": None}
