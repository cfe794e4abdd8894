import numpy as np
import pytest

from controller.arrivals.change_points import find_segments, level_probability, local_fano
from controller.domain.arrival_map import mmpp
from controller.domain.arrival_process import PoissonProcess


def test_levels_are_found_with_their_rates():
    rng = np.random.default_rng(1)
    counts = np.concatenate([rng.poisson(10, 300), rng.poisson(16, 200)]).astype(float)
    first, second = find_segments(counts)
    assert first.first_bin == 0
    assert first.end_bin == second.first_bin == pytest.approx(300, abs=4)
    assert second.end_bin == 500
    assert (first.rate_rps, second.rate_rps) == pytest.approx((10, 16), rel=0.1)


@pytest.mark.parametrize("fano", [1.001, 8])
def test_one_level_is_one_segment_however_bursty(fano):
    rng = np.random.default_rng(2)
    shape = 20 / (fano - 1)
    counts = rng.poisson(rng.gamma(shape, 20 / shape, 900)).astype(float)
    (segment,) = find_segments(counts)
    assert (segment.first_bin, segment.end_bin) == (0, 900)
    assert segment.fano == pytest.approx(max(fano, 1), rel=0.3)


def test_rates_are_per_second_whatever_the_bin():
    assert find_segments(np.full(50, 3.0), bin_s=0.5)[0].rate_rps == 6


def test_a_window_too_short_to_split_is_one_segment():
    assert len(find_segments(np.array([0.0, 50.0, 0.0]))) == 1


def test_long_windows_are_averaged_and_still_covered():
    counts = np.concatenate([np.full(3000, 5.0), np.full(2001, 20.0)])
    segments = find_segments(counts)
    assert segments[-1].end_bin == 5001
    assert segments[0].end_bin == pytest.approx(3000, abs=5)


def test_a_step_of_the_rate_is_not_dispersion():
    rng = np.random.default_rng(3)
    assert local_fano(np.concatenate([rng.poisson(10, 300), rng.poisson(90, 300)]).astype(float)) < 1.3


def test_a_phase_is_likelier_than_a_new_regime():
    bursty = mmpp(np.array([10.0, 120.0]), np.array([[0, 0.05], [0.05, 0]]))
    assert level_probability(bursty, rate_rps=120, duration_s=20) > 0.05
    assert level_probability(bursty, rate_rps=120, duration_s=600) < 0.01
    assert level_probability(PoissonProcess(10), rate_rps=13, duration_s=120) < 1e-6
    assert level_probability(PoissonProcess(10), rate_rps=10, duration_s=120) == 1
