from collections import Counter

import numpy as np
import pytest

from controller.arrivals.change_points import local_fano
from controller.baselines.count_series import (
    APART_BINS,
    BINS,
    PLAN,
    draw_series,
    independent_counts,
    modulated_counts,
)


def test_a_seed_gives_thirty_series_as_planned_and_always_the_same():
    series = draw_series(3)
    assert len(series) == 30
    assert Counter((each.kind, each.is_modulated) for each in series) == {plan[:2]: plan[2] for plan in PLAN}
    assert all(np.array_equal(a.counts, b.counts) for a, b in zip(series, draw_series(3), strict=True))
    assert not np.array_equal(series[0].counts, draw_series(4)[0].counts)


@pytest.mark.parametrize("seed", range(3))
def test_rates_factors_and_places_are_within_their_ranges(seed):
    for each in draw_series(seed):
        assert each.counts.shape == (BINS,)
        assert np.all(np.diff([0, *each.changes, BINS]) >= APART_BINS)
        assert len(each.changes) == len(each.levels) - 1
        assert (each.kind == "unchanged") == (not each.changes)
        for (rate, fano), (next_rate, next_fano) in zip(each.levels, each.levels[1:], strict=False):
            assert 1 <= rate <= 200
            assert 1 <= fano <= 8
            step, ratio = next_rate / rate, max(fano / next_fano, next_fano / fano)
            assert (0.5 <= step <= 4 and max(step, 1 / step) >= 1.5 and ratio == 1) or (step == 1 and ratio > 2.8)


@pytest.mark.parametrize("fano", [1, 3, 8])
def test_independent_counts_have_their_factor_at_every_scale(fano):
    counts = independent_counts(20, fano, 30_000, np.random.default_rng(1)).astype(float)
    assert counts.mean() == pytest.approx(20, rel=0.03)
    assert local_fano(counts) == pytest.approx(fano, rel=0.05)
    assert local_fano(counts.reshape(-1, 15).sum(axis=1)) == pytest.approx(fano, rel=0.15)


def test_modulated_counts_have_their_factor_by_the_second_and_more_at_longer_scales():
    counts = modulated_counts(20, 4, 60_000, np.random.default_rng(2), sojourn_s=2.0).astype(float)
    assert counts.mean() == pytest.approx(20, rel=0.03)
    assert counts.var() / counts.mean() == pytest.approx(4, rel=0.05)
    blocks = counts.reshape(-1, 15).sum(axis=1)
    assert blocks.var() / blocks.mean() == pytest.approx(1 + 3 * (1 - (1 - np.exp(-15)) / 15) / np.exp(-1), rel=0.1)
