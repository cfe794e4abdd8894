"""When one law explains counts as well as two do."""

import numpy as np

from controller.domain.arrival_map import mmpp
from controller.domain.arrival_process import sample_arrivals
from controller.monitor.one_law import is_one_law

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
