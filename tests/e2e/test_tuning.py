"""InferenceTuning on a real cluster: advice, changes without new revisions, drift, rollouts, restarts, removal."""

import time

import pytest

pytestmark = pytest.mark.needs("cluster")

# A model that gains from batches: 40 ms a call whatever its size. It sleeps, so pods do not compete for the cores.
FAKE = {
    "model": {"path": "fake"},
    "server": {"maxBatchSize": 1, "env": {"TIDEGATE_FAKE_FIXED_S": "0.04", "TIDEGATE_FAKE_PER_TOKEN_S": "0.00002"}},
    "autoscaling": {"window": "10s"},
    "containerConcurrency": 12,
}
RATES = (4, 40)


def tuned(mode, **more):
    return {**FAKE, "tuning": {"enabled": True, "mode": mode, "objective": {"slo": {"latency": "300ms"}}, **more}}


def batch_size_in_force(namespace, service):
    """What the pod that answers works with, by its own metrics."""
    _, text = namespace.request(service, "GET", "/metrics")
    name = 'tidegate_hot_setting{name="max_batch_size"}'
    # An IndexError, where another answered than the server, is waited for; StopIteration would not be.
    return float([each for each in text.splitlines() if each.startswith(name)][0].rpartition(" ")[2])  # noqa: RUF015


def test_recommend_tells_what_to_do_and_changes_nothing(operator, namespace, until):
    namespace.install("fake", tuned("Recommend"))
    before = namespace.get("ksvc", "fake")
    warm = namespace.warm("fake-00001")
    namespace.load("load", "fake", rates=RATES, seconds=20, wait=False)
    until("advice", lambda: namespace.status("fake")["decision"]["action"] == "recommend")
    decision = namespace.status("fake")["decision"]
    namespace.figures("load")
    assert "recommended" in decision["reason"]
    assert decision["changes"]
    assert namespace.events("Recommended")
    assert namespace.revisions() == ["fake-00001"]
    assert namespace.warm("fake-00001") == warm
    assert namespace.get("ksvc", "fake")["spec"] == before["spec"]
    assert not namespace.kubectl("get", "configmap", "tidegate-hot-fake", "--ignore-not-found")
    assert batch_size_in_force(namespace, "fake") == 1


def test_a_burst_is_met_by_hot_and_warm_changes_without_revision_or_restart(
    operator, namespace, until, record_property
):
    namespace.install("fake", tuned("Apply"))
    namespace.load("load", "fake", rates=RATES, seconds=30, wait=False)
    until(
        "a hot change",
        lambda: any("hot" in each and "maxBatchSize" in each for each in namespace.events("SettingApplied")),
    )
    began_s = time.monotonic()
    until("the change in the pod", lambda: batch_size_in_force(namespace, "fake") > 1, 60, 0.1)
    record_property("hot_change_seen_in_the_pod_s", round(time.monotonic() - began_s, 2))
    figures = namespace.figures("load")
    assert figures["failures"] == {}
    status = namespace.status("fake")
    assert status["arrivals"]["rate"]
    assert int(status["target"]["settings"]["maxBatchSize"]) > 1
    assert status["latency"]["answered"] > 100
    # Neither a new revision nor a restart: everything was hot or warm.
    assert namespace.revisions() == ["fake-00001"]
    for pod in namespace.get("pods", "-l", "serving.knative.dev/service=fake")["items"]:
        assert [each["restartCount"] for each in pod["status"]["containerStatuses"]] == [0, 0]
    # A pod that starts now begins with these settings, and the service still goes to zero.
    namespace.wait_for_pods(0, "-l", "serving.knative.dev/service=fake")
    until("the settings in a new pod", lambda: batch_size_in_force(namespace, "fake") > 1, 60)


