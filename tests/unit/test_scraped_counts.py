"""Samples of counters become counts by bin: what they grew by, no more and no less, as evenly as is known."""

from __future__ import annotations

import numpy as np
import pytest

from controller.monitor.prometheus_api import RawSeries
from controller.monitor.scraped_counts import ScrapedCounts


def series(*samples, pod="a", **labels):
    return RawSeries({"pod": pod, **labels}, samples)


@pytest.fixture
def counts() -> ScrapedCounts:
    return ScrapedCounts(kept_s=900.0)


def test_what_a_counter_grew_by_is_spread_evenly_between_two_scrapes(counts):
    counts.add([series((0, 100), (15, 130), (30, 145))], 31.0)
    first, by_bin, censored = counts.counts(31.0)
    assert first == 0
    assert by_bin.tolist() == [2] * 15 + [1] * 15
    assert not censored.any()
    assert counts.resolution_s == 15.0


def test_fractions_are_rounded_so_that_no_arrival_is_lost_or_doubled(counts):
    counts.add([series((0, 0), (15, 7), (30, 11))], 31.0)
    assert counts.counts(31.0)[1].sum() == 11
    assert counts.counts(31.0, 0.1)[1].sum() == 11
    assert counts.counts(31.0, 0.1)[1].max() == 1


def test_bins_told_in_several_refreshes_are_those_told_at_once(rng):
    times = np.cumsum(rng.uniform(0.5, 1.5, 400))
    values = np.cumsum(rng.poisson(3.3, 400))
    samples = list(zip(times.tolist(), values.tolist(), strict=True))
    whole, parts = ScrapedCounts(kept_s=100.0), ScrapedCounts(kept_s=100.0)
    told: dict[int, int] = {}
    for end in range(1, len(samples) + 1):
        parts.add([series(*samples[max(0, end - 5) : end])], samples[end - 1][0])
        first, by_bin, _ = parts.counts(samples[end - 1][0])
        told = {first + i: count for i, count in enumerate(by_bin.tolist())} | told
    whole.add([series(*samples)], samples[-1][0])
    first, by_bin, _ = whole.counts(samples[-1][0])
    assert [told[first + i] for i in range(by_bin.size)] == by_bin.tolist()
    within = int(np.floor(times[-1])) - min(told)
    assert sum(told.values()) == pytest.approx(3.3 * within, rel=0.1)


def test_no_bin_is_told_before_every_counter_has_passed_it(counts):
    counts.add([series((0, 0), (15, 15), (30, 30)), series((4, 0), (19, 15), pod="b")], 31.0)
    first, by_bin, _ = counts.counts(31.0)
    assert first + by_bin.size == 19


def test_a_counter_that_began_anew_counts_from_zero_and_marks_the_interval_as_a_lower_bound(counts):
    counts.add([series((0, 1000), (10, 1010), (20, 5), (30, 15))], 31.0)
    _, by_bin, censored = counts.counts(31.0)
    assert by_bin.sum() == 10 + 5 + 10
    assert np.flatnonzero(censored).tolist() == list(range(10, 20))


def test_a_pod_that_appears_brings_what_it_counted_before_its_first_scrape(counts):
    steady = [(10 * i, 0) for i in range(8)]
    counts.add([series(*steady), series((55, 40), (65, 40), pod="b")], 71.0)
    _, by_bin, _ = counts.counts(71.0)
    assert by_bin.sum() == 40
    assert by_bin[:44].sum() == 0


def test_what_the_first_counters_show_at_first_came_before(counts):
    counts.add([series((0, 5000), (10, 5001)), series((3, 70), (13, 70), pod="b")], 14.0)
    assert counts.counts(14.0)[1].sum() <= 1


def test_an_old_counter_that_is_scraped_only_now_is_no_burst(counts):
    steady = [(10 * i, 0) for i in range(8)]
    counts.add([series(*steady), series((55, 2_000_000), (65, 2_000_010), pod="b")], 71.0)
    _, by_bin, censored = counts.counts(71.0)
    assert by_bin.sum() <= 10
    assert censored[45:55].all()


def test_a_pod_that_is_gone_holds_up_nothing_and_leaves_a_lower_bound(counts):
    counts.add([series((0, 0), (10, 10)), series((0, 0), *((10 * i, i) for i in range(1, 9)), pod="b")], 81.0)
    first, by_bin, censored = counts.counts(81.0)
    assert first + by_bin.size == 80
    assert np.flatnonzero(censored).tolist() == list(range(10, 20))


def test_silence_goes_on_when_no_pod_is_left(counts):
    counts.add([series((0, 0), (10, 10))], 11.0)
    counts.add([], 100.0)
    first, by_bin, _ = counts.counts(100.0)
    assert first + by_bin.size == 75
    assert by_bin[10:].sum() == 0


def test_a_counter_that_was_away_brings_its_growth_to_bins_that_were_not_told(counts):
    counts.add([series((0, 0), (10, 10))], 11.0)
    counts.add([], 60.0)
    told = counts.counts(60.0)[1]
    counts.add([series((70, 50), (80, 60))], 81.0)
    by_bin = counts.counts(81.0)[1]
    assert by_bin[: told.size].tolist() == told.tolist()
    assert by_bin.sum() == 60


def test_one_counter_scraped_by_two_jobs_counts_once(counts):
    twice = [series((0, 0), (10, 10), job="pods"), series((1, 1), (11, 11), job="services", service="x")]
    counts.add(twice, 12.0)
    assert counts.counts(12.0)[1].sum() == 10


def test_samples_from_before_the_run_are_used_and_their_bins_left_out(counts):
    counts.add([series((980, 0), (990, 100), (1000, 200), (1010, 210))], 11.0, offset_s=1000.0)
    first, by_bin, _ = counts.counts(11.0)
    assert first == 0
    assert by_bin.tolist() == [1] * 10


def test_other_counters_of_the_same_requests_begin_without_a_burst(counts):
    counts.add([series(*((10 * i, 5 * i) for i in range(10)))], 91.0)
    counts.begin_anew()
    counts.add([series((60, 500), (70, 700), (200, 800), (210, 820), kind="other")], 211.0)
    assert counts.counts(211.0)[1].sum() == 45 + 20


def test_absurd_values_break_nothing(counts):
    counts.add([series((0, 0), (10, 1e300), (20, -5.0), (30, 2.0)), series((1e12, 5), pod="b")], 31.0)
    assert counts.counts(31.0)[1].min() >= 0


def test_nothing_is_told_before_anything_was_heard(counts):
    assert counts.counts(100.0)[1].size == 0
