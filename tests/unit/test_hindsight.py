import numpy as np
import pytest

from controller.arrivals import hindsight
from controller.arrivals.hindsight import clumping, find_changes
from controller.baselines.count_series import independent_counts, modulated_counts


def test_steps_and_a_change_of_dispersion_are_found_where_they_are():
    rng = np.random.default_rng(1)
    parts = [independent_counts(*level, 600, rng) for level in ((20, 1), (50, 1), (50, 6), (25, 6))]
    stretches = find_changes(np.concatenate(parts).astype(float))
    assert [each.first_bin for each in stretches] == pytest.approx([0, 600, 1200, 1800], abs=10)
    assert stretches[-1].end_bin == 2400
    assert [each.rate_rps for each in stretches] == pytest.approx([20, 50, 50, 25], rel=0.1)


def test_a_large_step_within_a_block_is_one_change():
    counts = np.concatenate([np.full(1207, 5.0), np.full(2393, 90.0)])
    assert [(each.first_bin, each.end_bin) for each in find_changes(counts)] == [(0, 1207), (1207, 3600)]


def test_modulated_traffic_of_one_law_is_one_stretch():
    counts = modulated_counts(30, 4, 3600, np.random.default_rng(2), sojourn_s=3).astype(float)
    assert clumping(counts) > 1.8
    assert len(find_changes(counts)) == 1


@pytest.mark.parametrize("bins", [1, 2, 14, 29, 31, 241])
def test_short_series_without_a_change_are_one_stretch(bins):
    (stretch,) = find_changes(np.full(bins, 4.0), bin_s=0.5)
    assert (stretch.first_bin, stretch.end_bin, stretch.rate_rps) == (0, bins, 8.0)


def test_the_number_of_pairs_that_are_compared_is_bounded_whatever_the_length(monkeypatch):
    sizes = []
    table = hindsight._Table

    def note(costs):
        sizes.append(costs.shape[0])
        return table(costs)

    monkeypatch.setattr(hindsight, "_Table", note)
    counts = np.concatenate([np.full(30_000, 5.0), np.full(20_001, 9.0)])
    stretches = find_changes(counts)
    assert [each.first_bin for each in stretches] == pytest.approx([0, 30_000], abs=7)
    assert stretches[-1].end_bin == 50_001
    assert max(sizes) <= hindsight.MOST_BLOCKS + 1