def test_what_others_set_is_noticed_and_left_alone_and_a_removal_puts_everything_back(operator, namespace, until):
    namespace.install("fake", tuned("Apply", bounds={"maxScale": {"min": 3, "max": 3}}))
    before = {"autoscaling.knative.dev/min-scale": "0", "autoscaling.knative.dev/window": "10s"}
    namespace.load("load", "fake", rates=RATES, seconds=40, wait=False)
    warm = until("a warm change", lambda: set(namespace.warm("fake-00001").items()) - set(before.items()))
    annotation, value = min(warm)
    namespace.kubectl("annotate", "revision", "fake-00001", f"{annotation}={int(float(value)) + 7}", "--overwrite")
    until("the drift", lambda: namespace.events("DriftNoticed"))
    until("the drift in the status", lambda: namespace.status("fake")["target"]["heldByOthers"])
    namespace.figures("load")
    assert namespace.warm("fake-00001")[annotation] == str(int(float(value)) + 7)
    namespace.kubectl("annotate", "revision", "fake-00001", f"{annotation}-")
    namespace.kubectl("delete", "inferencetuning", "fake", "--timeout=60s")
    assert namespace.warm("fake-00001") == before
    assert not namespace.kubectl("get", "configmap", "tidegate-state-fake", "--ignore-not-found")


def test_a_new_operator_goes_on_with_what_the_last_one_knew(operator, namespace, until):
    namespace.install("fake", tuned("Apply"))
    namespace.load("load", "fake", rates=RATES, seconds=60, wait=False)
    until("a change", lambda: namespace.events("SettingApplied"))
    until("the change in the pod", lambda: batch_size_in_force(namespace, "fake") > 1)
    operator.kubectl("delete", "pod", "-l", "app.kubernetes.io/name=tidegate-controller", "--force", "--grace-period=0")
    operator.kubectl("rollout", "status", "deployment/tidegate-controller", "--timeout=120s")
    changes = namespace.status("fake")["changes"]
    heard = "servers report every second"
    until("heartbeats again", lambda: namespace.condition("fake", "MetricsAvailable")["message"] == heard)
    figures = namespace.figures("load")
    assert figures["failures"] == {}
    assert namespace.status("fake")["changes"] >= changes
    until("the settings in force", lambda: batch_size_in_force(namespace, "fake") > 1, 60)


def test_a_slow_change_is_rolled_out_and_one_that_cannot_serve_is_rolled_back(operator, namespace, until):
    values = tuned("Apply", bounds={"containerConcurrency": {"min": 24}}, rollout={"manageTraffic": True})
    namespace.install("fake", values)
    namespace.load("load", "fake", rates=(20, 30), seconds=120, wait=False)
    until("the end of the rollout", lambda: namespace.events("RolloutFinished"), 200)
    newest = namespace.get("ksvc", "fake")["status"]["latestReadyRevisionName"]
    assert namespace.get("revision", newest)["spec"]["containerConcurrency"] == 24
    assert namespace.figures("load")["failures"] == {}
    # No room for another pod: the next revision cannot become ready.
    namespace.load("more", "fake", rates=(5, 10), seconds=60, wait=False)
    until("a pod", lambda: namespace.pods("-l", "serving.knative.dev/service=fake"))
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}}
    namespace.put(quota)
    change = '{"spec": {"bounds": {"containerConcurrency": {"min": 48}}}}'
    namespace.kubectl("patch", "inferencetuning", "fake", "--type=merge", "-p", change)
    until("the way back", lambda: namespace.events("RolledBack"), 250)
    template = until("the template", lambda: namespace.get("ksvc", "fake")["spec"]["template"]["spec"])
    assert template["containerConcurrency"] == 24
    until("the status", lambda: "containerConcurrency" in str(namespace.status("fake")["target"]["heldByOthers"]))
    assert namespace.figures("more")["failures"] == {}


def test_of_two_tunings_of_one_service_the_oldest_acts(operator, namespace, until):
    namespace.install("fake", tuned("Recommend"))
    until("the first", lambda: namespace.condition("fake", "Ready")["status"] == "True")
    document = namespace.get("inferencetuning", "fake")
    time.sleep(1.1)  # ages are told apart by the second
    second = {**document, "metadata": {"name": "second", "namespace": namespace.name}}
    second.pop("status")
    namespace.put(second)
    until("the conflict", lambda: namespace.condition("second", "Conflict")["status"] == "True")
    assert namespace.condition("fake", "Conflict")["status"] == "False"
    namespace.kubectl("delete", "inferencetuning", "fake")
    until("the second's turn", lambda: namespace.condition("second", "Ready")["status"] == "True")


