import numpy as np
import pytest

from controller.arrivals.change_tracker import ChangeTracker
from controller.baselines.count_series import independent_counts, modulated_counts


def feed(tracker, counts):
    return [change for count in counts if (change := tracker.update(float(count))) is not None]


def poisson(*levels):
    rng = np.random.default_rng(1)
    return np.concatenate([rng.poisson(rate, bins) for rate, bins in levels])


def test_a_step_is_named_with_its_bin_and_its_rates():
    (change,) = feed(ChangeTracker(bin_s=0.5), poisson((10, 200), (30, 60)))
    assert change.change_bin == 200
    assert 200 <= change.named_bin <= 210
    assert change.rate_before_rps == pytest.approx(20, rel=0.1)
    assert change.rate_after_rps == pytest.approx(60, rel=0.3)
    assert change.fano_before < 1.5


def test_a_change_of_dispersion_alone_is_named():
    rng = np.random.default_rng(2)
    (change,) = feed(ChangeTracker(), [*rng.poisson(40, 300), *independent_counts(40, 6, 150, rng)])
    assert change.change_bin == pytest.approx(300, abs=10)
    assert change.fano_after / change.fano_before > 3
    assert change.rate_after_rps == pytest.approx(change.rate_before_rps, rel=0.15)


def test_a_change_uses_no_later_bin():
    counts = poisson((20, 150), (8, 50))
    first = feed(ChangeTracker(), counts)[0]
    assert feed(ChangeTracker(), counts[: first.named_bin + 1]) == [first]
    assert feed(ChangeTracker(), counts[: first.named_bin]) == []


def test_what_is_remembered_is_bounded_and_bins_are_still_counted_from_the_start():
    (change,) = feed(ChangeTracker(), poisson((10, 4000), (20, 60)))
    assert change.change_bin == pytest.approx(4000, abs=3)


def test_silence_and_even_counts_are_no_change():
    assert feed(ChangeTracker(), [0] * 300) == []
    assert feed(ChangeTracker(), [7] * 300) == []


def test_modulated_traffic_of_one_law_is_seldom_a_change():
    rng = np.random.default_rng(5)
    series = [modulated_counts(30, 4, 3600, rng, sojourn_s=2) for _ in range(3)]
    # Independent counts of the same laws would be beyond doubt some ten times an hour.
    assert sum(len(feed(ChangeTracker(), counts)) for counts in series) <= 3
