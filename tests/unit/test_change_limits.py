"""So many slow changes an hour, so many warm ones a minute, hot ones as often as need be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.platforms.change_limits import ChangeLimits


def test_everything_may_change_at_first():
    assert ChangeLimits().allowed(0.0) == {"hot", "warm", "slow"}


def test_a_limit_that_is_reached_is_free_again_when_its_time_has_passed():
    limits = ChangeLimits(slow_per_hour=1, warm_per_minute=2)
    for price in ("slow", "warm", "warm"):
        limits.made(price, 10.0)
    assert limits.allowed(69.9) == {"hot"}
    assert limits.allowed(70.0) == {"hot", "warm"}
    assert limits.allowed(3610.0) == {"hot", "warm", "slow"}


def test_a_limit_of_nothing_allows_nothing():
    assert ChangeLimits(slow_per_hour=0, warm_per_minute=0).allowed(1e6) == {"hot"}


def test_hot_changes_are_not_counted():
    limits = ChangeLimits()
    for second in range(1000):
        limits.made("hot", float(second))
    assert "hot" in limits.allowed(1000.0)


def test_what_was_made_counts_under_a_new_limit():
    limits = ChangeLimits(slow_per_hour=2, warm_per_minute=6)
    limits.made("slow", 0.0)
    limits.set(1, 6)
    assert "slow" not in limits.allowed(1.0)
    limits.set(2, 6)
    assert "slow" in limits.allowed(1.0)


@given(st.lists(st.floats(0, 50), max_size=60), st.integers(0, 8))
def test_who_asks_first_never_makes_more_changes_in_a_minute_than_the_limit(gaps_s, most):
    limits, now_s, made_s = ChangeLimits(warm_per_minute=most), 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        if "warm" in limits.allowed(now_s):
            limits.made("warm", now_s)
            made_s.append(now_s)
    assert all(sum(start <= each < start + 60.0 for each in made_s) <= most for start in made_s)


@pytest.mark.parametrize("price", ["slow", "warm"])
def test_prices_do_not_use_up_one_anothers_limits(price):
    limits = ChangeLimits(slow_per_hour=1, warm_per_minute=1)
    limits.made(price, 0.0)
    assert limits.allowed(1.0) == {"hot", "warm", "slow"} - {price}
