"""The state of a tuning in a ConfigMap: read once, written on news and now and then, never lost by an outage."""

import json

import pytest

from controller.errors import TemporaryError
from controller.platforms.cluster_client import ClusterCallError
from controller.platforms.fake_cluster import FakeCluster
from controller.platforms.owned import Owner
from controller.reconcilers.state import EVERY_S, LARGEST_BYTES, StateMap

KEY = "state.json"
OWNER = Owner("tidegate.dev/v1alpha1", "InferenceTuning", "tune", "uid-7")
PATH = "/api/v1/namespaces/team/configmaps/tidegate-state-tune"
AWAY = ClusterCallError("cluster: no answer", status=0)


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def state(cluster):
    return StateMap(cluster, "team", OWNER)


def written(cluster):
    return json.loads(cluster.objects[PATH]["data"][KEY])


def counting(cluster):
    changes = []
    cluster.followers.append(lambda path, document, is_gone: changes.append(path))
    return changes


async def test_where_there_is_none_it_is_empty(state):
    assert await state.read() == {}


async def test_what_is_written_is_read_by_the_next_operator(cluster, state):
    await state.save(lambda: {"a": 1}, 0.0, is_news=True)
    assert await StateMap(cluster, "team", OWNER).read() == {"a": 1}


async def test_it_belongs_to_its_tuning(cluster, state):
    await state.save(lambda: {"a": 1}, 0.0, is_news=True)
    metadata = cluster.objects[PATH]["metadata"]
    assert metadata["ownerReferences"][0] == {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "InferenceTuning",
        "name": "tune",
        "uid": "uid-7",
    }
    assert metadata["labels"] == {"app.kubernetes.io/managed-by": "tidegate"}


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "null", "[" * 100_000])
async def test_what_cannot_be_read_is_no_state(cluster, state, text):
    cluster.put(PATH, {"metadata": {"name": "x"}, "data": {KEY: text}})
    assert await state.read() == {}


@pytest.mark.parametrize("document", [{}, {"data": None}, {"data": {"other": "x"}}])
async def test_a_map_without_the_key_is_no_state(cluster, state, document):
    cluster.put(PATH, {"metadata": {"name": "x"}, **document})
    assert await state.read() == {}


async def test_while_the_cluster_is_away_no_empty_state_is_taken_for_the_real_one(cluster, state):
    cluster.refusal = AWAY
    with pytest.raises(TemporaryError):
        await state.read()


async def test_without_news_it_is_written_now_and_then(cluster, state):
    for second in range(90):
        await state.save(lambda second=second: {"second": second}, float(second), is_news=False)
    assert written(cluster) == {"second": 60}
    await state.save(lambda: {"second": 95}, 60.0 + EVERY_S, is_news=False)
    assert written(cluster) == {"second": 95}


async def test_news_are_written_at_once(cluster, state):
    await state.save(lambda: {"a": 1}, 0.0, is_news=False)
    await state.save(lambda: {"a": 2}, 1.0, is_news=True)
    assert written(cluster) == {"a": 2}


async def test_what_has_not_changed_is_not_written(cluster, state):
    await state.save(lambda: {"a": 1}, 0.0, is_news=True)
    restarted = StateMap(cluster, "team", OWNER)
    assert await restarted.read() == {"a": 1}
    changes = counting(cluster)
    await restarted.save(lambda: {"a": 1}, 0.0, is_news=True)
    await state.save(lambda: {"a": 1}, 100.0, is_news=True)
    assert changes == []


async def test_news_that_could_not_be_written_are_written_as_soon_as_the_cluster_is_back(cluster, state):
    await state.save(lambda: {"a": 1}, 0.0, is_news=True)
    cluster.refusal = AWAY
    with pytest.raises(TemporaryError):
        await state.save(lambda: {"a": 2}, 1.0, is_news=True)
    assert written(cluster) == {"a": 1}
    cluster.refusal = None
    await state.save(lambda: {"a": 2}, 2.0, is_news=False)
    assert written(cluster) == {"a": 2}


async def test_a_state_that_is_too_large_is_refused_and_the_last_one_stays(cluster, state):
    await state.save(lambda: {"a": 1}, 0.0, is_news=True)
    with pytest.raises(TemporaryError, match="tidegate-state-tune: state of 32778 bytes is above 32768"):
        await state.save(lambda: {"a": "x" * (LARGEST_BYTES + 2)}, 1.0, is_news=True)
    assert written(cluster) == {"a": 1}


async def test_it_goes_with_its_tuning(cluster, state):
    tuning = "/apis/tidegate.dev/v1alpha1/namespaces/team/inferencetunings/tune"
    cluster.put(tuning, {"metadata": {"name": "tune", "uid": "uid-7"}})
    await state.save(lambda: {"a": 1}, 0.0, is_news=True)
    await cluster.delete(tuning)
    assert PATH not in cluster.objects
