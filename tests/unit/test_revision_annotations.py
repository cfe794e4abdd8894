"""Knative's annotations to and from our nouns: units, defaults, old spellings and what cannot be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.serving_config import AutoscalerSettings, ServingConfig
from controller.platforms.revision_annotations import (
    ANNOTATION_OF,
    PREFIX,
    WARM_KNOBS,
    autoscaler_settings,
    read_warm,
    taken_together,
    warm_annotations,
)


def warm(annotations=None, *, fence=0, cluster=None):
    return read_warm(annotations or {}, container_concurrency=fence, cluster=cluster or {})


def test_without_annotations_knatives_defaults_are_in_force():
    assert warm() == {"min_scale": 0, "max_scale": 0, "activation_scale": 0, "window_s": 0.0, "target": 100.0}
    assert autoscaler_settings({}, {}) == AutoscalerSettings()


def test_annotations_of_a_revision_win_over_the_cluster():
    cluster = {"stable-window": "90s", "target-burst-capacity": "10", "min-scale": "3", "max-scale": "9"}
    annotations = {f"{PREFIX}window": "2m", f"{PREFIX}min-scale": "1"}
    found = autoscaler_settings(cluster, annotations)
    assert (found.window_s, found.target_burst_capacity) == (90.0, 10.0)
    assert warm(annotations)["window_s"] == 120.0
    found = warm(annotations, cluster=cluster)
    assert (found["min_scale"], found["max_scale"], found["target"]) == (1, 9, 100.0)


def test_settings_of_the_whole_cluster_have_no_annotation():
    found = autoscaler_settings({"max-scale-up-rate": "5.0"}, {f"{PREFIX}max-scale-up-rate": "7"})
    assert found.max_scale_up_rate == 5.0


def test_the_old_camel_case_spelling_is_read_and_the_new_one_wins():
    old = {f"{PREFIX}minScale": "2", f"{PREFIX}maxScale": "5"}
    assert (warm(old)["min_scale"], warm(old)["max_scale"]) == (2, 5)
    assert warm({**old, f"{PREFIX}min-scale": "1"})["min_scale"] == 1


@pytest.mark.parametrize(("text", "percent"), [("0.7", 70.0), ("1", 100.0), ("80", 80.0), ("1.5", 1.5)])
def test_a_utilization_up_to_one_is_a_fraction(text, percent):
    found = autoscaler_settings({"container-concurrency-target-percentage": text}, {})
    assert found.target_utilization_percentage == pytest.approx(percent)


def test_the_fence_is_the_target_where_none_is_stated_and_its_bound_where_one_is():
    assert warm(fence=12)["target"] == 12.0
    assert warm({f"{PREFIX}target": "40"}, fence=12)["target"] == 12.0
    assert warm({f"{PREFIX}target": "4.5"}, fence=12)["target"] == 4.5


def test_the_cluster_says_what_an_unstated_target_is_without_a_fence():
    assert warm(cluster={"container-concurrency-target-default": "50"})["target"] == 50.0


@pytest.mark.parametrize("text", ["", "many", "NaN", "-Inf", "1e999", "5m"])
def test_a_value_that_is_no_finite_number_is_as_good_as_absent(text):
    annotations = {name: text for name in ANNOTATION_OF.values() if name != f"{PREFIX}window"}
    assert warm(annotations) == warm()
    assert autoscaler_settings({"target-burst-capacity": text}, {}) == AutoscalerSettings()


@pytest.mark.parametrize("text", ["60", "soon", "-5s", ""])
def test_a_window_that_is_no_duration_is_as_good_as_absent(text):
    assert warm({f"{PREFIX}window": text}) == warm()
    assert autoscaler_settings({"stable-window": text}, {}) == AutoscalerSettings()


def test_only_the_knobs_that_are_asked_for_are_written():
    config = ServingConfig(min_scale=1, max_scale=4, target=12.5)
    assert warm_annotations(config, ["target"]) == {f"{PREFIX}target": "12.5"}
    assert warm_annotations(config, []) == {}


@given(
    low=st.integers(0, 10**9),
    more=st.integers(0, 10**9),
    activation=st.integers(0, 10**9),
    window_s=st.integers(0, 3600),
    target=st.integers(1, 10**11).map(lambda hundredths: hundredths / 100),
)
def test_what_is_written_is_read_back_and_whole_numbers_stay_whole(low, more, activation, window_s, target):
    scale = {"min_scale": low, "max_scale": low + more, "activation_scale": activation}
    config = ServingConfig(**scale, window_s=window_s, target=target)
    written = warm_annotations(taken_together(config), WARM_KNOBS)
    found = warm({name: text for name, text in written.items() if text})
    assert written[ANNOTATION_OF["min_scale"]].isdecimal()
    assert (found["min_scale"], found["max_scale"], found["target"]) == (low, low + more, target)
    assert found["window_s"] == window_s
    # What Knative takes: two or more, and between the bounds.
    start = found["activation_scale"]
    assert start == 0 or (start >= 2 and low <= start and (start <= low + more or not low + more))
    assert start in {0, activation} or not low <= activation <= low + more
