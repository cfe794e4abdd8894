"""Slow settings: where they are durable, and that nothing of ours is left when they go back."""

from controller.platforms.fake_cluster import FakeCluster
from controller.platforms.template import Template, give_back, has_arrived, why_refused, write_slow
from controller.platforms.watched import ServiceSeen

KNATIVE = Template("serving.knative.dev/v1", "Service", "ns", "s")
KSERVE = Template("serving.kserve.io/v1beta1", "InferenceService", "ns", "s")


def service(*, observed=1, fence=4, ready="r1", refused=""):
    conditions = [{"type": "Ready", "status": "True"}]
    if refused:
        conditions = [{"type": "ConfigurationsReady", "status": "False", "message": refused}]
    status = {
        "observedGeneration": observed,
        "latestCreatedRevisionName": "r1",
        "latestReadyRevisionName": ready,
        "conditions": conditions,
    }
    document = {"metadata": {"namespace": "ns", "name": "s", "generation": 1}, "spec": {}, "status": status}
    return ServiceSeen(service=document, revisions={"r1": {"spec": {"containerConcurrency": fence}}})


def test_settings_of_a_service_that_kserve_made_are_durable_in_its_inference_service():
    metadata = {"namespace": "ns", "name": "s-predictor"}
    owned = {**metadata, "ownerReferences": [{"kind": "InferenceService", "name": "s"}]}
    assert Template.of({"metadata": owned}) == KSERVE
    assert Template.of({"metadata": {**metadata, "name": "s"}}) == KNATIVE
    assert KSERVE.path == "/apis/serving.kserve.io/v1beta1/namespaces/ns/inferenceservices/s"


async def test_a_fence_is_the_only_field_that_is_written():
    for template, read in ((KNATIVE, lambda spec: spec["template"]["spec"]), (KSERVE, lambda spec: spec["predictor"])):
        cluster = FakeCluster()
        await write_slow(cluster, template, 8)
        assert read(cluster.objects[template.path]["spec"]) == {"containerConcurrency": 8}
        assert template.read(cluster.objects[template.path]) == 8


async def test_fields_that_are_ours_as_well_are_said_again():
    cluster = FakeCluster()
    await write_slow(cluster, KNATIVE, 8, {"traffic": [{"percent": 100}]})
    await write_slow(cluster, KNATIVE, 9)
    assert "traffic" not in cluster.objects[KNATIVE.path]["spec"]


async def test_what_was_there_comes_back_and_no_field_stays_ours():
    cluster = FakeCluster()
    managers = [{"manager": each} for each in ("kubectl", "tidegate", "controller", "tidegate")]
    metadata = {"name": "s", "namespace": "ns", "managedFields": managers}
    cluster.put(KNATIVE.path, {"metadata": metadata, "spec": {"template": {"spec": {"containerConcurrency": 8}}}})
    await give_back(cluster, KNATIVE, 12)
    found = cluster.objects[KNATIVE.path]
    assert KNATIVE.read(found) == 12
    assert [each["manager"] for each in found["metadata"]["managedFields"]] == ["kubectl", "controller"]
    await give_back(cluster, KNATIVE, None)
    assert KNATIVE.read(cluster.objects[KNATIVE.path]) is None


def test_a_fence_has_arrived_when_the_newest_revision_carries_it_and_serves():
    assert has_arrived(service(), 4)
    assert not has_arrived(service(), 5)
    assert not has_arrived(service(observed=0), 4)
    assert not has_arrived(service(ready="r0"), 4)
    assert not has_arrived(ServiceSeen(), 4)


def test_a_revision_that_cannot_come_up_says_why_once_it_is_looked_at():
    assert why_refused(service(refused="no such image")) == "no such image"
    assert why_refused(service(refused="of the one before", observed=0)) == ""
    assert why_refused(service()) == ""
