"""Detection over interpolated counts finds changes of the rate, and never one of the dispersion."""

from __future__ import annotations

import numpy as np

from controller.domain.arrival_process import PoissonProcess
from controller.monitor.coarse_detection import CoarseDetector, detection_for
from controller.monitor.detection import default_detection


def scraped(rng, rates, interval=15):
    """Counts by the second as they come from scrapes: the sum of an interval, spread evenly."""
    per_interval = [rng.poisson(rate * interval) for rate in rates]
    grown = np.concatenate([[0.0], np.cumsum(per_interval)])
    seconds = np.arange(interval * len(rates) + 1)
    return np.diff(np.floor(np.interp(seconds, interval * np.arange(grown.size), grown) + 0.5)).astype(np.int64)


def alarms_of(detector, counts):
    return [alarm for count in counts.tolist() if (alarm := detector.update(count)) is not None]


def test_scrapes_a_second_apart_are_detected_in_like_the_servers_own_bins():
    assert detection_for(1.02) == default_detection()


def test_a_step_of_the_rate_is_found_at_its_second(rng):
    counts = scraped(rng, [10] * 40 + [40] * 12)
    alarms = alarms_of(detection_for(15.0).detector(), counts)
    assert [each.kind for each in alarms] == ["rate"]
    assert abs(alarms[0].change_bin - 600) <= 30
    assert alarms[0].after > 2 * alarms[0].before


def test_steady_traffic_raises_no_alarm(rng):
    assert alarms_of(detection_for(15.0).detector(), scraped(rng, [20] * 240)) == []


def test_a_lower_bound_never_looks_like_a_fall():
    detector = CoarseDetector(10)
    alarms_of(detector, np.full(400, 20))
    assert [detector.update(0, is_censored=True) for _ in range(200)] == [None] * 200


def test_the_law_of_even_counts_is_the_cautious_one(rng):
    law = detection_for(15.0).fit(scraped(rng, [20] * 60))
    assert isinstance(law, PoissonProcess)
    assert abs(law.rate_rps - 20) < 1


def test_silence_has_a_law_too():
    assert detection_for(15.0).fit(np.zeros(100, dtype=np.int64)) == PoissonProcess(0.0)
