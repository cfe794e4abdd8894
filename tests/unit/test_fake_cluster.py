"""The fake cluster keeps the rules of an API server that reconcilers rely on."""

import pytest

from controller.platforms.cluster_client import ConflictError, MissingError
from controller.platforms.fake_cluster import FakeCluster

THINGS = "/apis/x/v1/namespaces/ns/things"


def thing(name="a", **fields):
    return {"metadata": {"name": name}, **fields}


async def test_what_is_created_has_a_uid_a_namespace_and_no_status():
    cluster = FakeCluster()
    made = await cluster.create(THINGS, thing(spec={"n": 1}, status={"phase": "x"}))
    assert made["metadata"]["namespace"] == "ns"
    assert made["metadata"]["uid"]
    assert "status" not in await cluster.get(f"{THINGS}/a")


async def test_a_name_is_taken_once_and_a_missing_object_is_404():
    cluster = FakeCluster()
    await cluster.create(THINGS, thing())
    with pytest.raises(ConflictError):
        await cluster.create(THINGS, thing())
    with pytest.raises(MissingError):
        await cluster.get(f"{THINGS}/b")


async def test_generated_names_differ():
    cluster = FakeCluster()
    names = {(await cluster.create(THINGS, {"metadata": {"generateName": "a-"}}))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3


async def test_a_list_holds_the_collection_only_and_follows_labels():
    cluster = FakeCluster()
    await cluster.create(THINGS, {"metadata": {"name": "a", "labels": {"k": "1"}}})
    await cluster.create(THINGS, thing("b"))
    await cluster.create("/apis/x/v1/namespaces/other/things", thing("c"))
    assert [each["metadata"]["name"] for each in await cluster.list(THINGS)] == ["a", "b"]
    assert [each["metadata"]["name"] for each in await cluster.list(THINGS, labels="k=1")] == ["a"]
    assert [each["metadata"]["name"] for each in await cluster.list(THINGS, labels="k")] == ["a"]


async def test_a_list_of_the_whole_cluster_holds_all_namespaces():
    cluster = FakeCluster()
    await cluster.create(THINGS, thing("a"))
    await cluster.create("/apis/x/v1/namespaces/other/things", thing("b"))
    await cluster.create("/apis/x/v1/namespaces/ns/others", thing("c"))
    assert sorted(each["metadata"]["name"] for each in await cluster.list("/apis/x/v1/things")) == ["a", "b"]
    assert len(await cluster.uids("/apis/x/v1/things")) == 2


async def test_a_status_is_written_through_its_path_only_and_changes_no_generation():
    cluster = FakeCluster()
    await cluster.create(THINGS, thing(spec={"n": 1}))
    await cluster.patch(f"{THINGS}/a", {"status": {"lost": True}, "spec": {"n": 2}})
    after = await cluster.apply(f"{THINGS}/a/status", thing(status={"phase": "Done"}, spec={"n": 9}))
    assert (after["status"], after["spec"], after["metadata"]["generation"]) == ({"phase": "Done"}, {"n": 2}, 2)


async def test_apply_takes_away_what_it_said_before_and_leaves_what_others_said():
    cluster = FakeCluster()
    await cluster.apply(f"{THINGS}/a", thing(spec={"ours": 1, "both": {"x": 1, "y": 2}}))
    await cluster.patch(f"{THINGS}/a", {"spec": {"theirs": 3}})
    after = await cluster.apply(f"{THINGS}/a", thing(spec={"both": {"x": 1}}))
    assert after["spec"] == {"both": {"x": 1}, "theirs": 3}


async def test_a_merge_patch_takes_away_by_null_and_a_json_patch_by_place():
    cluster = FakeCluster()
    await cluster.create(THINGS, thing(spec={"a": 1, "list": [1, 2, 3]}))
    await cluster.patch(f"{THINGS}/a", {"spec": {"a": None}})
    after = await cluster.patch(f"{THINGS}/a", [{"op": "remove", "path": "/spec/list/1"}], kind="json")
    assert after["spec"] == {"list": [1, 3]}


async def test_a_finalizer_holds_an_object_and_owners_take_along_what_they_own():
    cluster, told = FakeCluster(), []
    cluster.followers.append(lambda path, _, *, is_gone: told.append((path.rpartition("/")[2], is_gone)))
    owner = await cluster.create(THINGS, {"metadata": {"name": "a", "finalizers": ["f"]}})
    owned = {"metadata": {"name": "b", "ownerReferences": [{"uid": owner["metadata"]["uid"]}]}}
    await cluster.create(THINGS, owned)
    await cluster.delete(f"{THINGS}/a")
    assert (await cluster.get(f"{THINGS}/a"))["metadata"]["deletionTimestamp"]
    await cluster.patch(f"{THINGS}/a", {"metadata": {"finalizers": []}})
    assert not cluster.objects
    assert told[-2:] == [("a", True), ("b", True)]
    await cluster.delete(f"{THINGS}/a")
