"""JBMP's detector against sums over all segmentations, and on streams with a known change."""

import itertools
import math

import numpy as np
import pytest

from controller.baselines.jbmp_detector import MOST_GAPS, change_probabilities, detect_rate


def arrivals(rates_rps, seconds_each, seed):
    rng = np.random.default_rng(seed)
    gaps = [rng.exponential(1 / rate, round(rate * seconds_each)) for rate in rates_rps]
    return np.cumsum(np.concatenate(gaps))


def by_enumeration(gaps):
    """Sum over every way to cut the gaps."""
    n, mean = gaps.size, gaps.mean()
    weights, marks = [], []
    for count in range(n):
        for cuts in itertools.combinations(range(1, n), count):
            edges = [0, *cuts, n]
            weight = (1 / n) ** count * (1 - (n - edges[-2] - 1) / n)
            for a, b in itertools.pairwise(edges):
                k, total = b - a, gaps[a:b].sum()
                weight *= mean * math.factorial(k) / (mean + total) ** (k + 1)
            weights.append(weight)
            marks.append([cut in cuts for cut in range(1, n)])
    return np.array(weights) @ np.array(marks, dtype=float) / sum(weights)


def test_probabilities_are_those_of_a_sum_over_all_segmentations():
    gaps = np.array([0.1, 0.2, 0.1, 1.5, 2.0, 0.9])
    assert change_probabilities(gaps) == pytest.approx(by_enumeration(gaps))


def test_a_tenfold_step_is_found_where_it_is_and_gives_the_new_rate():
    times = arrivals([2.0, 20.0], 100.0, 3)
    found = detect_rate(times, float(times[-1]))
    assert found.rate_rps == pytest.approx(20.0, rel=0.1)
    assert found.change_s == pytest.approx(float(times[200]), abs=2.0)


def test_without_a_change_the_rate_is_that_of_the_window():
    times = arrivals([3.0], 200.0, 1)
    found = detect_rate(times, float(times[-1]))
    assert found.change_s is None
    assert found.rate_rps == pytest.approx((times.size - 1) / (times[-1] - times[0]))


def test_busy_windows_are_thinned():
    times = arrivals([10.0, 30.0], 140.0, 2)
    found = detect_rate(times, float(times[-1]))
    assert times.size > MOST_GAPS
    assert found.rate_rps == pytest.approx(30.0, rel=0.1)


def test_only_the_last_300_s_before_the_poll_count():
    times = np.concatenate([np.linspace(0, 99, 1000), np.linspace(100, 500, 401), np.linspace(500.01, 501, 1000)])
    found = detect_rate(times, 500.0)
    assert found.change_s is None
    assert found.rate_rps == pytest.approx(1.0)


def test_a_window_with_hardly_any_arrival_tells_nothing():
    assert detect_rate(np.array([1.0, 2.0]), 10.0) is None
