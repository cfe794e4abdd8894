"""SweepTrials and the values of a sweep on one machine: nothing is lost on the way there and back."""

import math

import pytest

from controller.domain.instance_log import InstanceRow
from controller.domain.prices import ClusterPrices
from controller.domain.serving_config import InstanceShape
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.platforms.watched import pod_seen
from controller.reconcilers.sweep_pods import PodLives
from controller.reconcilers.sweep_status import ended_status, figures_document, figures_of, sweep_status
from controller.sweeps.from_cluster import parameters_text, record_of, setting_of, sweep_of
from controller.sweeps.records import TrialFigures
from controller.sweeps.runner import Outcome, propose

SLO = LatencySlo(0.95, 0.5)
SPEC = {
    "targetRefs": [{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "s"}],
    "parameters": [
        {"name": "maxQueueDelay", "values": ["0s", "2500us"]},
        {"name": "maxScale", "values": [0, 3]},
        {"name": "target", "values": ["0.7", 4]},
    ],
    "strategy": "Grid",
    "workload": {"arrivals": {"kind": "poisson", "rate_rps": 5}, "duration": "10s"},
    "objective": {"slo": {"quantile": "0.95", "latency": "500ms"}},
    "cancel": False,
}


def sweep(**changes):
    return sweep_of({"metadata": {"name": "s"}, "spec": {**SPEC, **changes}})


def trial(figures, number=0, state="Complete", why=""):
    status = ended_status({}, Outcome(state, why, figures), "2026-11-25T12:00:00Z")
    parameters = [{"name": "maxBatchSize", "value": "8"}]
    spec = {"number": number, "parameters": parameters}
    return {"metadata": {"name": f"s-{number:03}"}, "spec": spec, "status": status}


def figures(**changes):
    known = {"p50_s": 0.08, "p95_s": 0.3, "p99_s": 0.4, "slo_quantile_s": 0.3, "window_violation_ratio": 0.0}
    return TrialFigures(requests=1000, **{**known, "cost_per_million_usd": 1.5, **changes})


def test_every_setting_of_a_grid_comes_back_from_its_texts():
    plan, taken = sweep(), []
    while (setting := propose(plan, [], taken)) is not None:
        assert setting_of(parameters_text(plan, setting)) == setting
        taken.append(setting)
    assert len(taken) == 8


def test_a_record_is_rebuilt_from_the_status():
    record = record_of(trial(figures(rejected=3, errors=4, cold_starts=2)))
    assert record.figures == figures(rejected=3, errors=4, cold_starts=2)
    assert record.parameters == {"max_batch_size": 8}


def test_a_latency_without_an_answer_stays_infinite():
    record = record_of(trial(figures(p99_s=math.inf, slo_quantile_s=math.inf)))
    assert record.figures.p99_s == math.inf
    assert not record.is_feasible(SLO)


def test_no_rounding_makes_a_trial_hold_the_objective():
    missed = [figures(slo_quantile_s=0.50001), figures(window_violation_ratio=0.05001)]
    assert [record_of(trial(each)).is_feasible(SLO) for each in missed] == [False, False]
    assert record_of(trial(figures(slo_quantile_s=0.5, window_violation_ratio=0.05))).is_feasible(SLO)


def test_a_trial_that_broke_off_has_no_figures():
    document = trial(TrialFigures(), state="Failed", why="x" * 2000)
    assert "figures" not in document["status"]
    assert len(document["status"]["why"]) == 1024
    assert math.isnan(record_of(document).figures.p95_s)


def test_a_status_stays_small():
    assert len(str(trial(figures(), why="w" * 5000, state="Invalid")["status"])) < 8192


def test_the_status_of_a_sweep_counts_and_names_the_cheapest_inside_the_objective():
    trials = [
        trial(figures(cost_per_million_usd=2.0)),
        trial(figures(), 1),
        trial(figures(cost_per_million_usd=0.5, slo_quantile_s=0.9), 2),
        trial(TrialFigures(), 3, "Failed", "broke"),
        {"metadata": {"name": "s-004"}, "spec": {"number": 4}},
    ]
    status = sweep_status(trials, SLO, planned=9)
    assert {name: status[name] for name in ("planned", "trials", "succeeded", "failed", "running")} == {
        "planned": 9,
        "trials": 4,
        "succeeded": 3,
        "failed": 1,
        "running": 1,
    }
    assert status["best"]["name"] == "s-001"


def test_cost_is_what_the_pods_took_while_the_load_ran_over_its_requests():
    load = {
        "started_at": 100.0,
        "duration_s": 10.0,
        "elapsed_s": 10.0,
        "requests": 1000,
        "classes": {"ok": {"count": 990}, "cold_start": {"count": 5}, "rejected": {"count": 2}},
        "latency_with_failures_s": {"from_intended": {"p50": 0.1, "p95": 0.2, "p99": None}},
        "objective": {"latency_s": 0.2, "window_violation_ratio": 0.0},
    }
    pods = [
        InstanceRow("a", "r", 0.0, 50.0, math.nan, 2.0, 1024),
        InstanceRow("b", "r", 104.0, 106.0, 108.0, 2.0, 1024),
    ]
    found = figures_of(load, pods, ClusterPrices(0.01, 0.02))
    assert found.cost_per_million_usd == pytest.approx((10 + 4) * (2 * 0.01 + 0.02) / 1000 * 1e6)
    assert (found.cold_starts, found.errors, found.rejected) == (1, 5, 2)


def test_pods_that_go_are_remembered_and_those_of_the_trial_before_are_not_counted():
    def pod(name, *, ready="", is_leaving=False):
        metadata = {"name": name, "uid": name, "creationTimestamp": "2026-11-25T12:00:00Z"}
        metadata |= {"deletionTimestamp": "2026-11-25T12:01:00Z"} if is_leaving else {}
        readiness = {"type": "Ready", "status": "True", "lastTransitionTime": ready}
        return pod_seen({"metadata": metadata, "status": {"conditions": [readiness] if ready else []}})

    lives = PodLives(InstanceShape())
    lives.look([pod("old", is_leaving=True), pod("a", ready="2026-11-25T12:00:05Z")], 20.0)
    lives.look([pod("old", is_leaving=True), pod("a", is_leaving=True), pod("b")], 25.0)
    lives.look([pod("b", ready="2026-11-25T12:00:07Z")], 30.0)
    rows = {row.instance: row for row in lives.rows()}
    assert set(rows) == {"a", "b"}
    assert (rows["a"].ready_s - rows["a"].started_s, rows["a"].stopped_s) == (5.0, 30.0)
    assert rows["b"].ready_s - rows["b"].started_s == 7.0
    assert math.isnan(rows["b"].stopped_s)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"metadata": {"name": "s" * 53}, "spec": SPEC}, "shorten it"),
        ({"metadata": {"name": "s"}, "spec": {**SPEC, "patience": 3}}, "a grid is run whole"),
    ],
)
def test_what_no_rule_of_the_api_server_sees_is_refused_in_words(document, words):
    with pytest.raises(BadInputError, match=words):
        sweep_of(document)


def test_trials_that_run_at_the_same_time_are_taken():
    plan = sweep(strategy="Random", maxTrials=8)
    first = propose(plan, [])
    second = propose(plan, [], [first])
    assert second not in (None, first)
    assert propose(plan, [], [first]) == second


def test_a_cost_is_read_back_to_the_cent_of_a_million():
    assert figures_document(figures(cost_per_million_usd=0.11484))["costPerMillionUsd"] == "0.1148"
