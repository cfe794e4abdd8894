import numpy as np
import pytest

from controller.arrivals.detector import Detector
from controller.baselines.count_series import independent_counts, modulated_counts


def feed(detector, counts):
    return [alarm for count in counts.tolist() for alarm in detector.update(count)]


def counts_of(*stretches, seed=1):
    rng = np.random.default_rng(seed)
    return np.concatenate([independent_counts(*stretch, rng) for stretch in stretches])


def test_a_change_of_dispersion_is_told_with_its_factors():
    (alarm,) = feed(Detector(), counts_of((40, 1, 300), (40, 6, 150)))
    assert alarm.kind == "dispersion"
    assert alarm.alarm_bin - 300 < 60
    assert alarm.change_bin == pytest.approx(300, abs=10)
    assert alarm.before < 1.7
    assert 3 < alarm.after < 20  # from five bins


@pytest.mark.parametrize(("before", "after"), [(10, 100), (100, 10), (10, 20), (20, 10)])
def test_a_step_of_the_rate_is_told_once_and_is_no_change_of_dispersion(before, after):
    (alarm,) = feed(Detector(), counts_of((before, 1, 302), (after, 1, 200)))
    assert (alarm.kind, alarm.change_bin) == ("rate", pytest.approx(302, abs=3))


def test_a_change_of_both_is_told_by_each_channel_at_one_place():
    alarms = feed(Detector(), counts_of((10, 1, 300), (60, 6, 120)))
    assert [alarm.kind for alarm in alarms] == ["rate", "dispersion"]
    assert alarms[0].change_bin == alarms[1].change_bin == pytest.approx(300, abs=3)


def test_a_small_step_that_the_quick_channel_does_not_see_is_told_in_time():
    (alarm,) = feed(Detector(), counts_of((5, 3, 500), (8, 3, 600)))
    assert (alarm.kind, alarm.change_bin) == ("rate", pytest.approx(500, abs=40))


def test_a_change_that_is_older_than_what_the_quick_channel_remembers_is_told():
    rng = np.random.default_rng(0)
    (alarm,) = feed(Detector(), np.concatenate([rng.poisson(10, 900), rng.poisson(10.75, 1200)]))
    assert (alarm.kind, alarm.change_bin) == ("rate", pytest.approx(893, abs=10))


def test_modulated_traffic_of_one_law_seldom_alarms():
    rng = np.random.default_rng(5)
    series = [modulated_counts(30, 4, 3600, rng, sojourn_s=2) for _ in range(3)]
    # Independent counts of the same laws would alarm some twenty times an hour.
    assert sum(len(feed(Detector(), counts)) for counts in series) <= 6
