"""The status of a tuning from what is known: conditions, figures for people, and when it is worth a write."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from controller.domain.arrival_map import mmpp
from controller.domain.arrival_process import PoissonProcess
from controller.domain.prices import ClusterPrices
from controller.domain.serving_config import NO_TOKEN_BOUND, ServingConfig
from controller.domain.slo import LatencySlo
from controller.monitor.detection import default_detection
from controller.monitor.traffic import Traffic
from controller.platforms.protocol import PlatformState
from controller.platforms.watched import pod_seen
from controller.reconcilers.tuning_status import (
    HEARD_WITHIN_S,
    Known,
    aspects,
    changes_text,
    cold_start_of,
    is_worth_a_write,
    settings_text,
    status_of,
)
from controller.settings import LoopSettings

DECISION = {
    "action": "apply",
    "reason": "apply: first look",
    "changes": {"max_batch_size": [8, 16], "max_scale": [0, 4], "memory_mb": [512, 256]},
    "prediction": {"p95_s": 0.1234, "attainment": 0.987, "cost_per_million_usd": 4.5},
}


def traffic_of(counts=(), law=None):
    traffic = Traffic(default_detection())
    traffic.update(0, np.array(counts, dtype=np.int64), np.zeros(len(counts), dtype=bool))
    traffic.law = law
    return traffic


def known(*, ready=1, at_s=100.0, config=None, traffic=None, **more):
    return Known(
        state=PlatformState(at_s, ready, 0, config or ServingConfig(), "s-1", {}),
        view=SimpleNamespace(traffic=traffic or traffic_of()),
        settings=LoopSettings(slo=LatencySlo(0.95, 0.5), prices=ClusterPrices(1e-5, 1e-6)),
        **{
            "counted": {},
            "scraped": None,
            "heard_at_s": 99.0,
            "decision": None,
            "decided_at_s": 0.0,
            "held": {},
            "resize_refused": "",
            "has_warm": None,
            "budget_usd": None,
            "changes": 0,
            **more,
        },
    )


def aspect(kind, **more):
    return next(each for each in aspects(known(**more)) if each.type == kind)


@pytest.mark.parametrize(
    ("more", "status", "reason"),
    [
        ({"heard_at_s": 99.0}, "True", "HeartbeatsArrive"),
        ({"heard_at_s": 100.0 - HEARD_WITHIN_S}, "False", "NoHeartbeats"),
        ({"heard_at_s": None}, "False", "NoHeartbeats"),
        ({"heard_at_s": None, "ready": 0}, "True", "NoPods"),
        ({"heard_at_s": None, "scraped": SimpleNamespace(dialect=None)}, "False", "NotScraped"),
        (
            {"heard_at_s": None, "scraped": SimpleNamespace(dialect="knative", resolution_s=15.2)},
            "True",
            "PrometheusCounts",
        ),
    ],
)
def test_whether_servers_are_heard(more, status, reason):
    found = aspect("MetricsAvailable", **more)
    assert (found.status, found.reason) == (status, reason)


def test_pods_that_do_not_report_are_told_what_they_lack():
    assert "TIDEGATE_CONTROLLER_URL" in aspect("MetricsAvailable", heard_at_s=None, ready=3).message


@pytest.mark.parametrize(
    ("counted", "status", "words"),
    [
        ({}, "Unknown", "too few"),
        ({0.1: 19}, "Unknown", "too few"),
        ({0.1: 95, math.inf: 5}, "True", "95.0% of 100 requests inside 500ms"),
        ({0.1: 90, math.inf: 10}, "False", "90.0% of 100 requests inside 500ms in the last two minutes, 95.0% are"),
    ],
)
def test_whether_the_objective_is_met(counted, status, words):
    found = aspect("SLOMet", counted=counted)
    assert found.status == status
    assert words in found.message


def test_without_a_budget_nothing_is_said_of_it():
    assert not [each for each in aspects(known()) if each.type == "BudgetMet"]


@pytest.mark.parametrize(
    ("budget", "decision", "status"),
    [
        (5.0, DECISION, "True"),
        (4.5, DECISION, "True"),
        (4.0, DECISION, "False"),
        (4.0, None, "Unknown"),
        (4.0, {**DECISION, "prediction": None}, "Unknown"),
    ],
)
def test_whether_the_budget_is_met(budget, decision, status):
    assert aspect("BudgetMet", budget_usd=budget, decision=decision).status == status


@pytest.mark.parametrize(
    ("more", "status", "reason"),
    [
        ({"has_warm": None}, "Unknown", "NotTried"),
        ({"has_warm": True}, "True", "Followed"),
        ({"has_warm": False}, "False", "KnativeTooOld"),
        ({"has_warm": True, "resize_refused": "may not"}, "False", "ResizeRefused"),
    ],
)
def test_whether_warm_settings_can_be_applied(more, status, reason):
    found = aspect("WarmSettings", **more)
    assert (found.status, found.reason) == (status, reason)


def test_every_condition_is_said_once_and_has_a_word_for_its_reason():
    found = aspects(known(budget_usd=1.0))
    assert len({each.type for each in found}) == len(found)
    assert all(each.reason.isalpha() and each.message for each in found)


def test_settings_are_written_as_a_document_writes_them():
    config = ServingConfig(batch_tokens=NO_TOKEN_BOUND, max_queue_delay_s=0.005, target=12.5)
    assert settings_text(config) == {
        "maxBatchSize": "8",
        "batchTokens": "1048576",
        "maxQueueDelay": "5ms",
        "maxQueueLength": "1000",
        "workers": "1",
        "minScale": "0",
        "maxScale": "unbounded",
        "activationScale": "none",
        "window": "default",
        "target": "12.5",
        "containerConcurrency": "unbounded",
    }


@pytest.mark.parametrize(
    ("counts", "rate"), [([], "0/s"), ([5, 6, 5], "5.33/s"), ([250] * 3, "250/s"), ([12345] * 3, "12345/s")]
)
def test_rates_are_readable(counts, rate):
    assert status_of(known(traffic=traffic_of(counts)), None)["arrivals"]["rate"] == rate


@pytest.mark.parametrize(
    ("law", "text"),
    [(None, "none"), (PoissonProcess(3.0), "poisson"), (mmpp([1, 9], [[0, 1], [1, 0]]), "map")],
)
def test_the_law_is_named(law, text):
    assert status_of(known(traffic=traffic_of([3], law)), None)["arrivals"]["law"] == text


def test_what_is_not_known_is_absent():
    assert set(status_of(known(), None)) == {"target", "arrivals", "changes"}
    assert set(status_of(known(), None)["target"]) == {"revision", "readyPods", "startingPods", "settings"}


def test_latency_is_told_with_what_it_rests_on():
    found = status_of(known(counted={0.1: 50, 0.2: 45, math.inf: 5}), None)["latency"]
    assert found == {"p50": "100ms", "p95": "200ms", "atObjective": "200ms", "answered": 100}


def test_a_quantile_without_a_right_answer_is_none():
    assert status_of(known(counted={0.1: 50, math.inf: 50}), None)["latency"]["p95"] == "none"


def test_knobs_of_others_are_named_as_documents_name_them():
    held = {"min_scale": "somebody set it to 3", "container_concurrency": "rolled back"}
    found = status_of(known(held=held), None)["target"]["heldByOthers"]
    assert found == ["containerConcurrency: rolled back", "minScale: somebody set it to 3"]


@pytest.mark.parametrize(
    ("action", "reason", "shown", "has_changes"),
    [
        ("apply", "apply: first look", "apply", True),
        ("keep", "keep: recommended, first look", "recommend", True),
        ("keep", "keep: would gain nothing", "keep", False),
    ],
)
def test_a_decision_shows_its_changes_where_it_asks_for_them(action, reason, shown, has_changes):
    found = status_of(known(decision={**DECISION, "action": action, "reason": reason}), None)["decision"]
    assert found["action"] == shown
    assert ("changes" in found) is has_changes


def test_a_decision_is_told_with_its_prediction():
    found = status_of(known(decision=DECISION, decided_at_s=1767225600.0), None)["decision"]
    assert found == {
        "time": "2026-01-01T00:00:00Z",
        "action": "apply",
        "reason": "apply: first look",
        "changes": {"maxBatchSize": "8 → 16", "maxScale": "unbounded → 4"},
        "p95": "123ms",
        "attainment": "98.7%",
        "costPerMillionUsd": "4.50",
    }


@pytest.mark.parametrize("prediction", [None, {}, {"p95_s": None, "attainment": 0.0, "cost_per_million_usd": None}])
def test_a_decision_without_a_prediction_is_told_without_one(prediction):
    found = status_of(known(decision={**DECISION, "prediction": prediction}), None)["decision"]
    assert "p95" not in found


def test_changes_of_what_documents_do_not_name_are_left_out():
    assert changes_text({"memory_mb": (1, 2), "max_queue_delay_s": (0.0, 0.01)}) == {"maxQueueDelay": "0s → 10ms"}


def at(second):
    return f"2026-01-01T00:00:{second:09.6f}Z"


def pod(name, created_s, **reached_s):
    kinds = {"scheduled": "PodScheduled", "ready": "Ready"}
    conditions = [
        {"type": kinds[stage], "status": "True", "lastTransitionTime": at(second)}
        for stage, second in reached_s.items()
        if stage in kinds
    ]
    running = {"running": {"startedAt": at(reached_s["started"])}} if "started" in reached_s else {}
    return pod_seen(
        {
            "metadata": {"name": name, "uid": name, "creationTimestamp": at(created_s)},
            "spec": {"containers": [{"name": "user-container"}]},
            "status": {
                "conditions": conditions,
                "containerStatuses": [{"name": "user-container", "state": running}],
            },
        }
    )


def test_the_cold_start_is_that_of_the_newest_pod_that_became_ready():
    pods = [
        pod("old", 0, ready=2),
        pod("new", 10, scheduled=10.1, ready=11.5, started=10.8),
        pod("x", 20),
    ]
    found = cold_start_of(pods, {"new": {"loaded": 0.4}})
    assert found["pod"] == "new"
    assert list(found["stages"].items()) == [
        ("scheduled", "100ms"),
        ("started", "800ms"),
        ("ready", "1.50s"),
        ("server-loaded", "400ms"),
    ]


def test_without_a_start_there_is_no_cold_start():
    assert cold_start_of([], {}) is None
    assert cold_start_of([pod("x", 0)], {}) is None


def condition(status="True", message="", reason="Measured"):
    return [{"type": "SLOMet", "status": status, "reason": reason, "message": message}]


@pytest.mark.parametrize(
    ("after", "waited_s", "is_worth"),
    [
        ({"arrivals": {"rate": "5/s"}, "conditions": condition(message="90 %")}, math.inf, False),
        ({"arrivals": {"rate": "6/s"}, "conditions": condition(message="90 %")}, 4.9, False),
        ({"arrivals": {"rate": "6/s"}, "conditions": condition(message="90 %")}, 5.0, True),
        ({"arrivals": {"rate": "5/s"}, "conditions": condition(message="91 %")}, 4.9, False),
        ({"arrivals": {"rate": "5/s"}, "conditions": condition("False")}, 0.0, True),
        ({"arrivals": {"rate": "5/s"}, "conditions": condition(reason="Other")}, 0.0, True),
        ({"arrivals": {"rate": "5/s"}, "conditions": condition(), "changes": 1}, 0.0, True),
        ({"arrivals": {"rate": "5/s"}, "conditions": condition(), "decision": {"action": "keep"}}, 0.0, True),
        ({"arrivals": {"rate": "5/s"}, "conditions": condition(), "observedGeneration": 2}, 0.0, True),
    ],
)
def test_what_people_wait_for_is_written_at_once_and_figures_now_and_then(after, waited_s, is_worth):
    before = {"arrivals": {"rate": "5/s"}, "conditions": condition(message="90 %")}
    assert is_worth_a_write(before, after, waited_s=waited_s) is is_worth
