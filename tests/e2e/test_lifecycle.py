"""Life around the operator: upgrades and dead pods under load, its rights, KServe's client, removal without a trace."""

import json

import pytest

pytestmark = pytest.mark.needs("cluster")

DISTILBERT = {"name": "distilbert", "autoscaling": {"window": "6s"}}
SERVER = ("-l", "serving.knative.dev/service=distilbert")
TEXTS = ["a warm and wonderful film", "a dreadful, boring mess"]
AS_OPERATOR = "--as=system:serviceaccount:tidegate:tidegate-controller"


@pytest.mark.filterwarnings("ignore")  # of a package that is only a client here
async def test_kserves_own_client_is_answered_by_an_inference_service(namespace, gateway):
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig  # noqa: PLC0415  seconds to import

    namespace.install("distilbert", DISTILBERT, platform="kserve")
    headers = {"Host": f"distilbert-predictor.{namespace.name}.{gateway.domain}"}
    first, second = (InferenceRESTClient(RESTConfig(protocol=protocol)) for protocol in ("v1", "v2"))
    try:
        answer = await first.infer(gateway.url, {"instances": TEXTS}, model_name="distilbert", headers=headers)
        request = InferRequest("distilbert", [InferInput("text", [2], "BYTES", TEXTS)])
        found = await second.infer(gateway.url, request, model_name="distilbert", headers=headers)
    finally:
        await first.close()
        await second.close()
    assert [each["label"] for each in answer["predictions"]] == ["positive", "negative"]
    assert found.get_output_by_name("label").data == ["positive", "negative"]


