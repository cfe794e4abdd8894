"""Conditions of a status: times move when a status flips and at no other moment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.reconcilers.conditions import (
    LONGEST_MESSAGE,
    Aspect,
    conditions,
    present_only,
    seconds_text,
    timestamp,
)

BEGAN, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
BEGAN_S = 1767225600.0
READY = Aspect("Ready", "True", "Watching", "watching r1")


def at(after_s, *aspects, before=(), generation=1):
    return conditions(aspects, before, wall_s=BEGAN_S + after_s, generation=generation)


def test_a_timestamp_is_in_utc_without_fractions():
    assert timestamp(BEGAN_S + 0.9) == BEGAN


def test_a_condition_has_all_that_kubernetes_asks_for():
    assert at(0, READY) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Watching",
            "message": "watching r1",
            "lastTransitionTime": BEGAN,
            "observedGeneration": 1,
        }
    ]


def test_another_reason_message_or_generation_is_no_transition():
    changed = at(60, Aspect("Ready", "True", "Other", "other words"), before=at(0, READY), generation=2)
    assert (changed[0]["reason"], changed[0]["observedGeneration"]) == ("Other", 2)
    assert changed[0]["lastTransitionTime"] == BEGAN


def test_a_flip_is_a_transition():
    assert at(60, Aspect("Ready", "False", "Gone"), before=at(0, READY))[0]["lastTransitionTime"] == LATER


def test_a_new_type_begins_now():
    both = at(60, READY, Aspect("SLOMet", "True", "Measured"), before=at(0, READY))
    assert [each["lastTransitionTime"] for each in both] == [BEGAN, LATER]


def test_what_is_not_known_now_stays_as_it_was_said_last():
    before = at(0, READY, Aspect("SLOMet", "True", "Measured"))
    after = at(60, Aspect("Ready", "False", "Suspended"), before=before, generation=2)
    assert [each["type"] for each in after] == ["Ready", "SLOMet"]
    assert after[1] == before[1]


@pytest.mark.parametrize("before", [[{}], [{"type": "Ready", "status": "True"}], [{"type": "Other"}]])
def test_a_condition_without_a_time_gets_one(before):
    assert at(60, READY, before=before)[0]["lastTransitionTime"] == LATER


def test_a_message_is_no_longer_than_the_definition_allows():
    assert len(at(0, Aspect("Ready", "True", "X", "é" * 5000))[0]["message"]) == LONGEST_MESSAGE


def test_without_a_generation_none_is_written():
    assert "observedGeneration" not in at(0, READY, generation=None)[0]


STATUSES = st.lists(st.sampled_from(["True", "False", "Unknown"]), min_size=1, max_size=20)


@given(STATUSES)
def test_the_time_of_a_transition_is_that_of_the_last_flip(statuses):
    found, flipped_s = [], 0
    for second, status in enumerate(statuses):
        if second and status != statuses[second - 1]:
            flipped_s = second
        found = at(second, Aspect("Ready", status, "X", str(second)), before=found)
    assert found[0]["lastTransitionTime"] == timestamp(BEGAN_S + flipped_s)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0ms"), (0.0851, "85ms"), (0.9994, "999ms"), (0.9996, "1.00s"), (1.319, "1.32s"), (90, "90.00s")],
)
def test_durations_for_people(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize("seconds", [None, float("inf"), float("nan"), -1.0])
def test_what_is_no_finite_time_is_not_told(seconds):
    assert seconds_text(seconds) is None


def test_fields_that_say_nothing_are_left_out_and_zero_says_something():
    assert present_only({"a": None, "b": 0, "c": "", "d": False}) == {"b": 0, "c": "", "d": False}
