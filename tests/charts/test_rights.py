"""Rights: those that the operator needs, in the namespaces that it serves, and nothing else."""

import json
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.needs("helm")

CRDS = Path(__file__).parents[2] / "charts" / "tidegate" / "crds"
WATCHED = 'watchNamespaces=["one", "two"]'
SERVED = {
    "tidegate.dev/inferencetunings": "list watch patch",
    "tidegate.dev/sweeps": "list watch patch",
    "tidegate.dev/sweeptrials": "list create",
    "tidegate.dev/inferencetunings/status": "patch",
    "tidegate.dev/sweeps/status": "patch",
    "tidegate.dev/sweeptrials/status": "patch",
    "serving.knative.dev/services": "get list watch patch",
    "serving.knative.dev/revisions": "list watch patch delete",
    "autoscaling.internal.knative.dev/podautoscalers": "get",
    "serving.kserve.io/inferenceservices": "get patch",
    "/pods": "get list watch",
    "/pods/resize": "patch",
    "/pods/log": "get",
    "/configmaps": "get create patch delete",
    "/events": "create",
    "batch/jobs": "get create delete",
}
CLUSTER = {
    "apiextensions.k8s.io/customresourcedefinitions": "list watch",
    "/nodes": "list",
}
OWN = {
    "/secrets:tidegate-ca": "get",
    "/secrets": "create",
    "coordination.k8s.io/leases:tidegate-controller": "get patch",
    "coordination.k8s.io/leases": "create",
}
CLUSTER_KINDS = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "ClusterServingRuntime", "Namespace"}


def rights(role):
    """Verbs by group/resource, and by its name where only that one is meant."""
    found = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    key = f"{group}/{resource}" + (f":{name}" if name else "")
                    found.setdefault(key, set()).update(rule["verbs"])
    return found


def wanted(table):
    return {key: set(verbs.split()) for key, verbs in table.items()}


def test_the_cluster_role_is_what_the_operator_needs(helm, only):
    role = only(helm.render("controller"), "ClusterRole", "tidegate-controller")
    assert rights(role) == wanted(SERVED | CLUSTER)


def test_the_role_in_its_own_namespace_reaches_one_secret_and_one_lease(helm, only):
    role = only(helm.render("controller"), "Role")
    assert role["metadata"]["namespace"] == "home"
    assert rights(role) == wanted(OWN)


def test_watched_namespaces_need_no_cluster_scoped_object(helm):
    documents = helm.render("controller", WATCHED, 'dashboards={"enabled": true}')
    assert {each["kind"] for each in documents} & CLUSTER_KINDS == set()
    assert all("namespace" in each["metadata"] for each in documents)


def test_watched_namespaces_have_a_role_each_for_the_operators_account(helm):
    documents = helm.render("controller", WATCHED)
    roles = {each["metadata"]["namespace"]: each for each in documents if each["kind"] == "Role"}
    assert roles.keys() == {"one", "two", "home"}
    assert rights(roles["one"]) == rights(roles["two"]) == wanted(SERVED)
    subjects = [each["subjects"] for each in documents if each["kind"] == "RoleBinding"]
    assert subjects == 3 * [[{"kind": "ServiceAccount", "name": "tidegate-controller", "namespace": "home"}]]


def test_the_operator_is_told_the_namespaces_that_it_has_roles_in(helm, only):
    pod = only(helm.render("controller", WATCHED), "Deployment")["spec"]["template"]["spec"]
    told = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert told["TIDEGATE_WATCH_NAMESPACES"] == "one,two"


def test_tunings_are_for_those_who_may_edit_services(helm, only):
    documents = helm.render("controller")
    view, edit = (only(documents, "ClusterRole", name) for name in ("tidegate-view", "tidegate-edit"))
    assert {verb for verbs in rights(view).values() for verb in verbs} == {"get", "list", "watch"}
    labels = edit["metadata"]["labels"]
    assert labels["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert "rbac.authorization.k8s.io/aggregate-to-view" not in labels


def test_an_uninstall_may_do_what_the_operator_may(helm, only):
    # Where no operator holds the Lease any more, the hook's Job does the operator's work itself.
    documents = helm.render("tidegate")
    for kind, hook, operator in (
        ("ClusterRole", "home-try-release", "tidegate-controller"),
        ("Role", "try-release-own", "tidegate-controller-own"),
    ):
        assert rights(only(documents, kind, hook)) == rights(only(documents, kind, operator))


def test_what_the_operator_made_is_removed_by_name(helm, only):
    documents = helm.render("tidegate")
    everywhere = rights(only(documents, "ClusterRole", "home-try-traces"))
    assert everywhere == {"/configmaps:tidegate-ca": {"list", "delete"}}
    at_home = rights(only(documents, "Role", "try-traces-own"))
    assert at_home == {
        "/secrets:tidegate-ca": {"delete"},
        "coordination.k8s.io/leases:tidegate-controller": {"delete"},
    }


def test_an_uninstall_of_watched_namespaces_needs_no_cluster_scoped_object(helm):
    flags = [f"controller={json.dumps({'watchNamespaces': ['one']})}", 'crds={"upgrade": false}']
    documents = helm.render("tidegate", *flags)
    assert {each["kind"] for each in documents} & CLUSTER_KINDS == set()


def test_definitions_are_written_by_name(helm, only):
    names = {yaml.safe_load(path.read_text())["metadata"]["name"] for path in CRDS.glob("*.yaml")}
    written = rights(only(helm.render("tidegate"), "ClusterRole", "home-try-definitions"))
    kind = "apiextensions.k8s.io/customresourcedefinitions"
    assert written == {f"{kind}:{name}": {"get", "patch"} for name in names} | {kind: {"create"}}