def test_cpu_is_resized_in_place(operator, namespace, until):
    burning = {**FAKE, "server": {"env": {"TIDEGATE_FAKE_FIXED_S": "0.004", "TIDEGATE_FAKE_BUSY": "1"}}}
    tuning = {"enabled": True, "mode": "Apply", "objective": {"slo": {"latency": "500ms"}}}
    tuning["bounds"] = {"cpu": {"min": "200m", "max": "600m"}, "minScale": {"min": 1, "max": 1}}
    namespace.install("fake", {**burning, "tuning": tuning})
    namespace.load("load", "fake", rates=(40, 60), seconds=30, wait=False)
    until("a resize", lambda: any("cpu" in each for each in namespace.events("SettingApplied")))

    def resized():
        pods = namespace.get("pods", "-l", "serving.knative.dev/service=fake")["items"]
        states = [each for pod in pods for each in pod["status"].get("containerStatuses", [])]
        own = [each for each in states if each["name"] != "queue-proxy"]
        return [each for each in own if each["resources"]["requests"]["cpu"] != "100m" and each["restartCount"] == 0]

    until("the pod's new size", resized, 30)
    assert namespace.figures("load")["failures"] == {}
    assert namespace.revisions() == ["fake-00001"]


def test_an_inference_service_with_real_weights_is_tuned_and_put_back(operator, namespace, until):
    bounds = {"maxBatchSize": {"min": 2}, "maxScale": {"min": 2, "max": 2}, "containerConcurrency": {"min": 24}}
    bounds |= {"window": {"max": "8s"}}
    tuning = {"enabled": True, "objective": {"slo": {"latency": "500ms"}}, "rollout": {"manageTraffic": True}}
    values = {"name": "distilbert", "server": {"maxBatchSize": 1}, "autoscaling": {"window": "10s"}}
    values |= {"containerConcurrency": 12, "tuning": tuning}
    namespace.install("distilbert", values, platform="kserve")
    before = namespace.get("inferenceservice", "distilbert")["spec"]["predictor"]
    namespace.load("load", "distilbert-predictor", rates=(20, 30), seconds=120, wait=False)
    until("advice", lambda: namespace.status("distilbert")["decision"])
    until("the rate in the status", lambda: float(namespace.status("distilbert")["arrivals"]["rate"].rstrip("/s")) > 0)
    values["tuning"] |= {"mode": "Apply", "bounds": bounds}
    namespace.install("distilbert", values, platform="kserve")
    until("the settings in the pod", lambda: batch_size_in_force(namespace, "distilbert-predictor") > 1)
    until("the end of the rollout", lambda: namespace.events("RolloutFinished"), 200)
    # What lasts is in the InferenceService, what is warm lies over the Revision below it.
    after = namespace.get("inferenceservice", "distilbert")["spec"]["predictor"]
    assert {**after, "containerConcurrency": 12} == before
    newest = namespace.get("ksvc", "distilbert-predictor")["status"]["latestReadyRevisionName"]
    assert namespace.get("revision", newest)["spec"]["containerConcurrency"] == after["containerConcurrency"] == 24
    until("the overlay", lambda: namespace.warm(newest)["autoscaling.knative.dev/max-scale"] == "2")
    scaler = namespace.get("podautoscalers.autoscaling.internal.knative.dev", newest)["metadata"]["annotations"]
    assert scaler["autoscaling.knative.dev/window"] == "8s"
    assert namespace.figures("load")["failures"] == {}
    namespace.kubectl("delete", "inferencetuning", "distilbert", "--timeout=60s")
    assert namespace.get("inferenceservice", "distilbert")["spec"]["predictor"] == before
    namespace.wait_for_pods(0, "-l", "serving.knative.dev/service=distilbert-predictor")
