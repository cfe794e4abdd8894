"""Confidence intervals of simulated quantiles against laws whose quantiles are known."""

import math

import numpy as np
import pytest

from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.domain.service_time import AffineServiceTimes
from controller.domain.serving_config import ServingConfig
from controller.performance_model.batch_queue import BatchQueue
from controller.performance_model.finite_servers import simulate
from controller.performance_model.latency import LatencyLaw
from controller.performance_model.quantile_interval import quantile_interval_s
from controller.performance_model.service_law import service_law

SEEDS = range(200)


def waits_of_a_constant_server(utilization, seed, size=20_000):
    """Lindley's recursion, its start left out: waits in units of the service time, correlated over many requests."""
    steps = 1 - np.random.default_rng(seed).exponential(1 / utilization, size)
    walk = np.cumsum(steps)
    return (walk - np.minimum.accumulate(np.minimum(walk, 0)))[size // 20 :]


def true_wait(utilization, quantile):
    """Erlang (1909): P(W <= t) = (1 - rho) sum_k (rho (k - t))^k / k! exp(-rho (k - t)), k = 0 .. floor(t)."""

    def share(wait):
        places = [(k, utilization * (k - wait)) for k in range(int(wait) + 1)]
        return (1 - utilization) * math.fsum(math.exp(-x) * x**k / math.factorial(k) for k, x in places)

    low, high = 0.0, 15.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if share(middle) >= quantile else (middle, high)
    return high


@pytest.mark.parametrize(("utilization", "quantile"), [(0.5, 0.95), (0.5, 0.99), (0.8, 0.5), (0.8, 0.95)])
def test_intervals_of_correlated_waits_cover_the_truth(utilization, quantile):
    truth = true_wait(utilization, quantile)
    intervals = [quantile_interval_s(waits_of_a_constant_server(utilization, seed), quantile) for seed in SEEDS]

    covered = np.mean([low <= truth <= high for low, high in intervals])

    # 95 % of 200 seeds have a standard error of 1.5 %.
    assert 0.90 <= covered <= 0.99


def test_intervals_that_took_requests_for_independent_would_not_cover():
    truth = true_wait(0.8, 0.95)
    spread = 1.96 * math.sqrt(0.95 * 0.05 / 19_000)
    covered = []
    for seed in SEEDS:
        low, high = np.quantile(waits_of_a_constant_server(0.8, seed), [0.95 - spread, 0.95 + spread])
        covered.append(low <= truth <= high)

    assert np.mean(covered) < 0.6


@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_intervals_of_the_buffer_cover_the_exact_law_with_its_atoms(quantile):
    process, service = PoissonProcess(40.0), AffineServiceTimes(0.02, 0.005)
    config = ServingConfig(max_batch_size=8, max_queue_delay_s=0.1)
    law = BatchQueue.solve(process, max_batch_size=8, max_queue_delay_s=0.1)
    truth = LatencyLaw(law, service_law(service, 8)).quantile(quantile)
    covered = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        arrivals = sample_arrivals(process, duration_s=100.0, rng=rng)
        result = simulate("infinite_timer", arrivals, config=config, service=service, rng=rng)
        low, high = result.quantile_interval_s(quantile)
        covered.append(low - 1e-9 <= truth <= high + 1e-9)

    # Atoms can only make an interval cover more often.
    assert np.mean(covered) >= 0.90


def test_where_answers_are_missing_the_interval_has_no_upper_end():
    latency_s = np.random.default_rng(1).exponential(1.0, 5000)
    latency_s[::20] = np.inf

    low, high = quantile_interval_s(latency_s, 0.95)

    assert math.isfinite(low)
    assert high == math.inf


def test_too_few_requests_give_no_interval():
    assert quantile_interval_s(np.ones(150), 0.5) is None
    assert quantile_interval_s(np.ones(400), 0.99) is None
    assert quantile_interval_s(np.zeros(0), 0.5) is None
