"""The event simulator against laws with known answers."""

import math

import numpy as np
import pytest

from controller.domain.arrival_process import PoissonProcess
from controller.domain.service_time import AffineServiceTimes, TokenServiceTimes
from controller.domain.serving_config import InstanceShape, ServingConfig
from controller.performance_model.batch_queue import BatchQueue
from controller.performance_model.finite_servers import simulate

N_REQUESTS = 60_000
"""Waits in a queue are correlated; at a utilisation of 0.7 the mean of so many has a standard error of about 2 %."""


def one_at_a_time(service, *, rate_rps, rng, workers=1, cores=math.inf):
    arrivals = np.cumsum(rng.exponential(1 / rate_rps, N_REQUESTS))
    config = ServingConfig(max_batch_size=1, workers=workers, max_queue_length=100_000)
    shape = InstanceShape(cores=cores)
    return simulate("finite_work_conserving", arrivals, config=config, service=service, rng=rng, shape=shape)


def test_constant_service_times_wait_as_pollaczek_and_khinchine_say(rng):
    rho = 0.7
    result = one_at_a_time(AffineServiceTimes(0.01, 0.0), rate_rps=rho / 0.01, rng=rng)

    # M/D/1: E[wait] = rho S / (2 (1 - rho)).
    assert result.latency_s.mean() - 0.01 == pytest.approx(rho * 0.01 / (2 * (1 - rho)), rel=0.06)


def test_noisy_service_times_wait_longer_by_one_plus_cv_squared(rng):
    rho, cv = 0.6, 1.0
    service = TokenServiceTimes(per_batch_s=0.01, cv=cv)
    result = one_at_a_time(service, rate_rps=rho / 0.01, rng=rng)

    # M/G/1: E[wait] = rho S (1 + cv²) / (2 (1 - rho)); cv = 1 is the wait of M/M/1.
    assert result.latency_s.mean() - 0.01 == pytest.approx(rho * 0.01 * (1 + cv**2) / (2 * (1 - rho)), rel=0.1)


def test_workers_that_share_one_core_serve_as_processor_sharing_does(rng):
    rho = 0.5
    service = TokenServiceTimes(per_batch_s=0.01, cv=1.0)
    result = one_at_a_time(service, rate_rps=rho / 0.01, rng=rng, workers=256, cores=1.0)

    # M/G/1 processor sharing: E[time in system] = S / (1 - rho), whatever the law of S.
    assert result.latency_s.mean() == pytest.approx(0.01 / (1 - rho), rel=0.05)


def test_many_workers_on_many_cores_never_wait(rng):
    result = one_at_a_time(AffineServiceTimes(0.01, 0.0), rate_rps=200, rng=rng, workers=256)

    assert result.latency_s == pytest.approx(np.full(N_REQUESTS, 0.01))


def test_two_workers_wait_as_erlang_says(rng):
    rho, workers = 0.6, 2
    constant = one_at_a_time(AffineServiceTimes(0.01, 0.0), rate_rps=rho * workers / 0.01, rng=rng, workers=workers)

    load = rho * workers
    # Erlang C: the share of requests of M/M/2 that wait.
    waits = load**2 / 2 / (1 - rho) / (1 + load + load**2 / 2 / (1 - rho))
    exponential_s = waits * 0.01 / (workers * (1 - rho))
    wait_s = constant.latency_s.mean() - 0.01
    # M/D/2 waits a little more than half as long as M/M/2 (Cosmetatos 1976: factor 1/2 and a correction below 5 %).
    assert 0.49 * exponential_s < wait_s < 0.56 * exponential_s


@pytest.mark.parametrize(("max_batch_size", "max_queue_delay_s"), [(1, 0.0), (4, 0.1), (8, 0.05)])
def test_calls_without_bound_are_batched_as_the_exact_law_says(max_batch_size, max_queue_delay_s, rng):
    process = PoissonProcess(40.0)
    arrivals = np.cumsum(rng.exponential(1 / 40.0, N_REQUESTS))
    config = ServingConfig(max_batch_size=max_batch_size, max_queue_delay_s=max_queue_delay_s)
    service = AffineServiceTimes(0.02, 0.005)

    result = simulate("infinite_timer", arrivals, config=config, service=service, rng=rng)
    exact = BatchQueue.solve(process, max_batch_size=max_batch_size, max_queue_delay_s=max_queue_delay_s)

    shares = np.bincount(result.batch_size, minlength=max_batch_size + 1)[1:] / result.batch_size.size
    # 60 000 requests make at least 7500 batches: a share has a standard error of at most 0.6 %.
    assert shares == pytest.approx(exact.batch_size_pmf, abs=0.02)
    assert result.batch_size.mean() == pytest.approx(exact.mean_batch_size, rel=0.02)
