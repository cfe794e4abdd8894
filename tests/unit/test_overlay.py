"""Warm settings laid over Revisions: new ones get them, others' values are theirs, nothing is lost in a restart."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.platforms.overlay import Overlay
from controller.platforms.revision_annotations import ANNOTATION_OF

MIN, MAX, TARGET = (ANNOTATION_OF[knob] for knob in ("min_scale", "max_scale", "target"))
TEMPLATE = {MIN: "0", "unrelated": "x"}


def laid(revision="r1"):
    """An overlay of min-scale and target that is on its Revision."""
    overlay = Overlay()
    overlay.want({MIN: "2", TARGET: "10"}, TEMPLATE)
    assert overlay.look(revision, dict(TEMPLATE), TEMPLATE) == {MIN: "2", TARGET: "10"}
    overlay.wrote(revision)
    return overlay


def test_what_is_there_already_is_not_written_again():
    assert laid().look("r1", {MIN: "2", TARGET: "10"}, TEMPLATE) == {}


def test_a_new_revision_begins_with_the_template_and_gets_ours():
    overlay = laid()
    assert overlay.look("r2", dict(TEMPLATE), TEMPLATE) == {MIN: "2", TARGET: "10"}
    assert overlay.held == {}


def test_a_new_revision_gets_only_what_is_missing():
    assert laid().look("r2", {MIN: "2"}, TEMPLATE) == {TARGET: "10"}


def test_an_annotation_that_is_to_be_absent_is_written_where_it_is_there_and_restored():
    overlay, template = Overlay(), {MIN: "3"}
    overlay.want({MIN: ""}, template)
    assert overlay.look("r1", {MIN: "3"}, template) == {MIN: ""}
    overlay.wrote("r1")
    assert overlay.look("r1", {}, template) == {}
    assert overlay.restoring() == {MIN: "3"}
    assert Overlay.from_document(json.loads(json.dumps(overlay.to_document()))) == overlay


@pytest.mark.parametrize("value", ["5", None])
def test_a_value_that_somebody_set_on_our_revision_is_theirs(value):
    overlay = laid()
    annotations = {TARGET: "10"} | ({MIN: value} if value else {})
    assert overlay.look("r1", annotations, TEMPLATE) == {}
    assert overlay.held == {"min_scale": f"somebody set it to {value or 'nothing'} on r1"}
    assert overlay.wanted == {"target": "10"}


@pytest.mark.parametrize("value", ["4", None])
def test_a_value_that_somebody_wrote_into_the_template_is_theirs(value):
    overlay = laid()
    template = {MIN: value} if value else {}
    assert overlay.look("r2", dict(template), template) == {TARGET: "10"}
    assert overlay.held == {"min_scale": f"the template says {value or 'nothing'} now"}


def test_a_held_knob_is_not_restored_for_it_is_not_ours():
    overlay = laid()
    overlay.look("r1", {MIN: "5", TARGET: "10"}, TEMPLATE)
    assert overlay.restoring() == {TARGET: None}


def test_restoring_brings_the_templates_values_back_and_takes_away_what_it_never_had():
    assert laid().restoring() == {MIN: "0", TARGET: None}


def test_a_second_wish_does_not_take_our_own_value_for_the_templates():
    overlay = laid()
    overlay.want({MIN: "3"}, TEMPLATE)
    assert overlay.restoring() == {MIN: "0", TARGET: None}
    assert overlay.look("r2", dict(TEMPLATE), TEMPLATE)[MIN] == "3"


def test_a_template_that_was_edited_before_our_next_wish_is_theirs_all_the_same():
    overlay, edited = laid(), {MIN: "4"}
    overlay.want({MIN: "3"}, edited)
    assert overlay.look("r2", dict(edited), edited) == {TARGET: "10"}
    assert overlay.held == {"min_scale": "the template says 4 now"}


def test_a_changed_tuning_takes_hold_of_everything_again():
    overlay = laid()
    overlay.look("r1", {MIN: "5", TARGET: "10"}, TEMPLATE)
    overlay.release()
    overlay.want({MIN: "2"}, TEMPLATE)
    assert overlay.held == {}
    assert overlay.look("r1", {MIN: "5", TARGET: "10"}, TEMPLATE) == {MIN: "2"}


def test_what_somebody_put_there_with_our_leave_is_no_drift():
    overlay = laid()
    overlay.forget_written()
    assert overlay.look("r1", {MIN: "5", TARGET: "10"}, TEMPLATE) == {MIN: "2"}
    assert overlay.held == {}


def test_of_many_revisions_the_last_ones_are_known_as_written():
    overlay = laid()
    for number in range(2, 9):
        overlay.wrote(f"r{number}")
    assert overlay.written == ["r5", "r6", "r7", "r8"]


def test_drift_is_seen_on_each_of_two_revisions_that_take_traffic():
    overlay = laid()
    overlay.wrote("r2")
    overlay.look("r1", {MIN: "5", TARGET: "10"}, TEMPLATE)
    overlay.look("r2", {MIN: "2", TARGET: "9"}, TEMPLATE)
    assert set(overlay.held) == {"min_scale", "target"}


def test_an_annotation_that_is_no_knob_of_ours_is_not_wanted():
    overlay = Overlay()
    overlay.want({"autoscaling.knative.dev/metric": "rps"}, TEMPLATE)
    assert overlay == Overlay()


def test_a_knob_that_was_rolled_back_stays_held_over_a_restart():
    overlay = Overlay(held={"container_concurrency": "rolled back, it was late"})
    assert Overlay.from_document(overlay.to_document()).held == overlay.held


@pytest.mark.parametrize(
    "document",
    [{}, {"wanted": []}, {"wanted": "x", "held": 3, "template": None}, {"wanted": {"no_knob": "1"}, "written": 3}],
)
def test_what_is_no_such_document_is_no_overlay(document):
    assert Overlay.from_document(document) == Overlay()


TEXTS = st.text(max_size=12)
KNOBS = st.sampled_from(sorted(ANNOTATION_OF))
HELD = st.sampled_from([*sorted(ANNOTATION_OF), "container_concurrency"])


@st.composite
def overlays(draw):
    wanted = draw(st.dictionaries(KNOBS, TEXTS))
    return Overlay(
        wanted=wanted,
        template={knob: draw(st.none() | TEXTS) for knob in wanted},
        written=draw(st.lists(TEXTS, max_size=4)),
        held=draw(st.dictionaries(HELD, TEXTS)),
    )


@given(overlays())
def test_what_is_written_as_json_is_read_back_as_it_was(overlay):
    assert Overlay.from_document(json.loads(json.dumps(overlay.to_document()))) == overlay


ANNOTATIONS = st.dictionaries(st.sampled_from(sorted(ANNOTATION_OF.values())), st.sampled_from(["0", "1", "2"]))


@given(ANNOTATIONS, ANNOTATIONS, ANNOTATIONS, st.sampled_from(["r1", "r2"]))
def test_a_look_writes_only_wishes_and_a_second_one_finds_nothing_to_do(wishes, annotations, template, revision):
    overlay = Overlay()
    overlay.want(wishes, template)
    overlay.wrote("r1")
    missing = overlay.look(revision, annotations, template)
    overlay.wrote(revision)
    assert missing.items() <= wishes.items()
    assert not set(overlay.wanted) & set(overlay.held)
    assert overlay.look(revision, annotations | missing, template) == {}
