"""What a Revision says: the setting in force, the shape of a pod, and what is left out because servers refuse it."""

import math

import pytest

from controller.domain.serving_config import InstanceShape, ServingConfig
from controller.errors import BadInputError
from controller.platforms.knative_reading import (
    annotations_of,
    answering_container,
    read_config,
    read_shape,
    template_annotations,
)
from controller.platforms.revision_annotations import PREFIX


def revision(*containers, annotations=None, **spec):
    return {
        "metadata": {"name": "r1", "annotations": annotations},
        "spec": {"containers": list(containers) or [{"name": "user-container"}], **spec},
    }


def env(**values):
    return {"name": "user-container", "env": [{"name": name, "value": value} for name, value in values.items()]}


def config_of(document, *, hot=None, cluster=None):
    return read_config(document, hot=hot, autoscaler_defaults=cluster or {})


def shape_of(document, **more):
    return read_shape(document, **{"cores": math.inf, "cold_start_s": None, **more})


def test_a_bare_revision_has_the_untuned_setting():
    assert config_of(revision()) == ServingConfig()


def test_servers_start_with_what_their_environment_says():
    document = revision(env(TIDEGATE_MAX_BATCH_SIZE="16", TIDEGATE_MAX_QUEUE_DELAY_S="0.01", TIDEGATE_WORKERS="2"))
    assert config_of(document) == ServingConfig(max_batch_size=16, max_queue_delay_s=0.01, workers=2)


@pytest.mark.parametrize(("name", "value"), [("MAX_BATCH_SIZE", "0"), ("MAX_BATCH_SIZE", "x"), ("WORKERS", "9999")])
def test_what_a_server_would_refuse_is_left_out(name, value):
    assert config_of(revision(env(**{f"TIDEGATE_{name}": value}))) == ServingConfig()


def test_a_value_from_elsewhere_is_not_known_here():
    secret = {"name": "TIDEGATE_WORKERS", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}
    assert config_of(revision({"name": "user-container", "env": [secret]})) == ServingConfig()


def test_what_servers_were_told_wins_over_their_environment():
    document = revision(env(TIDEGATE_MAX_BATCH_SIZE="16", TIDEGATE_WORKERS="2"))
    found = config_of(document, hot={"generation": 7, "max_batch_size": 4})
    assert (found.max_batch_size, found.workers) == (4, 2)


def test_warm_and_slow_settings_are_read_with_it():
    document = revision(annotations={f"{PREFIX}min-scale": "1", f"{PREFIX}max-scale": "3"}, containerConcurrency=12)
    found = config_of(document)
    assert (found.min_scale, found.max_scale, found.target, found.container_concurrency) == (1, 3, 12.0, 12)


def test_a_lowest_scale_above_the_highest_is_what_the_autoscaler_makes_of_it():
    found = config_of(revision(annotations={f"{PREFIX}min-scale": "5"}), cluster={"max-scale": "2"})
    assert (found.min_scale, found.max_scale) == (2, 2)


def test_a_value_beyond_any_range_names_its_revision_or_is_left_out():
    with pytest.raises(BadInputError, match="min_scale"):
        config_of(revision(annotations={f"{PREFIX}min-scale": "-1"}))


@pytest.mark.parametrize(
    ("containers", "name"),
    [
        ([{"name": "side"}, {"name": "model", "ports": [{"containerPort": 8080}]}], "model"),
        ([{"name": "side"}, {"name": "user-container"}], "user-container"),
        ([{"name": "queue-proxy", "ports": [{"containerPort": 8012}]}, {"name": "only"}], "only"),
    ],
)
def test_the_container_that_answers_is_the_one_with_a_port_or_the_only_one(containers, name):
    assert answering_container(revision(*containers))["name"] == name


def test_an_object_without_annotations_has_none():
    assert annotations_of({"metadata": {"annotations": None}}) == {}
    assert template_annotations({}) == {}
    assert template_annotations({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}) == {"a": "b"}


def resources(name="user-container", requests=None, limits=None):
    return {"name": name, "resources": {"requests": requests or {}, "limits": limits or {}}}


def test_a_pod_is_billed_for_what_its_containers_request_together():
    found = shape_of(
        revision(
            resources(requests={"cpu": "500m", "memory": "256Mi"}),
            resources("side", requests={"cpu": "0.25", "memory": "1Gi"}),
        )
    )
    assert (found.vcpu, found.memory_mb) == (0.75, 1280)


def test_limits_stand_in_where_nothing_is_requested():
    found = shape_of(revision(resources(limits={"cpu": "2", "memory": "512Mi"})))
    assert (found.vcpu, found.memory_mb) == (2.0, 512)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_containers_that_state_nothing_are_taken_for_the_usual_pod(count):
    found = shape_of(revision(*[resources(f"c{number}") for number in range(count)]))
    assert (found.vcpu, found.memory_mb) == (InstanceShape().vcpu, InstanceShape().memory_mb)


def test_a_container_that_states_no_memory_adds_none():
    found = shape_of(revision(resources(requests={"memory": "256Mi"}), resources("side")))
    assert found.memory_mb == 256


def test_a_start_is_never_quicker_than_can_be():
    assert shape_of(revision(), cold_start_s=0.0).cold_start_s == 0.05
    assert shape_of(revision(), cold_start_s=3.5).cold_start_s == 3.5
    assert shape_of(revision()).cold_start_s == InstanceShape().cold_start_s


@pytest.mark.parametrize(("timeout_s", "drain_s"), [(None, 30), (300, 30), (10, 10)])
def test_a_pod_is_found_and_ends_as_knative_does_it(timeout_s, drain_s):
    document = revision()
    document["spec"]["timeoutSeconds"] = timeout_s
    found = shape_of(document)
    assert (found.routing, found.drain_s) == ("knative", drain_s)


def test_cores_that_may_not_be_read_bound_nothing():
    assert shape_of(revision(), cores=0.0).cores == math.inf
    assert shape_of(revision(), cores=4.0).cores == 4.0
