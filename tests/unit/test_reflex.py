"""The reflex to a burst: when it begins, how many instances it asks for, when it gives the bounds back."""

import itertools
import math

import pytest

from controller.errors import BadInputError
from controller.optimizer.reflex import BurstSeen, Reflex, ScaleBounds, activation_reason, given_back, reason_of

REST = ScaleBounds(0, 0)


def seen(now_s, rate_rps, **others):
    usual = {
        "is_rising": False,
        "is_settled": True,
        "is_hidden": False,
        "capacity_rps": 20.0,
        "live": 1,
        "most": 20,
        "scale_bounds": (0, math.inf),
        "own_activation": 0,
        "window_s": 60.0,
    }
    return BurstSeen(now_s=now_s, rate_rps=rate_rps, **{**usual, **others})


def run(*seconds, reflex=None, present=REST):
    """Feed one look after the other; bounds are applied at once."""
    reflex = reflex or Reflex()
    for each in seconds:
        reflex = reflex.step(each, present)
        present = reflex.wanted(each, present)
    return reflex, present


def burst(at_s=0.0, rate_rps=100.0, **others):
    return seen(at_s, rate_rps, is_rising=True, **others)


def test_a_burst_raises_the_lowest_scale_to_what_its_rate_needs_and_bounds_the_highest():
    _, bounds = run(burst(rate_rps=100))
    assert bounds == ScaleBounds(7, 21)  # 100 / (0.8 x 20) = 6.25


def test_once_the_rate_no_longer_rises_the_highest_scale_is_little_above_the_need():
    _, bounds = run(burst(0), *(seen(t, 100) for t in range(1, 7)))
    assert bounds == ScaleBounds(7, 8)


def test_without_an_alarm_nothing_moves():
    assert run(seen(0, 100)) == (Reflex(), REST)


def test_before_the_capacity_is_known_nothing_moves():
    assert run(burst(capacity_rps=0)) == (Reflex(), REST)


def test_where_one_instance_is_enough_nothing_moves():
    assert run(burst(rate_rps=15)) == (Reflex(), REST)


def test_where_more_instances_would_gain_nothing_nothing_moves():
    assert run(burst(most=1)) == (Reflex(), REST)


def test_a_service_at_zero_is_not_woken():
    reflex, bounds = run(burst(live=0))
    assert (reflex.held, reflex.rest, bounds) == (0, None, REST)


def test_at_zero_in_a_burst_the_bounds_are_given_back():
    reflex, bounds = run(burst(0), seen(1, 0, live=0), seen(2, 0, live=0))
    assert bounds == REST
    assert reflex.rest is None


def test_the_lowest_scale_is_raised_no_further_than_pays_but_the_autoscaler_may_go_on():
    _, bounds = run(burst(most=4))
    assert bounds == ScaleBounds(4, 21)


def test_bounds_of_the_user_on_the_highest_scale_are_kept():
    assert run(burst(scale_bounds=(0, 5)))[1] == ScaleBounds(5, 5)
    assert run(burst(scale_bounds=(25, 30)))[1] == ScaleBounds(7, 25)


def test_a_rate_that_stays_is_no_burst_and_the_bounds_are_given_back():
    looks = [burst(0), *(seen(t, 100) for t in range(1, 302))]
    assert run(*looks[:-1])[1].min_scale == 7
    assert run(*looks)[1] == REST


def test_bursts_that_come_again_and_again_do_not_become_a_rate_that_stays():
    looks = [seen(t, 100 if t % 30 < 15 else 10, is_rising=t == 0) for t in range(400)]
    assert run(*looks)[1].min_scale == 7


def test_a_first_estimate_counts_until_the_rate_has_settled():
    looks = [burst(0, 160, is_settled=False), *(seen(t, 100) for t in range(1, 8))]
    assert run(*looks[:5])[1].min_scale == 10
    assert run(*looks)[1].min_scale == 7


def test_a_burst_too_short_to_settle_is_remembered_by_its_first_estimate():
    looks = [burst(0, 100, is_settled=False), *(seen(t, 10) for t in range(1, 30))]
    assert run(*looks)[1].min_scale == 7


def test_a_need_that_grows_is_followed_and_noise_is_not():
    assert run(burst(0), seen(1, 110))[1].min_scale == 7
    assert run(burst(0), seen(1, 160))[1].min_scale == 10


def test_instances_stay_for_as_long_as_the_autoscaler_would_keep_them():
    reflex, bounds = run(burst(0), *(seen(t, 10) for t in range(1, 60)))
    assert bounds.min_scale == 7
    reflex, bounds = run(seen(60, 10), reflex=reflex, present=bounds)
    assert bounds == REST


def test_after_bursts_that_come_seldom_they_stay_for_seconds_only():
    seldom = Reflex(gaps_s=(90.0, 100.0))
    _, bounds = run(burst(0), *(seen(t, 10) for t in range(1, 6)), reflex=seldom)
    assert bounds == REST


def test_bursts_that_come_soon_after_each_other_find_the_instances_of_the_last():
    looks = [seen(t, 100 if t % 30 < 5 else 10, is_rising=t == 0) for t in range(90)]
    reflex, bounds = run(*looks)
    assert reflex.gaps_s == (26.0, 26.0)
    assert bounds.min_scale == 7


def test_a_smaller_rate_that_lasts_is_followed_down():
    _, bounds = run(burst(0), *(seen(t, 40) for t in range(1, 70)))
    assert bounds == ScaleBounds(3, 4)


