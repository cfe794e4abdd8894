"""Pod Security "restricted", a root file system that nobody writes to, and no token where none is used."""

import pytest

pytestmark = pytest.mark.needs("helm")

MAY_ASK_THE_API = {
    ("Deployment", "tidegate-controller"),
    ("Pod", "tidegate-controller-test"),
    ("Job", "try-definitions"),
    ("Job", "try-release"),
    ("Job", "try-traces"),
}


def pods(documents):
    """Kind and name of what makes a pod, and the pod's spec."""
    for document in documents:
        spec = document.get("spec", {})
        where = {
            "Pod": spec,
            "Deployment": spec.get("template", {}).get("spec"),
            "Job": spec.get("template", {}).get("spec"),
            "Service": spec.get("template", {}).get("spec"),
            "InferenceService": spec.get("predictor"),
            "ServingRuntime": spec,
            "ClusterServingRuntime": spec,
        }.get(document["kind"])
        if where:
            yield (document["kind"], document["metadata"]["name"]), where


def test_every_container_is_restricted(helm, case):
    chart, path = case
    for maker, pod in pods(helm.render(chart, values=path)):
        for container in pod.get("containers", []):
            own, around = container["securityContext"], pod.get("securityContext", {})
            assert own["allowPrivilegeEscalation"] is False, maker
            assert own["readOnlyRootFilesystem"] is True, maker
            assert own["capabilities"] == {"drop": ["ALL"]}, maker
            assert (own | around)["runAsNonRoot"] is True, maker
            assert (own | around)["seccompProfile"] == {"type": "RuntimeDefault"}, maker


def test_every_container_has_a_memory_limit(helm, case):
    chart, path = case
    for maker, pod in pods(helm.render(chart, values=path)):
        for container in pod.get("containers", []):
            assert "memory" in container["resources"]["limits"], maker


def test_a_token_is_mounted_only_where_the_api_server_is_asked(helm, case):
    chart, path = case
    for maker, pod in pods(helm.render(chart, values=path)):
        if maker[0] not in ("ServingRuntime", "ClusterServingRuntime"):  # the InferenceService that names it says it
            assert pod["automountServiceAccountToken"] is (maker in MAY_ASK_THE_API), maker


def test_no_pod_gets_the_variables_of_services_beside_it(helm, case):
    # A Service tidegate-controller would set TIDEGATE_CONTROLLER_PORT, which the server does not know.
    chart, path = case
    for maker, pod in pods(helm.render(chart, values=path)):
        if maker[0] not in ("ServingRuntime", "ClusterServingRuntime"):
            assert pod["enableServiceLinks"] is False, maker


def test_every_environment_name_is_rendered_once(helm, case):
    chart, path = case
    for maker, pod in pods(helm.render(chart, values=path)):
        for container in [*pod.get("containers", []), pod.get("model", {})]:
            names = [each["name"] for each in container.get("env", [])]
            assert len(names) == len(set(names)), maker
