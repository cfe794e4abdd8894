"""The documented examples on a real cluster: real weights answer from zero pods, and the pods go away again."""

import time

import pytest

TEXTS = ["a warm and wonderful film", "a dreadful, boring mess"]


def labels(answer):
    return [each["label"] for each in answer["predictions"]]


@pytest.mark.needs("cluster")
def test_a_knative_service_answers_from_zero_and_goes_back_to_zero(namespace, record_property):
    namespace.apply("knative-service.yaml")
    namespace.wait("ksvc/distilbert")
    namespace.wait_for_pods(0)
    began_s = time.monotonic()
    answer = namespace.ask("distilbert", "/v1/models/distilbert:predict", {"instances": TEXTS})
    record_property("from_zero_to_first_answer_s", round(time.monotonic() - began_s, 2))
    assert labels(answer) == ["positive", "negative"]
    assert len(namespace.pods()) == 1
    namespace.wait_for_pods(0)


@pytest.mark.needs("cluster")
def test_a_load_job_wakes_a_service_and_every_request_gets_an_answer(namespace):
    namespace.apply("knative-service.yaml")
    namespace.wait("ksvc/distilbert")
    namespace.apply("load-job.yaml")
    figures = namespace.figures("load")
    assert figures["failures"] == {}
    assert figures["classes"]["ok"]["count"] > 100
    # The one revision that was applied is the one that served: load changes no revision.
    assert namespace.kubectl("get", "revisions", "-o", "name").split() == [
        "revision.serving.knative.dev/distilbert-00001"
    ]


@pytest.mark.needs("cluster")
def test_an_inference_service_answers_from_zero(namespace):
    namespace.apply("inference-service.yaml")
    namespace.wait("inferenceservice/distilbert")
    namespace.wait_for_pods(0)
    answer = namespace.ask("distilbert-predictor", "/v1/models/distilbert:predict", {"instances": TEXTS})
    assert labels(answer) == ["positive", "negative"]
