"""BATCH as a baseline against what its released solver answers, and against the exact law where it goes wrong."""

import json
from pathlib import Path

import numpy as np
import pytest

from controller.baselines.batch import Batch
from controller.baselines.batch_law import phase_rates, predict_sizes
from controller.baselines.batch_search import MEMORIES_MB, search_batch
from controller.baselines.call_table import tabulate_calls
from controller.baselines.judge import Trial, judge
from controller.baselines.protocol import Past
from controller.domain.arrival_map import Map, mmpp
from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.domain.cost import call_cost_usd
from controller.domain.prices import LambdaPrices, load_prices
from controller.domain.service_time import AffineServiceTimes, PolynomialServiceTimes
from controller.domain.slo import LatencySlo
from controller.performance_model.batch_queue import BatchQueue
from controller.performance_model.cost import request_cost_usd
from controller.performance_model.exact_optimum import Budget
from controller.performance_model.latency import LatencyLaw
from controller.performance_model.service_law import service_law

RELEASED = json.loads((Path(__file__).parent / "data" / "batch_released.json").read_text())
CASES = {case["id"]: case for case in RELEASED["cases"]}
SEARCHES = {search["id"]: search for search in RELEASED["searches"]}
UNROUNDED = LambdaPrices(**RELEASED["prices"], granularity_s=0)
LIGHT = AffineServiceTimes(0.010, 0.034)


def process(document):
    return Map(np.array(document["D0"]), np.array(document["D1"]))


def polynomial(name):
    return PolynomialServiceTimes(tuple(RELEASED["polynomials"][name]))


def calls(service, prices=UNROUNDED):
    return tabulate_calls(service, MEMORIES_MB, max_batch_size=20, prices=prices)


def exact(arrivals, service, setting):
    law = BatchQueue.solve(arrivals, max_batch_size=setting.max_batch_size, max_queue_delay_s=setting.max_queue_delay_s)
    seconds = service_law(service, setting.max_batch_size, memory_mb=setting.memory_mb)
    cost = request_cost_usd(law.batch_size_pmf, seconds, memory_mb=setting.memory_mb, prices=UNROUNDED)
    return LatencyLaw(law, seconds), cost


@pytest.mark.parametrize("name", CASES)
def test_one_setting_is_predicted_as_by_the_released_solver(name):
    case = CASES[name]
    size, call_s = case["max_batch_size"], np.array(case["service_s"])
    predicted = predict_sizes(
        process(case), max_batch_size=size, delay_step_s=case["max_queue_delay_s"], n_delays=1, variant="released"
    )
    assert predicted.pmf[0, -1] == pytest.approx(np.array(case["batch_size_pmf"]), abs=1e-6)
    assert predicted.mean[0, -1] == pytest.approx(case["mean_batch_size"], abs=1e-4)
    for text, expected in case["quantiles_s"].items():
        assert predicted.quantile_s(float(text), call_s)[0, -1] == pytest.approx(expected, abs=1e-4)
    usd = call_cost_usd(call_s, memory_mb=case["memory_mb"], prices=UNROUNDED)
    assert predicted.tail_cost_usd(usd)[0, -1] == pytest.approx(case["tail_cost_usd"], rel=1e-6)


@pytest.mark.parametrize("name", SEARCHES)
def test_the_released_grid_has_the_released_answer(name):
    wanted = SEARCHES[name]
    objective = LatencySlo(0.95, wanted["bound_s"]) if "bound_s" in wanted else Budget(wanted["usd_per_request"])
    arrivals, service = process(RELEASED["processes"][wanted["process"]]), polynomial(wanted["service"])
    choice = search_batch(arrivals, calls(service), objective, "released")
    assert choice.evaluated == 1372
    found = choice.setting
    assert (found.memory_mb, found.max_batch_size) == (wanted["memory_mb"], wanted["max_batch_size"])
    assert found.max_queue_delay_s == pytest.approx(wanted["max_queue_delay_s"])
    assert choice.predicted_quantile_s == pytest.approx(wanted.get("p95_s", choice.predicted_quantile_s), abs=5e-4)
    assert choice.predicted_cost_usd == pytest.approx(wanted.get("cost_usd", choice.predicted_cost_usd), rel=2e-4)
    assert choice.feasible == wanted.get("feasible", choice.feasible)
    latency, cost = exact(arrivals, service, found)
    assert latency.quantile(0.95) == pytest.approx(wanted.get("true_p95_s", latency.quantile(0.95)), rel=1e-3)
    assert cost == pytest.approx(wanted.get("true_cost_usd", cost), rel=1e-3)


