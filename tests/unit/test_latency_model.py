"""The fitted law of service times against a law that is known."""

import math

import numpy as np
import pytest

from controller.domain.service_time import TokenServiceTimes
from controller.profiling.latency_model import SHIPPED_SERVICE_TIMES, fit_service_times
from controller.telemetry.heartbeat import BatchSums

TRUE = TokenServiceTimes(per_batch_s=0.0012, per_token_s=0.00006, per_token_pair_s=5e-8, cv=0.15)


def batches(sizes, number, rng, law=TRUE):
    """Sums of random batches, keyed as a heartbeat keys them."""
    sums = {}
    for size, length in zip(rng.choice(sizes, number), rng.integers(6, 60, number), strict=True):
        seconds = law.seconds(int(size), padded_length=int(length)) * rng.lognormal(-0.01, 0.15)
        key = (int(size), math.ceil(size * length / 16) * 16)
        sums[key] = sums.get(key, BatchSums(0, 0, 0)) + BatchSums(1, seconds, seconds**2)
    return sums


@pytest.mark.parametrize("size", [1, 8, 32])
def test_many_batches_of_many_sizes_give_back_the_law(rng, size):
    fit = fit_service_times(batches([1, 2, 3, 4, 8, 12], 400, rng))
    assert fit.service.seconds(size, padded_length=30) == pytest.approx(TRUE.seconds(size, padded_length=30), rel=0.06)


def test_the_noise_of_equal_batches_is_recovered(rng):
    fit = fit_service_times(batches([1, 2, 4], 600, rng))
    assert fit.service.cv == pytest.approx(0.15, abs=0.03)


def test_without_batches_the_law_is_the_shipped_one_and_says_that_it_knows_nothing():
    fit = fit_service_times({})
    assert fit.service == SHIPPED_SERVICE_TIMES
    assert (fit.batches, fit.relative_error) == (0, math.inf)


def test_single_requests_alone_set_the_scale_and_the_shipped_law_the_shape(rng):
    slow = TokenServiceTimes(per_batch_s=0.025, per_token_s=0.0019, per_token_pair_s=1.7e-6)
    fit = fit_service_times(batches([1], 40, rng, law=slow))
    assert fit.service.seconds(8, padded_length=30) == pytest.approx(slow.seconds(8, padded_length=30), rel=0.25)


def test_coefficients_are_never_negative(rng):
    flat = TokenServiceTimes(per_batch_s=0.01)
    service = fit_service_times(batches([1, 4, 16], 200, rng, law=flat)).service
    assert min(service.per_batch_s, service.per_token_s, service.per_token_pair_s) >= 0


def test_error_bars_shrink_with_more_batches(rng):
    few = fit_service_times(batches([1, 2, 4], 30, rng))
    many = fit_service_times(batches([1, 2, 4], 3000, rng))
    assert many.relative_error < few.relative_error
    assert np.all(many.standard_errors < few.standard_errors)
