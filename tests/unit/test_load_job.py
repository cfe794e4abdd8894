"""The load Job of a trial: what it is told, and in which words it comes to nothing."""

import pytest

from controller.domain.slo import LatencySlo
from controller.reconcilers.load_job import LoadTask, job_document, last_words, load_document_of, look_at_job
from controller.sweeps.sweep_document import Workload
from loadtest.options import FLAGS

NOW_S = 1_800_000_000.0
JUST_NOW, LONG_AGO = "2027-01-15T07:59:50Z", "2027-01-15T07:50:00Z"


def job(created=JUST_NOW, conditions=()):
    return {"metadata": {"creationTimestamp": created}, "status": {"conditions": list(conditions)}}


def pod(state, **status):
    statuses = [{"name": "load", "state": state}] if state else []
    metadata = {"name": "p", "creationTimestamp": JUST_NOW}
    return {"metadata": metadata, "status": {"containerStatuses": statuses, **status}}


def look(the_job, *pods):
    return look_at_job(the_job, pods, now_s=NOW_S)


def document():
    workload = Workload({"kind": "poisson", "rate_rps": 5.0}, 7, 20.0, "short", "v2")
    task = LoadTask("load:1", "http://s.ns.svc.cluster.local", "distilbert", workload, LatencySlo(0.95, 0.25))
    return job_document(task, name="s-000-1", labels={"a": "b"}, owner={"kind": "SweepTrial"})


def test_the_job_knows_the_flags_of_the_load_generator_and_no_others():
    arguments = document()["spec"]["template"]["spec"]["containers"][0]["args"]
    flags = {each.partition("=")[0] for each in arguments}
    assert flags <= {*FLAGS, "--host", "--json"}
    assert '--arrivals={"kind":"poisson","rate_rps":5.0}' in arguments
    assert {"--seed=7", "--duration=20.000000", "--slo-quantile=0.95", "--slo-s=0.25"} <= set(arguments)


def test_the_job_may_run_where_pods_are_restricted_and_is_never_repeated():
    spec = document()["spec"]
    container = spec["template"]["spec"]["containers"][0]
    assert container["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 140)


@pytest.mark.parametrize(
    ("the_job", "pods", "phase"),
    [
        (job(), [], "waiting"),
        (job(), [pod({"waiting": {"reason": "ContainerCreating"}})], "waiting"),
        (job(), [pod({"waiting": {"reason": "ImagePullBackOff"}})], "waiting"),
        (job(LONG_AGO), [pod({"running": {}})], "running"),
        (job(), [pod({"terminated": {"exitCode": 4}})], "ended"),
    ],
)
def test_a_job_waits_runs_and_ends(the_job, pods, phase):
    assert look(the_job, *pods).phase == phase


@pytest.mark.parametrize(
    ("the_job", "pods", "words"),
    [
        (job(LONG_AGO), [], "made no pod within 600 s"),
        (job(), [pod({"waiting": {"reason": "ErrImageNeverPull", "message": "m"}})], "ErrImageNeverPull: m"),
        (
            job(LONG_AGO),
            [pod({"waiting": {"reason": "ImagePullBackOff", "message": "no x"}})],
            "ImagePullBackOff: no x",
        ),
        (
            job(LONG_AGO),
            [pod(None, conditions=[{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes"}])],
            "no node takes its load pod: 0/1 nodes",
        ),
        (job(LONG_AGO), [pod(None, phase="Pending")], "did not start within 600 s (phase Pending)"),
        (
            job(LONG_AGO, [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]),
            [pod({"running": {}})],
            "did not end in time",
        ),
        (job(), [pod(None, phase="Failed", message="the node was low on memory")], "the node was low on memory"),
    ],
)
def test_a_job_that_comes_to_nothing_says_why(the_job, pods, words):
    seen = look(the_job, *pods)
    assert seen.phase == "broken"
    assert words in seen.why


def test_the_figures_are_the_last_line_in_braces():
    assert load_document_of('a\n{"classes": {}, "n": 1}\n') == {"classes": {}, "n": 1}
    assert load_document_of("a\n{half") is None
    assert load_document_of("") is None


def test_last_words_are_the_end_of_the_log_without_its_figures():
    assert last_words('one\n\n two\n{"classes": {}}\n') == "one / two"
    assert last_words("") == "its log is empty"
