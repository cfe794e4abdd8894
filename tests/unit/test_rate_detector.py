import math

import numpy as np
import pytest

from controller.arrivals.rate_detector import RateDetector, Split, log_ratio, wanted_nats
from controller.arrivals.window import CountWindow


def feed(detector, counts):
    return [alarm for count in counts if (alarm := detector.update(float(count))) is not None]


def test_a_step_is_found_with_its_bin_and_its_rates():
    counts = np.concatenate([np.random.default_rng(1).poisson(10, 200), np.random.default_rng(2).poisson(30, 60)])
    (alarm,) = feed(RateDetector(), counts)
    assert alarm.kind == "rate"
    assert 200 <= alarm.alarm_bin <= 203
    assert alarm.change_bin == 200
    assert alarm.before == pytest.approx(10, rel=0.1)
    assert alarm.after == pytest.approx(30, rel=0.4)


def test_rates_are_per_second_whatever_the_bin():
    counts = np.concatenate([np.full(100, 1.0), np.full(40, 8.0)])
    (alarm,) = feed(RateDetector(bin_s=0.1), counts)
    assert alarm.before == pytest.approx(10)
    assert alarm.after == pytest.approx(80)


def test_silence_ends_with_the_first_busy_bin():
    alarms = feed(RateDetector(), [0] * 100 + [6, 7, 5])
    assert [alarm.alarm_bin for alarm in alarms] == [100]
    assert alarms[0].change_bin == 100


def test_the_start_of_traffic_after_the_start_of_the_stream_is_no_crash_on_zeros():
    assert feed(RateDetector(), [0] * 50) == []


def test_an_alarm_uses_no_later_bin():
    counts = np.concatenate([np.random.default_rng(3).poisson(20, 150), np.random.default_rng(4).poisson(8, 50)])
    first = feed(RateDetector(), counts)[0]
    assert feed(RateDetector(), counts[: first.alarm_bin + 1])[0] == first
    assert feed(RateDetector(), counts[: first.alarm_bin]) == []


def test_after_an_alarm_the_new_rate_is_the_present_one():
    detector = RateDetector()
    feed(detector, [10] * 100 + [40] * 30)
    assert detector.since_bin == 100
    assert detector.rate_rps == pytest.approx(40)


def test_a_censored_count_can_show_no_fall():
    detector = RateDetector()
    feed(detector, [20] * 100)
    assert [detector.update(0.0, is_censored=True) for _ in range(20)] == [None] * 20
    assert detector.rate_rps == pytest.approx(20)


def test_the_fano_factor_is_that_of_the_counts():
    detector = RateDetector()
    assert detector.fano == 1.0
    feed(detector, np.random.default_rng(1).negative_binomial(20 / 3, 1 / 4, 600))
    assert detector.fano == pytest.approx(4, rel=0.2)


def test_the_last_word_on_a_step_is_asked_for():
    seen = []
    counts = [10] * 100 + [30] * 20
    assert feed(RateDetector(is_step=lambda split: seen.append(split) or False), counts) == []
    assert seen[0].before == pytest.approx(10)
    assert seen[0].nats > 6.5


def test_where_a_second_tells_much_an_alarm_has_to_be_sure_and_where_it_tells_little_it_has_not():
    def wanted(rate, fano):
        return wanted_nats(Split(20.0, 8, rate, 2 * rate, fano))

    assert wanted(100, 1) == 14.0
    assert wanted(10, 4) == pytest.approx(6.5, abs=0.1)
    assert 6.5 < wanted(14, 4) < 14.0
    # Not to be had soon, so it may as well be sure.
    assert wanted(3, 8) == 14.0


def test_the_ratio_of_poisson_counts_is_the_textbook_one():
    # 50 bins of mean 10 and 5 of mean 20: sum of n m ln(m / pooled), the linear terms cancel.
    pooled = 600 / 55
    expected = 500 * math.log(10 / pooled) + 100 * math.log(20 / pooled)
    assert log_ratio(10, 50, 20, 5, 1.0) == pytest.approx(expected, rel=0.02)


def test_dispersion_weakens_the_evidence():
    assert log_ratio(10, 50, 20, 5, 4.0) < log_ratio(10, 50, 20, 5, 1.0) / 3


def test_the_window_forgets_the_oldest_bins_and_keeps_its_sums():
    window = CountWindow(5)
    for count in range(100):
        window.append(float(count))
    assert (len(window), window.first_bin, window.next_bin) == (5, 95, 100)
    assert window.mean == 97
    assert window.sums[-1] - window.sums[-3] == 98 + 99
