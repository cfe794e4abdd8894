"""The fitted law of service times against a law that is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import ServingConfig
from controller.performance_model.simulator import PodSimulator
from controller.profiling.latency_model import SHIPPED_SERVICE_TIMES, fit_service_times
from controller.telemetry.heartbeat import BatchSums

TRUE = TokenServiceTimes(per_batch_s=0.0012, per_token_s=0.00006, per_token_pair_s=5e-8, cv=0.15)


def batches(sizes, number, rng, law=TRUE, *, padded_to=1):
    """Sums of random batches, keyed as a heartbeat keys them; a batch takes as long as the next multiple in size."""
    sums = {}
    for size, length in zip(rng.choice(sizes, number), rng.integers(6, 60, number), strict=True):
        taken = math.ceil(size / padded_to) * padded_to
        seconds = law.seconds(taken, padded_length=int(length)) * rng.lognormal(-0.01, 0.15)
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


@pytest.mark.parametrize("size", [1, 3, 4, 5, 6, 8, 9, 12])
def test_a_law_that_steps_is_predicted_within_a_tenth_once_it_is_corrected(rng, size):
    fit = fit_service_times(batches([1, 3, 4, 5, 6, 8, 9, 12], 1500, rng, padded_to=4))
    truth = TRUE.seconds(math.ceil(size / 4) * 4, padded_length=30)
    assert fit.service.seconds(size, padded_length=30) == pytest.approx(truth, rel=0.1)


def test_a_misfit_is_corrected_only_where_the_law_alone_is_more_than_a_tenth_off(rng):
    stepped = fit_service_times(batches([1, 4, 5, 8], 1500, rng, padded_to=4)).service
    law = replace(stepped, size_factors=())
    assert max(abs(factor - 1) for factor in stepped.size_factors) > 0.1
    assert law.seconds(5, padded_length=30) != pytest.approx(TRUE.seconds(8, padded_length=30), rel=0.1)


@pytest.mark.parametrize("number", [20, 200, 2000])
def test_a_function_of_the_laws_own_form_is_left_to_the_law(rng, number):
    fit = fit_service_times(batches([1, 2, 3, 4, 8, 12], number, rng))
    assert fit.service.size_factors == ()
    assert fit.size_errors.size == 0


def test_a_size_that_was_not_seen_is_known_less_than_its_neighbours(rng):
    errors = fit_service_times(batches([1, 4, 5, 8], 1500, rng, padded_to=4)).size_errors
    assert errors.shape == (8,)
    assert errors[5] > 2 * max(errors[4], errors[7])


def test_a_corrected_law_is_what_the_simulator_serves_with(rng):
    service = TokenServiceTimes(per_batch_s=0.1, size_factors=(2.0,))
    simulator = PodSimulator(ServingConfig(), service=service, rng=rng, initial_scale=1)
    result = simulator.run(np.array([1.0]), np.array([16]), until_s=2.0)
    assert result.latency_s.tolist() == pytest.approx([0.2], abs=0.02)
