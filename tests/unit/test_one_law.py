"""When one law explains counts as well as two do."""

import numpy as np
import pytest

from controller.domain.arrival_map import mmpp
from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.monitor.one_law import is_one_law, log_likelihood

W14 = mmpp([10, 120], [[0, 1 / 20], [1 / 20, 0]])
PHASES = np.repeat([10.0, 120.0] * 20, 20)


def test_a_phase_that_lasts_by_chance_is_no_other_law(rng):
    assert is_one_law(rng.poisson(np.concatenate([np.full(140, 10.0), PHASES])).astype(float), 140)


def test_a_single_step_of_the_rate_is_no_law_with_phases(rng):
    assert not is_one_law(rng.poisson(np.repeat([30.0, 60.0], 300)).astype(float), 300)


def test_phases_of_other_rates_are_another_law(rng):
    laws = [mmpp([10, 40], [[0, 1 / 6], [1 / 4, 0]]), mmpp([40, 140], [[0, 1 / 6], [1 / 4, 0]])]
    counts = [np.bincount(sample_arrivals(law, duration_s=400, rng=rng).astype(int), minlength=400) for law in laws]
    assert not is_one_law(np.concatenate(counts).astype(float), 400)


def test_silence_is_another_law(rng):
    assert not is_one_law(np.concatenate([PHASES, np.zeros(200)]), PHASES.size)


def test_the_likelihood_of_poisson_counts_is_known():
    counts = np.array([3.0, 5.0])
    assert log_likelihood(PoissonProcess(4.0), counts) == pytest.approx(8 * np.log(4.0) - 8.0)
    assert log_likelihood(mmpp([4, 4], [[0, 1], [1, 0]]), counts) == pytest.approx(8 * np.log(4.0) - 8.0)


def test_the_likelihood_is_greatest_near_the_true_law(rng):
    arrivals = sample_arrivals(W14, duration_s=900, rng=rng)
    counts = np.bincount(arrivals.astype(int), minlength=900).astype(float)
    others = [mmpp([20, 120], [[0, 1 / 20], [1 / 20, 0]]), PoissonProcess(counts.mean())]
    assert log_likelihood(W14, counts) > max(log_likelihood(each, counts) for each in others)
