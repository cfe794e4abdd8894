"""Window attainment: what violates, and what the edges do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from controller.domain.slo import LatencySlo, slow_stretch_s, violating_windows, window_violation_ratio
from controller.errors import BadInputError


def late(*, total: int, first: int, count: int) -> np.ndarray:
    flags = np.zeros(total, dtype=bool)
    flags[first : first + count] = True
    return flags


def test_twelve_late_of_256_are_inside_and_thirteen_are_not():
    assert window_violation_ratio(late(total=256, first=0, count=12), 0.95) == 0.0
    assert window_violation_ratio(late(total=256, first=0, count=13), 0.95) == 1.0


def test_exactly_the_allowed_share_is_inside():
    assert window_violation_ratio(late(total=256, first=0, count=64), 0.75) == 0.0


def test_a_late_group_spoils_every_window_that_holds_too_much_of_it():
    windows = violating_windows(late(total=2000, first=1000, count=30), 0.95)
    assert windows.size == 2000 - 255
    assert windows.sum() == 256 + 30 - 2 * 13 + 1


def test_a_short_run_is_one_window_of_its_own_length():
    assert violating_windows(late(total=20, first=0, count=1), 0.95).tolist() == [False]
    assert violating_windows(late(total=20, first=0, count=2), 0.95).tolist() == [True]


def test_the_slow_stretch_is_the_one_in_which_the_answer_at_the_quantile_falls():
    answered, total_s = np.array([94.0, 0.0, 6.0]), np.array([9.4, 0.0, 12.0])
    assert slow_stretch_s(answered, total_s, 0.95) == pytest.approx(2.0)
    assert slow_stretch_s(answered, total_s, 0.94) == pytest.approx(0.1)
    assert slow_stretch_s(np.zeros(2), np.zeros(2), 0.95) == math.inf


def test_no_arrivals_violate_nothing():
    assert window_violation_ratio(np.zeros(0, dtype=bool), 0.95) == 0.0


@pytest.mark.parametrize(
    ("quantile", "bound_s"), [(95, 1.0), (0.0, 1.0), (1.0, 1.0), (0.95, 0.0), (0.95, float("nan"))]
)
def test_an_impossible_objective_is_refused(quantile, bound_s):
    with pytest.raises(BadInputError, match="slo"):
        LatencySlo(quantile, bound_s)
