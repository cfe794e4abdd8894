import numpy as np
import pytest

from controller.arrivals.detector import Detector
from controller.arrivals.dispersion_detector import FANO_GRID, DispersionDetector, block_log_likelihood


def bursty(mean, fano, n, seed):
    rng = np.random.default_rng(seed)
    shape = mean / (fano - 1)
    return rng.poisson(rng.gamma(shape, mean / shape, n))


def feed(detector, counts):
    return [alarm for count in counts if (alarm := detector.update(float(count))) is not None]


def test_a_change_of_dispersion_is_found_with_its_factors():
    counts = np.concatenate([np.random.default_rng(1).poisson(20, 300), bursty(20, 6, 120, 2)])
    (alarm,) = feed(DispersionDetector(), counts)
    assert alarm.kind == "dispersion"
    assert alarm.alarm_bin - 300 < 60
    assert alarm.change_bin == pytest.approx(300, abs=10)
    assert alarm.before < 1.7
    assert 3 < alarm.after < 12


@pytest.mark.parametrize(("before", "after"), [(10, 100), (100, 10), (10, 20)])
def test_a_step_of_the_rate_is_no_change_of_dispersion(before, after):
    counts = np.concatenate(
        [np.random.default_rng(3).poisson(before, 302), np.random.default_rng(4).poisson(after, 100)]
    )
    assert feed(DispersionDetector(), counts) == []


def test_likelihood_is_highest_near_the_true_factor():
    blocks = bursty(15, 5, 2000, 5).reshape(-1, 5).astype(float)
    total = sum(block_log_likelihood(block) for block in blocks)
    assert FANO_GRID[np.argmax(total)] == pytest.approx(5, rel=0.35)


def test_a_silent_block_says_nothing():
    assert block_log_likelihood(np.zeros(5)).tolist() == [0.0] * FANO_GRID.size


def test_both_channels_speak_for_themselves():
    counts = np.concatenate([np.random.default_rng(6).poisson(10, 300), bursty(60, 6, 120, 7)])
    detector = Detector()
    kinds = {alarm.kind for count in counts for alarm in detector.update(float(count))}
    assert kinds == {"dispersion", "rate"}


def test_a_censored_count_can_show_no_fall():
    detector = Detector()
    for _ in range(100):
        detector.update(20.0)
    assert [detector.update(0.0, is_censored=True) for _ in range(20)] == [[]] * 20
    assert detector.rate.rate_rps == pytest.approx(20)
