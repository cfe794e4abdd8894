import pytest

from controller.baselines.change_scores import Named, covering, f1, score


def test_naming_nothing_finds_the_first_bin_alone():
    assert f1([0], [0]) == 1
    assert f1([0], [0, 500]) == pytest.approx(2 / 3)
    assert f1([0], [0, 500, 900]) == pytest.approx(1 / 2)


def test_the_margin_is_five_bins_and_each_named_bin_serves_one_change():
    assert f1([0, 505], [0, 500]) == 1
    assert f1([0, 506], [0, 500]) == pytest.approx(1 / 2)
    assert f1([0, 498, 503], [0, 500]) == pytest.approx(0.8)
    assert f1([0, 503], [0, 500, 506]) == pytest.approx(0.8)


def test_covering_is_the_best_overlap_of_each_true_stretch():
    assert covering([0, 40], [0, 40], 100) == 1
    assert covering([0], [0, 40], 100) == pytest.approx((40 * 0.4 + 60 * 0.6) / 100)
    assert covering([0, 50], [0], 100) == pytest.approx(0.5)


def test_delay_counts_the_bins_seen_and_alarms_without_a_change_are_false():
    found = score([Named(99, 90), Named(503, 500), Named(509, 500), Named(801, 799)], [500, 2000], 3000)
    assert found.delays_bins == (4,)
    assert found.missed == 1
    # The one at 801 is 301 bins after the change.
    assert found.false_alarms == 2
    # Named 90, 500 and 799 beside the first bin: two right of four, two of three found.
    assert found.f1 == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