def test_while_requests_wait_uncounted_the_highest_scale_stays_open():
    _, bounds = run(burst(is_hidden=True))
    assert bounds == ScaleBounds(7, 0)


def test_what_the_platform_does_not_take_is_asked_for_again():
    reflex = run(burst(0), *(seen(t, 10) for t in range(1, 61)))[0]
    refused = ScaleBounds(7, 9)
    again = reflex.step(seen(61, 10), refused)
    assert again.wanted(seen(61, 10), refused) == REST
    assert again.step(seen(62, 10), REST).rest is None


def test_after_a_restart_the_bounds_before_the_burst_are_still_given_back():
    before = run(burst(0), present=ScaleBounds(1, 12))[0]
    after = Reflex.from_document(before.to_document())
    _, bounds = run(seen(500, 10), seen(501, 10), reflex=after, present=ScaleBounds(7, 9))
    assert bounds == ScaleBounds(1, 12)


def departures(*rates_rps, capacity_rps=20.0, **others):
    """Leave zero once for each rate, which then lasts for 20 s; at zero again at the end."""
    at_s = itertools.count()
    for rate_rps in rates_rps:
        yield seen(next(at_s), 0, live=0, **others)
        for _ in range(20):
            yield seen(next(at_s), rate_rps, capacity_rps=capacity_rps, **others)
    yield seen(next(at_s), 0, live=0, **others)


def at_zero(*seconds, reflex=None, max_scale=0):
    """What would start at once after these seconds."""
    reflex = reflex or Reflex()
    for each in seconds:
        reflex = reflex.step(each, REST)
    return reflex.activation_scale(seconds[-1], ScaleBounds(0, max_scale))


def test_what_the_last_departures_from_zero_all_needed_starts_at_once_from_now_on():
    assert at_zero(*departures(70, 100, 60)) == 4  # 60 / (0.8 x 20) = 3.75
    assert at_zero(*departures(10, 70, 100, 60)) == 4  # the one before the last three is forgotten


def test_a_departure_that_needed_one_or_came_to_nothing_starts_one():
    assert at_zero(*departures(70, 100)) == 0
    assert at_zero(*departures(70, 10, 100)) == 0
    assert at_zero(*departures(70, 0, 100)) == 0


def test_a_need_that_is_not_known_is_not_remembered():
    reflex = Reflex(wakes=(4, 5, 6))
    assert at_zero(*departures(70, capacity_rps=0.0), reflex=reflex) == 4


def test_no_more_start_at_once_than_may_run():
    departed = tuple(departures(70, 100, 60))
    assert at_zero(*departed, max_scale=3) == 3
    assert at_zero(*departed, max_scale=1) == 0
    assert at_zero(*departures(70, 100, 60, most=2)) == 2


def test_what_the_service_says_itself_stays_but_for_bursts():
    assert at_zero(*departures(70, 100, 60, own_activation=9)) == 9
    assert at_zero(*departures(70, own_activation=9), max_scale=4) == 4  # Knative takes no more
    assert Reflex().activation_scale(seen(0, 0, own_activation=3), ScaleBounds(5, 8)) == 5  # and no less
    assert at_zero(burst(own_activation=9)) == 0


def test_once_woken_and_looked_at_the_start_from_zero_is_taken_away_again():
    reflex = Reflex(wakes=(4, 5, 6))
    assert at_zero(seen(0, 0, live=0), *(seen(t, 10) for t in range(1, 9)), reflex=reflex) == 4
    assert at_zero(seen(0, 0, live=0), *(seen(t, 10) for t in range(1, 13)), reflex=reflex) == 0
    assert at_zero(seen(0, 0, live=0), burst(1), reflex=reflex) == 0  # min_scale says more


def test_departures_are_remembered_over_a_restart():
    reflex = Reflex.from_document(Reflex(wakes=(4, 5, 6)).to_document())
    assert at_zero(seen(0, 0, live=0), reflex=reflex) == 4


def test_the_reason_of_a_start_from_zero_has_its_numbers():
    asleep = Reflex(wakes=(4, 5, 6)).step(seen(0, 0, live=0), REST)
    changes = "activation_scale 0 → 4"
    assert activation_reason(asleep, 4, changes=changes) == (
        "apply: 10 s after zero it needed 4, 5, 6 instances the last times; activation_scale 0 → 4"
    )
    woken = asleep.step(seen(1, 10), REST)
    assert "has left zero" in activation_reason(woken, 0, changes="activation_scale 4 → 0")


@pytest.mark.parametrize("rest", [3, [1], [1, math.nan], ["1", 2]])
def test_a_state_that_cannot_be_is_refused(rest):
    with pytest.raises(BadInputError):
        Reflex.from_document({"rest": rest, "held": 2, "gaps_s": []})


def test_a_bound_that_somebody_else_holds_is_not_given_back():
    assert given_back(REST, ScaleBounds(5, 8), held=frozenset({"min_scale"})) == ScaleBounds(5, 0)
    assert given_back(ScaleBounds(0, 3), ScaleBounds(5, 8), held=frozenset({"min_scale"})) == ScaleBounds(5, 5)


def test_the_reason_has_the_numbers_of_the_law():
    look = burst(rate_rps=118)
    after = Reflex().step(look, REST)
    said = reason_of(Reflex(), after, look, cause="rate rose 10 → 100/s", changes="min_scale 0 → 8")
    assert said.startswith("apply: rate rose 10 → 100/s; min_scale 0 → 8 by Little's law: ")
    assert said.endswith(": up to 118/s need 8 instances of 20/s each at 80 %")
