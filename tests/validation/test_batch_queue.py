"""The exact buffer law against an independent implementation, simulation and known answers."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from controller.domain.arrival_map import Map
from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.domain.prices import LambdaPrices, load_prices
from controller.domain.service_time import AffineServiceTimes, PolynomialServiceTimes, TokenServiceTimes
from controller.domain.slo import LatencySlo
from controller.domain.token_lengths import TokenLengths
from controller.performance_model.batch_queue import BatchQueue
from controller.performance_model.cost import request_cost_usd
from controller.performance_model.exact_optimum import Budget, ExactProblem, find_exact_optimum
from controller.performance_model.grid_search import Grid
from controller.performance_model.latency import LatencyLaw
from controller.performance_model.service_law import ServiceLaw, service_law
from controller.performance_model.timer_batches import cut_timer_batches

REFERENCE = json.loads((Path(__file__).parent / "data" / "batch_buffer.json").read_text())
CASES = {case["id"]: case for case in REFERENCE["cases"]}


def solve(case):
    process = Map(np.array(case["D0"]), np.array(case["D1"]))
    return BatchQueue.solve(process, max_batch_size=case["max_batch_size"], max_queue_delay_s=case["max_queue_delay_s"])


def fixed(seconds):
    times = np.array(seconds)[:, None]
    return ServiceLaw(times, np.ones_like(times))


@pytest.mark.parametrize("name", CASES)
def test_batch_sizes_latency_and_cost_agree_with_the_reference(name):
    case = CASES[name]
    law, service = solve(case), fixed(case["service_s"])
    assert law.batch_size_pmf == pytest.approx(np.array(case["batch_size_pmf"]), abs=1e-6)
    assert law.mean_batch_size == pytest.approx(case["mean_batch_size"], rel=1e-3)
    latency = LatencyLaw(law, service)
    for text, expected in case["quantiles_s"].items():
        assert latency.quantile(float(text)) == pytest.approx(expected, rel=1e-3)
    unrounded = LambdaPrices(**REFERENCE["prices"], granularity_s=0)
    cost = request_cost_usd(law.batch_size_pmf, service, memory_mb=case["memory_mb"], prices=unrounded)
    assert cost == pytest.approx(case["cost_per_request_usd"], rel=1e-3)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("NYS-3")])
def test_quantiles_agree_with_long_simulations(name):
    latency = LatencyLaw(solve(CASES[name]), fixed(CASES[name]["service_s"]))
    for text, expected in CASES[name]["simulated_quantiles_s"].items():
        assert latency.quantile(float(text)) == pytest.approx(expected, rel=0.01)


def test_poisson_batch_sizes_are_a_cut_poisson_law():
    # In T after the first request k more arrive with probability e^-2 2^k / k!, the rest fills the batch of 4.
    law = BatchQueue.solve(PoissonProcess(20), max_batch_size=4, max_queue_delay_s=0.1)
    expected = [math.exp(-2) * 2**k / math.factorial(k) for k in range(3)]
    assert law.batch_size_pmf == pytest.approx([*expected, 1 - sum(expected)])
    assert law.batches_per_s == pytest.approx(20 / law.mean_batch_size)


def test_mean_wait_of_pairs_has_a_closed_form():
    # B = 2: the first waits min(X, T), the second nothing; E min(X, T) = (1 - e^-lT) / l.
    law = BatchQueue.solve(PoissonProcess(5), max_batch_size=2, max_queue_delay_s=0.3)
    first = (1 - math.exp(-1.5)) / 5
    assert law.mean_wait_s == pytest.approx(first / law.mean_batch_size, rel=1e-6)


def test_an_atom_is_found_exactly():
    # 1/s and T = 0.1 s: nine in ten batches hold one request, whose latency is exactly T + S(1).
    law = BatchQueue.solve(PoissonProcess(1), max_batch_size=8, max_queue_delay_s=0.1)
    latency = LatencyLaw(law, service_law(AffineServiceTimes(0.02, 0.03), 8))
    assert latency.quantile(0.5) == 0.05 + 0.1
    assert latency.cdf(0.05 + 0.1 - 1e-9) < 0.5 < latency.cdf(0.05 + 0.1)


def test_a_simulated_buffer_has_the_same_law():
    process = Map(np.array([[-11.0, 0], [0, -202.0]]), np.array([[1.0, 10], [200, 2]]))
    law = BatchQueue.solve(process, max_batch_size=6, max_queue_delay_s=0.08)
    times = sample_arrivals(process, duration_s=4000, rng=np.random.default_rng(8))
    starts, leaves_s = cut_timer_batches(times, max_batch_size=6, max_queue_delay_s=0.08)
    sizes = np.diff(np.append(starts, times.size))
    shares = np.bincount(sizes, minlength=7)[1:] / sizes.size
    assert shares == pytest.approx(law.batch_size_pmf, abs=0.008)
    waits = np.repeat(leaves_s, sizes) - times
    assert waits.mean() == pytest.approx(law.mean_wait_s, rel=0.02)


def test_random_lengths_and_times_give_the_simulated_quantiles():
    process = PoissonProcess(60)
    service = TokenServiceTimes(fixed_s=0.002, per_batch_s=0.004, per_token_s=2e-4, cv=0.1)
    lengths = TokenLengths(np.array([8, 16, 16, 32, 120]))
    law = BatchQueue.solve(process, max_batch_size=5, max_queue_delay_s=0.05)
    latency = LatencyLaw(law, service_law(service, 5, lengths=lengths))
    rng = np.random.default_rng(4)
    times = sample_arrivals(process, duration_s=1500, rng=rng)
    starts, leaves_s = cut_timer_batches(times, max_batch_size=5, max_queue_delay_s=0.05)
    sizes = np.diff(np.append(starts, times.size))
    longest = np.maximum.reduceat(lengths.sample(times.size, rng), starts)
    sigma = math.sqrt(math.log1p(0.1**2))
    factor = rng.lognormal(-(sigma**2) / 2, sigma, sizes.size)
    batch_s = (0.002 + 0.004 + 2e-4 * sizes * longest) * factor
    seen = np.repeat(leaves_s + batch_s, sizes) - times
    for q in (0.5, 0.9, 0.99):
        assert latency.quantile(q) == pytest.approx(np.quantile(seen, q), rel=0.02)
    assert latency.mean_s == pytest.approx(seen.mean(), rel=0.02)


def reference_problem():
    wanted = REFERENCE["optimum"]
    case = CASES[wanted["case"]]
    first, last, step = wanted["memories_mb"]
    return ExactProblem(
        Map(np.array(case["D0"]), np.array(case["D1"])),
        PolynomialServiceTimes(tuple(wanted["coefficients"])),
        tuple(range(first, last + 1, step)),
        Grid(max_queue_delay_s=wanted["max_queue_delay_s"]),
        load_prices(),
    )


def test_the_whole_grid_has_the_reference_optimum():
    wanted = REFERENCE["optimum"]
    found = find_exact_optimum(reference_problem(), LatencySlo(0.95, 5.0), quantile="0.95")
    assert found.evaluated == 28 * (1 + 19 * 49)
    assert found.is_feasible
    setting = found.best.setting
    assert (setting.max_batch_size, setting.max_queue_delay_s, setting.memory_mb) == (
        wanted["max_batch_size"],
        wanted["delay_s"],
        wanted["memory_mb"],
    )
    assert found.best.prediction.cost_per_request_usd == pytest.approx(wanted["cost_per_request_usd"], rel=1e-3)
    assert found.best.prediction.latency_quantiles_s["0.95"] <= 5.0


def test_random_service_times_are_searched_as_they_are_predicted():
    service = TokenServiceTimes(fixed_s=0.002, per_batch_s=0.01, per_token_s=2e-4, cv=0.1)
    lengths = TokenLengths(np.array([8, 16, 64, 120]))
    grid = Grid(max_batch_size=4, max_queue_delay_s=0.06, delay_step_s=0.02)
    problem = ExactProblem(PoissonProcess(50), service, (1769,), grid, load_prices(), lengths)
    found = find_exact_optimum(problem, LatencySlo(0.95, 0.12), quantile="0.95")
    rows = []
    for B in range(1, 5):
        for index in range(1) if B == 1 else range(1, 4):
            law = BatchQueue.solve(PoissonProcess(50), max_batch_size=B, max_queue_delay_s=index * 0.02)
            seconds = service_law(service, B, lengths=lengths)
            cost = request_cost_usd(law.batch_size_pmf, seconds, memory_mb=1769, prices=load_prices().lambda_x86)
            rows.append((cost, LatencyLaw(law, seconds).quantile(0.95), B, index))
    best = min(row for row in rows if row[1] <= 0.12)
    assert found.best.prediction.cost_per_request_usd == pytest.approx(best[0])
    assert found.best.setting.max_batch_size == best[2]
    assert found.best.setting.max_queue_delay_s == pytest.approx(best[3] * 0.02)


@pytest.mark.parametrize("objective", [LatencySlo(0.9, 0.13), LatencySlo(0.9, 0.02), Budget(1.05e-6), Budget(1e-9)])
def test_the_search_finds_what_trying_every_setting_finds(objective):
    process = Map(np.array([[-10.5, 0.5], [0.5, -80.5]]), np.array([[10.0, 0], [0, 80]]))
    service, grid = AffineServiceTimes(0.02, 0.01), Grid(max_batch_size=5, max_queue_delay_s=0.12, delay_step_s=0.03)
    prices = load_prices()
    found = find_exact_optimum(ExactProblem(process, service, (1024, 2048), grid, prices), objective, quantile="0.9")
    rows = []
    for B in range(1, 6):
        for index in range(1) if B == 1 else range(1, 5):
            law = BatchQueue.solve(process, max_batch_size=B, max_queue_delay_s=index * 0.03)
            seconds = service_law(service, B)
            quantile = LatencyLaw(law, seconds).quantile(0.9)
            for memory in (1024, 2048):
                cost = request_cost_usd(law.batch_size_pmf, seconds, memory_mb=memory, prices=prices.lambda_x86)
                rows.append((cost, quantile, index, B, memory))
    if isinstance(objective, LatencySlo):
        feasible = [row for row in rows if row[1] <= objective.bound_s]
        best = min(feasible) if feasible else min(rows, key=lambda row: (round(row[1], 9), row[0]))
    else:
        feasible = [row for row in rows if row[0] <= objective.usd_per_request]
        best = min(feasible, key=lambda row: (round(row[1], 9), row[0])) if feasible else min(rows)
    choice = found.best
    assert found.is_feasible == bool(feasible)
    assert (choice.setting.max_batch_size, choice.setting.memory_mb) == (best[3], best[4])
    assert choice.setting.max_queue_delay_s == pytest.approx(best[2] * 0.03)
    assert choice.prediction.latency_quantiles_s["0.9"] == pytest.approx(best[1], rel=1e-6)
