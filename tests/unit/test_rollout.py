"""A slow change, step by step: every stage, every ending, and laws that hold whatever is seen."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.platforms.rollout import (
    CREATING_S,
    LEAST_ANSWERED,
    LONGEST_STEP_S,
    SHARES,
    STEP_S,
    Rollout,
    Sight,
    advance,
    traffic_of,
)

QUANTILE = 0.95
BEGUN = Rollout(from_revision="r1", fence=16, fence_before=8, share_before=0.97, began_s=0.0)
SHIFTING = replace(BEGUN, stage="shifting", percent=10, to_revision="r2", step_s=100.0)
UNDOING = replace(BEGUN, stage="undoing", step_s=100.0, why="it was late")


def sight(now_s, **more):
    seen = {"newest": "r2", "is_serving": True, "refused": "", "answered": 0, "share": None, "share_old": 0.97}
    return Sight(now_s=now_s, **{**seen, **more})


def after(rollout, seen, *, is_gradual=True):
    return advance(rollout, seen, quantile=QUANTILE, is_gradual=is_gradual)


@pytest.mark.parametrize(("is_gradual", "percent"), [(True, 10), (False, 100)])
def test_a_revision_that_serves_takes_its_first_share(is_gradual, percent):
    found, ending = after(BEGUN, sight(20.0), is_gradual=is_gradual)
    assert (found.stage, found.percent, found.to_revision, found.step_s) == ("shifting", percent, "r2", 20.0)
    assert ending is None


def test_it_is_waited_for_a_revision_that_is_not_ready():
    assert after(BEGUN, sight(20.0, is_serving=False)) == (BEGUN, None)


def test_the_old_revision_is_not_taken_for_the_new_one():
    assert after(BEGUN, sight(20.0, newest="r1")) == (BEGUN, None)


def test_a_revision_that_is_refused_is_taken_back_at_once():
    found, ending = after(BEGUN, sight(5.0, is_serving=False, refused="no such image"))
    assert (found.stage, ending) == ("undoing", None)
    assert found.why == "the new revision cannot serve: no such image"


def test_a_revision_that_does_not_become_ready_is_taken_back():
    assert after(BEGUN, sight(CREATING_S, is_serving=False))[0].stage == "creating"
    found, _ = after(BEGUN, sight(CREATING_S + 1, is_serving=False))
    assert (found.stage, found.why) == ("undoing", "no new revision was ready in 180 s")


@pytest.mark.parametrize(
    ("stayed_s", "answered", "percent"),
    [
        (STEP_S - 1, 1000, 10),
        (STEP_S, LEAST_ANSWERED - 1, 10),
        (STEP_S, LEAST_ANSWERED, 50),
        (LONGEST_STEP_S, 0, 50),
    ],
)
def test_a_step_takes_its_time_and_answers_or_much_time(stayed_s, answered, percent):
    seen = sight(100.0 + stayed_s, answered=answered, share=0.99 if answered else None)
    found, ending = after(SHIFTING, seen)
    assert (found.percent, ending) == (percent, None)


def test_shares_follow_one_another_to_the_end():
    rollout, ending, percents, now_s = SHIFTING, None, [], 100.0
    while ending is None:
        percents.append(rollout.percent)
        now_s += STEP_S
        rollout, ending = after(rollout, sight(now_s, answered=500, share=0.99))
    assert (percents, ending) == ([*SHARES], "finished")


def test_a_revision_on_which_the_objective_burns_is_taken_back_with_the_figures():
    found, ending = after(SHIFTING, sight(101.0, answered=200, share=0.80, share_old=0.96))
    assert (found.stage, found.percent, ending) == ("undoing", 0, None)
    assert found.why == "80.0% of 200 requests inside the objective, 96.0% before, 95.0% wanted"


@pytest.mark.parametrize(
    "seen",
    [
        {"answered": LEAST_ANSWERED - 1, "share": 0.0},
        {"answered": 200, "share": 0.80, "share_old": 0.81},
        {"answered": 200, "share": 0.95, "share_old": 1.0},
    ],
    ids=["too few answers", "the old one is as late", "the objective is held"],
)
def test_what_does_not_speak_against_the_new_revision(seen):
    assert after(SHIFTING, sight(101.0, **seen))[0].stage == "shifting"


def test_without_a_word_of_the_old_revision_the_share_before_the_change_counts():
    seen = sight(101.0, answered=200, share=0.90, share_old=None)
    assert after(SHIFTING, seen)[0].stage == "undoing"
    assert after(replace(SHIFTING, share_before=0.9), seen)[0].stage == "shifting"
    assert after(replace(SHIFTING, share_before=None), seen)[0].stage == "undoing"


def test_a_revision_of_somebody_else_ends_the_rollout():
    assert after(SHIFTING, sight(101.0, newest="r3")) == (SHIFTING, "finished")


def test_the_way_back_ends_when_the_old_fence_serves():
    assert after(UNDOING, sight(110.0, is_serving=False)) == (UNDOING, None)
    assert after(UNDOING, sight(110.0))[1] == "rolled back"


def test_a_way_back_that_does_not_come_is_not_waited_for():
    assert after(UNDOING, sight(100.0 + CREATING_S + 1, is_serving=False))[1] == "rolled back"


@pytest.mark.parametrize(
    ("rollout", "percents"),
    [
        (BEGUN, {"r1": 100}),
        (SHIFTING, {"r1": 90, "r2": 10}),
        (replace(SHIFTING, percent=100), {"latest": 100}),
        (UNDOING, {"r1": 100}),
    ],
)
def test_the_traffic_of_a_stage(rollout, percents):
    traffic = traffic_of(rollout)
    assert {each.get("revisionName", "latest"): each["percent"] for each in traffic} == percents
    assert all(each["latestRevision"] is ("revisionName" not in each) for each in traffic)


SEEN = st.builds(
    Sight,
    now_s=st.just(0.0),
    newest=st.sampled_from(["r1", "r2", "r3"]),
    is_serving=st.booleans(),
    refused=st.sampled_from(["", "no such image"]),
    answered=st.integers(0, 200),
    share=st.none() | st.floats(0, 1),
    share_old=st.none() | st.floats(0, 1),
)
STEPS = st.lists(st.tuples(st.floats(0.1, 400.0), SEEN), max_size=40)


def follow(steps, *, is_gradual):
    """The states of a rollout that sees these things one after the other, and how it ended."""
    rollout, now_s, states = BEGUN, 0.0, [(BEGUN, None)]
    for gap_s, seen in steps:
        now_s += gap_s
        seen_now = replace(seen, now_s=now_s)
        rollout, ending = after(rollout, seen_now, is_gradual=is_gradual)
        states.append((rollout, seen_now))
        if ending is not None:
            return states, ending
    return states, None


@given(STEPS, st.booleans())
def test_traffic_adds_up_to_a_hundred_and_goes_only_where_something_serves(steps, is_gradual):
    for rollout, _ in follow(steps, is_gradual=is_gradual)[0]:
        traffic = traffic_of(rollout)
        assert sum(each["percent"] for each in traffic) == 100
        assert all(0 < each["percent"] <= 100 for each in traffic)
        assert all(each.get("revisionName", "latest") for each in traffic)
        assert rollout.percent <= 100


@given(STEPS, st.booleans())
def test_a_burning_revision_is_never_given_more(steps, is_gradual):
    states, _ = follow(steps, is_gradual=is_gradual)
    for (before, _), (now, seen) in pairwise(states):
        is_burning = (
            before.stage == "shifting"
            and seen.newest == before.to_revision
            and seen.answered >= LEAST_ANSWERED
            and seen.share is not None
            and seen.share < QUANTILE
            and (seen.share_old is None or seen.share < seen.share_old - 0.05)
            and seen.share < BEGUN.share_before - 0.05
        )
        assert not is_burning or now.percent == 0


@given(STEPS, st.booleans())
def test_a_way_back_is_never_left(steps, is_gradual):
    stages = [rollout.stage for rollout, _ in follow(steps, is_gradual=is_gradual)[0]]
    assert "undoing" not in stages or set(stages[stages.index("undoing") :]) == {"undoing"}


@given(st.lists(SEEN, min_size=8, max_size=8), st.booleans())
def test_it_always_ends_when_time_passes(seen, is_gradual):
    steps = [(LONGEST_STEP_S + 1, each) for each in seen]
    assert follow(steps, is_gradual=is_gradual)[1] in {"finished", "rolled back"}


@given(STEPS, st.booleans())
def test_every_state_is_read_back_from_json_as_it_was(steps, is_gradual):
    for rollout, _ in follow(steps, is_gradual=is_gradual)[0]:
        assert Rollout.from_document(json.loads(json.dumps(rollout.to_document()))) == rollout


@pytest.mark.parametrize(
    "document",
    [
        {},
        {**BEGUN.to_document(), "stage": "sleeping"},
        {**BEGUN.to_document(), "began_s": "yesterday"},
        {**BEGUN.to_document(), "began_s": None},
        {**BEGUN.to_document(), "fence": "16"},
        {**BEGUN.to_document(), "to_revision": 3},
        {**BEGUN.to_document(), "percent": 250},
    ],
)
def test_what_is_no_such_document_is_no_rollout(document):
    assert Rollout.from_document(document) is None


def test_a_field_of_a_later_version_is_ignored():
    assert Rollout.from_document({**BEGUN.to_document(), "colour": "blue"}) == BEGUN
