"""Keep or apply, and the sentence that says why."""

from dataclasses import replace

import pytest

from controller.domain.serving_config import InstanceShape, ServingConfig
from controller.optimizer.decision import Conditions, decide, decide_silence
from controller.optimizer.objective import Evaluation
from controller.optimizer.study import SearchResult

PRESENT = ServingConfig()
FINE = Evaluation(
    config=PRESENT,
    p95_s=0.21,
    mean_s=0.05,
    attainment=0.99,
    planning_quantile=0.97,
    excess=-0.5,
    cost_per_million_usd=1.0,
    cost_per_s_usd=2e-5,
    burst_late=0.4,
    burst_missed=0.4,
    burst_cost_usd=2e-4,
)
HERE = Conditions(
    at_s=41.0,
    trigger="alarm",
    cause="rate rose 12 → 96/s",
    searched_rps=90.0,
    rate_rps=96.0,
    fano=3.2,
    law="poisson",
    dwell_s=60.0,
    shape=InstanceShape(cores=1, max_instances=6),
)


def found(present=FINE, **changes):
    settings = {name: changes.pop(name) for name in list(changes) if name in PRESENT.to_document()}
    best = replace(present, config=replace(PRESENT, **settings), **changes)
    return SearchResult(present, best, (), 40, 1.0)


def test_a_large_saving_is_applied_and_told_with_numbers():
    decision = decide(found(max_scale=1, burst_missed=0.1, burst_late=0.1, burst_cost_usd=1e-4), HERE, present=PRESENT)
    assert decision.action == "apply"
    assert decision.reason == (
        "apply: rate rose 12 → 96/s; max_scale unbounded → 1 because all instances share one core: "
        "late in a burst 40 % → 10 %, 50% fewer instance seconds in a burst, p95 0.210 s → 0.210 s"
    )


def test_a_saving_within_the_noise_is_not_worth_a_change():
    decision = decide(found(max_batch_size=16, cost_per_s_usd=1.99e-5), HERE, present=PRESENT)
    assert decision.action == "keep"
    assert "max_batch_size 8 → 16 would gain 0.4 %, less than the 3 % noise" in decision.reason


def test_a_warm_change_must_pay_for_itself_in_the_time_that_is_left():
    short, long = replace(HERE, dwell_s=60.0), replace(HERE, dwell_s=600.0)
    result = found(target=50.0, cost_per_s_usd=1.9e-5)
    assert decide(result, short, present=PRESENT).action == "keep"
    assert "less than the USD" in decide(result, short, present=PRESENT).reason
    assert decide(result, long, present=PRESENT).action == "apply"


def test_a_hot_change_costs_nothing():
    assert decide(found(max_batch_size=16, cost_per_s_usd=1.9e-5), HERE, present=PRESENT).action == "apply"


def test_a_present_setting_outside_the_objective_has_no_defence():
    outside = replace(FINE, excess=0.4, attainment=0.8)
    decision = decide(found(outside, max_batch_size=16, excess=-0.1, attainment=0.97), HERE, present=PRESENT)
    assert decision.action == "apply"
    assert "missed (20 % of windows), then met" in decision.reason


def test_a_keep_says_that_the_objective_is_missed_and_nothing_helps():
    outside = replace(FINE, excess=0.4, attainment=0.8)
    decision = decide(SearchResult(outside, outside, (), 40, 1.0), HERE, present=PRESENT)
    assert decision.reason == (
        "keep: rate rose 12 → 96/s; no setting of 40 is predicted to do better; "
        "the objective is predicted to be missed (20 % of windows)"
    )


@pytest.mark.parametrize(("searched", "outdated"), [(90.0, False), (40.0, False), (10.0, True), (2000.0, True)])
def test_a_search_for_other_traffic_is_not_obeyed(searched, outdated):
    decision = decide(found(max_scale=1, burst_missed=0.0), replace(HERE, searched_rps=searched), present=PRESENT)
    assert decision.is_outdated == outdated
    assert (decision.action == "keep") == outdated


@pytest.mark.parametrize("trigger", ["start", "alarm", "periodic"])
def test_slow_knobs_move_only_with_a_regime(trigger):
    result = found(container_concurrency=24, excess=-0.6, cost_per_s_usd=1e-5)
    assert decide(result, replace(HERE, trigger=trigger), present=PRESENT).action == "keep"
    assert decide(result, replace(HERE, trigger="regime", dwell_s=900.0), present=PRESENT).action == "apply"


def test_silence_lets_the_last_instance_go():
    decision = decide_silence(replace(HERE, cause="no request for 15 s"), present=ServingConfig(min_scale=2), least=0)
    assert decision.setting.min_scale == 0
    assert "min_scale 2 → 0" in decision.reason


def test_a_decision_is_written_with_what_was_seen_and_predicted():
    document = decide(found(max_scale=1, burst_missed=0.1), HERE, present=PRESENT).to_document()
    assert document["kind"] == "alarm"
    assert document["changes"] == {"max_scale": [0, 1]}
    assert document["arrivals"] == {"rate_rps": 96.0, "fano": 3.2, "law": "poisson"}
    assert {"p95_s", "attainment", "cost_per_million_usd"} <= document["prediction"].keys()
    assert document["setting"]["max_scale"] == 1


def test_advice_that_nobody_follows_keeps_the_setting():
    document = decide(found(max_scale=1, burst_missed=0.1), HERE, present=PRESENT).to_document(is_only_advice=True)
    assert document["action"] == "keep"
    assert document["reason"].startswith("keep: recommended, rate rose")


def test_a_change_that_gives_up_the_objective_says_so():
    result = found(max_batch_size=16, excess=0.4, attainment=0.3, cost_per_s_usd=1e-5)
    assert (
        "the objective is then predicted to be missed (70 % of windows)" in decide(result, HERE, present=PRESENT).reason
    )


@pytest.mark.parametrize("excess", [-0.5, 0.4])
def test_where_nothing_costs_anything_a_decision_is_made_all_the_same(excess):
    free = replace(FINE, excess=excess, cost_per_s_usd=0.0, cost_per_million_usd=0.0, burst_cost_usd=0.0)
    decision = decide(found(free, max_batch_size=16, excess=-0.6), HERE, present=PRESENT)
    assert decision.action == ("apply" if excess > 0 else "keep")
