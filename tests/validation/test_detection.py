"""Delays and false alarms of the detector over many seeded streams; the bounds are those of the design."""

import numpy as np
import pytest

from controller.arrivals.detector import Detector
from controller.baselines.change_detectors import nothing, our_changes, our_stretches
from controller.baselines.change_scores import score
from controller.baselines.count_series import draw_series
from controller.domain.arrival_map import mmpp
from controller.domain.arrival_process import sample_arrivals


def counts_with_fano(mean, fano, n, rng):
    if fano == 1:
        return rng.poisson(mean, n)
    shape = mean / (fano - 1)
    return rng.poisson(rng.gamma(shape, mean / shape, n))


def alarms_of(counts):
    detector = Detector()
    return [alarm for count in counts.tolist() for alarm in detector.update(count)]


def delays(before, after, fanos, kind, seeds):
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        old = counts_with_fano(before, fanos[0], 240, rng)
        new = counts_with_fano(after, fanos[1], 150, rng)
        late = [
            a.alarm_bin - 239 for a in alarms_of(np.concatenate([old, new])) if a.kind == kind and a.alarm_bin > 239
        ]
        found.append(late[0] if late else np.inf)
    return found


@pytest.mark.parametrize("fano", [1, 4])
def test_a_doubled_rate_is_noticed_within_ten_seconds(fano):
    assert np.median(delays(10, 20, (fano, fano), "rate", range(40))) <= 10


@pytest.mark.parametrize("rate", [10, 60])
def test_dispersion_from_one_to_six_is_noticed_within_two_minutes(rate):
    assert max(delays(rate, rate, (1, 6), "dispersion", range(12))) <= 120


@pytest.mark.parametrize("fano", [1, 4, 8])
def test_stationary_traffic_raises_at_most_two_false_alarms_an_hour(fano):
    streams = [counts_with_fano(rate, fano, 7200, np.random.default_rng(rate)) for rate in (3, 20, 100)]
    assert sum(len(alarms_of(stream)) for stream in streams) / 6 <= 2


def test_the_phases_of_a_bursty_law_are_followed():
    process = mmpp(np.array([10.0, 120.0]), np.array([[0, 0.05], [0.05, 0]]))
    times = sample_arrivals(process, duration_s=900, rng=np.random.default_rng(9))
    alarms = alarms_of(np.bincount(times.astype(int), minlength=900))
    assert 15 <= len(alarms) <= 50


def test_changes_named_online_beat_naming_none_by_far():
    # tests/benchmarks/detection.py compares all methods; the bound is that of the design.
    series = draw_series(6000)[::2]

    def mean_f1(method):
        return np.mean([score(method(each.counts), each.changes, each.counts.size).f1 for each in series])

    assert mean_f1(our_changes) >= mean_f1(nothing) + 0.15
    assert mean_f1(our_stretches) >= mean_f1(nothing) + 0.15