def test_upgrades_of_operator_and_model_under_load_lose_no_request(operator, namespace):
    namespace.install("distilbert", {**DISTILBERT, "tuning": {"enabled": True, "mode": "Apply"}})
    namespace.load("load", "distilbert", rates=(10, 30), seconds=40, wait=False)
    namespace.wait_for_pods(1, *SERVER)
    operator.upgrade("--set", "controller.podAnnotations.turn=second")
    more = {"resources": {"requests": {"cpu": "110m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}}
    namespace.install("distilbert", {**DISTILBERT, **more, "tuning": {"enabled": True, "mode": "Apply"}})
    figures = namespace.figures("load")
    assert figures["failures"] == {}
    assert figures["classes"]["ok"]["count"] + figures["classes"]["cold_start"]["count"] == figures["requests"]
    assert len(namespace.revisions()) == 2


def test_a_server_killed_under_load_costs_only_what_it_held(operator, namespace, until):
    namespace.install("distilbert", {**DISTILBERT, "autoscaling": {"window": "6s", "minScale": 2}})
    namespace.load("load", "distilbert", rates=(10, 30), seconds=25, wait=False)
    until("the load", lambda: namespace.get("pods", "-l", "job-name=load")["items"][0]["status"]["phase"] == "Running")
    pod = namespace.pods(*SERVER)[0]
    namespace.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
    figures = namespace.figures("load")
    # Every request has an answer or a named failure; what was in the pod's hands, or on its way to them, may fail.
    assert sum(each["count"] for each in figures["classes"].values()) == figures["requests"]
    assert figures["classes"]["ok"]["count"] >= 0.9 * figures["requests"]
    assert namespace.ask("distilbert", "/v1/models/distilbert:predict", {"instances": TEXTS})


@pytest.mark.parametrize(
    ("verb", "what", "where", "may"),
    [
        ("patch", "revisions.serving.knative.dev", "default", "yes"),
        ("patch", "services.serving.knative.dev", "default", "yes"),
        ("patch", "inferenceservices.serving.kserve.io", "default", "yes"),
        ("patch", "pods:resize", "default", "yes"),
        ("create", "jobs.batch", "default", "yes"),
        ("get", "secrets/tidegate-ca", "tidegate", "yes"),
        ("delete", "services.serving.knative.dev", "default", "no"),
        ("create", "pods", "default", "no"),
        ("patch", "pods", "default", "no"),
        ("get", "secrets", "default", "no"),
        ("list", "secrets", "tidegate", "no"),
        ("patch", "deployments.apps", "default", "no"),
        ("patch", "nodes", "default", "no"),
        ("patch", "customresourcedefinitions", "default", "no"),
        ("create", "clusterrolebindings", "default", "no"),
    ],
)
def test_the_operator_may_do_its_work_and_nothing_else(operator, verb, what, where, may):
    kind, _, part = what.partition(":")
    words = ("can-i", verb, kind, f"--subresource={part}", "-n", where, AS_OPERATOR)
    answer = operator.kubectl("auth", *words, check=False)
    assert answer.strip() == may


def test_an_operator_of_one_namespace_serves_that_one_and_may_do_nothing_elsewhere(operator, namespace, other, until):
    fake = {"model": {"path": "fake"}, "tuning": {"enabled": True}}
    try:
        operator.upgrade("--set", f"controller.watchNamespaces={{{namespace.name}}}")
        for each in (namespace, other):
            each.install("fake", fake)
        until("the tuning", lambda: namespace.condition("fake", "Ready")["status"] == "True")
        assert not other.status("fake")
        for verb, kind in (("list", "pods"), ("patch", "revisions.serving.knative.dev")):
            asked = [("can-i", verb, kind, "-n", each.name, AS_OPERATOR) for each in (namespace, other)]
            assert [operator.kubectl("auth", *words, check=False).strip() for words in asked] == ["yes", "no"]
        assert "tidegate-controller" not in operator.kubectl("get", "clusterrolebindings", "-o", "name")
    finally:
        operator.upgrade()
    until("the other tuning", lambda: other.condition("fake", "Ready")["status"] == "True")


def test_an_upgrade_brings_definitions_up_to_date_and_a_rollback_keeps_them(operator):
    # As an older release had it: without a field, and without a rule.
    old = json.loads(operator.kubectl("get", "crd", "inferencetunings.tidegate.dev", "-o", "json"))
    spec = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["suspend"], spec["x-kubernetes-validations"]
    metadata = {"name": old["metadata"]["name"]}
    operator.kubectl("replace", "-f", "-", text=json.dumps({**old, "metadata": old["metadata"] | metadata}))
    operator.upgrade()
    explained = operator.kubectl("explain", "inferencetunings.spec")
    assert "suspend" in explained
    operator.helm("rollback", "tidegate", "--wait", "--timeout=120s")
    assert "suspend" in operator.kubectl("explain", "inferencetunings.spec")
    operator.helm("test", "tidegate")


def test_a_removal_puts_services_back_and_leaves_the_definitions_only(operator, namespace, until):
    fake = {"model": {"path": "fake"}, "containerConcurrency": 12, "autoscaling": {"window": "10s"}}
    fake["server"] = {"maxBatchSize": 1, "env": {"TIDEGATE_FAKE_FIXED_S": "0.04"}}
    tuning = {"enabled": True, "mode": "Apply", "objective": {"slo": {"latency": "300ms"}}}
    namespace.install("fake", {**fake, "tuning": tuning})
    before = namespace.warm("fake-00001")
    namespace.load("load", "fake", rates=(10, 40), seconds=20, wait=False)
    until("a change", lambda: namespace.events("SettingApplied"))
    namespace.figures("load")
    try:
        operator.helm("uninstall", "tidegate", "--wait", "--timeout=300s")
        assert namespace.warm("fake-00001") == before
        assert not namespace.get("inferencetuning", "fake")["metadata"].get("finalizers")
        kinds = "all,configmap,secret,role,rolebinding,serviceaccount,lease,networkpolicy"
        until("nothing in its namespace", lambda: "tidegate" not in operator.kubectl("get", kinds, "-o", "name"))
        roles = operator.kubectl("get", "clusterrole,clusterrolebinding", "-o", "name")
        assert "tidegate" not in roles
        assert "tidegate-ca" not in namespace.kubectl("get", "configmap", "-o", "name")
        definitions = operator.kubectl("get", "crd", "-o", "name")
        assert definitions.count("tidegate.dev") == 3
    finally:
        operator.upgrade()
