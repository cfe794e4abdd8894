"""What is known of services: the end of an object says nothing of another that took its name."""

import pytest

from controller.platforms.watched import Watched

LABELS = {"serving.knative.dev/service": "s"}
TAKERS = {"services": Watched.take_service, "revisions": Watched.take_revision, "pods": Watched.take_pod}


def document(uid):
    metadata = {"name": "s", "namespace": "team", "uid": uid, "labels": LABELS}
    return {"metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"}}


@pytest.fixture(params=list(TAKERS))
def kind(request):
    return request.param


def uids(watched, kind):
    return [each["metadata"]["uid"] for each in watched.known(kind)]


def test_what_is_known_is_enough_to_tell_of_its_end(kind):
    watched = Watched()
    TAKERS[kind](watched, document("a"), is_gone=False)
    (known,) = watched.known(kind)
    TAKERS[kind](watched, known, is_gone=True)
    assert watched.known(kind) == []


def test_a_late_end_of_an_earlier_one_leaves_the_later_one(kind):
    watched = Watched()
    for uid in ("old", "new"):
        TAKERS[kind](watched, document(uid), is_gone=False)
    TAKERS[kind](watched, document("old"), is_gone=True)
    assert uids(watched, kind) == ["new"]
    TAKERS[kind](watched, document("new"), is_gone=True)
    assert uids(watched, kind) == []


def test_a_pod_that_another_of_its_name_replaced_is_not_found():
    watched = Watched()
    for uid in ("old", "new"):
        watched.take_pod(document(uid), is_gone=False)
    assert watched.find_pod("old") is None
    assert watched.find_pod("new") is not None
    assert list(watched._by_uid) == ["new"]