def test_its_cost_of_the_larger_batches_is_too_low_by_a_sixth():
    wanted = SEARCHES["resnet-v2 in 5 s, quiet"]
    assert wanted["cost_usd"] / wanted["true_cost_usd"] == pytest.approx(0.82, abs=0.01)


def test_the_whole_published_grid_is_searched():
    arrivals = process(RELEASED["processes"]["NYS-3"])
    choice = search_batch(arrivals, calls(polynomial("resnet-v2")), LatencySlo(0.95, 5.0), "published")
    assert choice.evaluated == 20 * 49 * 28


def test_on_a_light_service_it_picks_what_misses_the_objective():
    # The digest's example: B = 8, T = 0.29, of which a third is in time and whose true p95 is 0.503 s.
    arrivals = process(RELEASED["processes"]["NYS-3"])
    choice = search_batch(arrivals, calls(LIGHT), LatencySlo(0.95, 0.3), "published")
    assert (choice.setting.max_batch_size, choice.setting.max_queue_delay_s) == (8, 0.29)
    assert choice.predicted_quantile_s < 0.3
    latency, _ = exact(arrivals, LIGHT, choice.setting)
    assert latency.quantile(0.95) == pytest.approx(0.503, abs=1e-3)
    assert latency.cdf(0.3) == pytest.approx(0.33, abs=0.01)


def test_its_mean_cost_is_the_exact_one_where_the_start_phase_does_not_matter():
    arrivals, service = PoissonProcess(40), polynomial("resnet-v2")
    choice = search_batch(arrivals, calls(service), LatencySlo(0.95, 5.0), "published")
    assert choice.predicted_cost_usd == pytest.approx(exact(arrivals, service, choice.setting)[1], rel=1e-6)


def test_rates_of_phases_that_change_on_arrivals_only_are_substituted():
    # The released solver then believes in half of the arrivals: 4.78 of 9.59 a second.
    arrivals = process(RELEASED["processes"]["NYS-3"])
    l, w = phase_rates(arrivals)  # noqa: E741  the paper's symbols
    implied = (l[0] * w[1] + l[1] * w[0]) / w.sum()
    assert implied / arrivals.rate_rps == pytest.approx(0.498, abs=1e-3)


def test_of_a_modulated_process_the_true_rates_are_taken():
    l, w = phase_rates(mmpp(np.array([10.0, 120]), np.array([[0, 0.05], [0.1, 0]])))  # noqa: E741
    assert l.tolist() == [10, 120]
    assert w.tolist() == [0.05, 0.1]


def test_more_than_two_phases_fill_a_batch_in_the_delay():
    arrivals = mmpp(np.array([5.0, 20, 80]), np.ones((3, 3)))
    predicted = predict_sizes(arrivals, max_batch_size=4, delay_step_s=0.1, n_delays=2, variant="published")
    assert predicted.spread_s[1, 3, 3] == 0.2
    assert predicted.pmf.sum(axis=2) == pytest.approx(np.ones((2, 4)))


def test_nothing_feasible_is_no_choice():
    arrivals = process(RELEASED["processes"]["NYS-8"])
    assert search_batch(arrivals, calls(polynomial("resnet-v2")), LatencySlo(0.95, 1.0), "published") is None


def test_the_policy_decides_from_the_last_hour_alone(rng):
    policy = Batch(calls(LIGHT, load_prices().lambda_x86), LatencySlo(0.95, 0.3))
    last = 7200 + sample_arrivals(PoissonProcess(9.6), duration_s=3600, rng=rng)
    before = sample_arrivals(PoissonProcess(90), duration_s=7200, rng=rng)
    present = policy.calls.unbatched
    alone = policy.decide(Past(10_800.0, last, present))
    assert policy.decide(Past(10_800.0, np.concatenate([before, last]), present)) == alone
    assert alone != policy.decide(Past(7200.0, before, present))


def test_the_policy_keeps_the_setting_without_data_or_without_a_feasible_one(rng):
    tight = Batch(calls(LIGHT), LatencySlo(0.95, 0.01))
    present = tight.calls.unbatched
    assert tight.decide(Past(3600.0, np.zeros(0), present)) is None
    times = sample_arrivals(PoissonProcess(20), duration_s=3600, rng=rng)
    assert tight.decide(Past(3600.0, times, present)) is present


def test_the_policy_asks_hourly_and_misses_the_objective_on_the_light_service(rng):
    times = sample_arrivals(PoissonProcess(9.6), duration_s=3 * 3600, rng=rng)
    policy = Batch(calls(LIGHT), LatencySlo(0.95, 0.3))
    verdict = judge(policy, Trial(times, 3600.0, 3 * 3600.0, policy.calls, policy.slo))
    assert [each.at_s for each in verdict.answers] == [3600.0, 7200.0]
    assert verdict.window_violation_ratio > 0.99
