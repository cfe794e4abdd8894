"""Arrivals that settings are tried on."""

import numpy as np
import pytest

from controller.domain.arrival_process import PoissonProcess
from controller.domain.token_lengths import TokenLengths
from controller.optimizer.scenarios import MOST_AT_ALL, MOST_REQUESTS, TrafficSeen, build_scenarios, past_scenario

LENGTHS = TokenLengths(np.array([16, 32]))


def seen(**changes):
    values = {
        "law": PoissonProcess(20.0),
        "rate_rps": 20.0,
        "peak_rps": 25.0,
        "past": np.full(600, 2),
        "lengths": LENGTHS,
        "ready": 2,
        "capacity_rps": 50.0,
    }
    return TrafficSeen(**(values | changes))


def test_there_are_a_present_a_past_and_two_bursts(rng):
    built = build_scenarios(seen(), rng)
    assert sorted(each.name for each in built) == ["burst", "burst", "past", "present"]
    assert all(each.initial_scale == 2 for each in built)


def test_every_scenario_ascends_and_has_a_length_for_each_request(rng):
    for each in build_scenarios(seen(), rng):
        assert np.all(np.diff(each.arrivals_s) >= 0)
        assert each.arrivals_s.size == each.tokens.size
        assert each.arrivals_s.size == 0 or each.arrivals_s[-1] <= each.duration_s


def test_the_past_has_the_counts_that_were_seen(rng):
    bins = np.array([0, 5, 0, 7])
    past = past_scenario(bins, LENGTHS, rng, initial_scale=1)
    assert np.bincount((past.arrivals_s / 0.1).astype(int), minlength=4).tolist() == bins.tolist()


def test_the_past_keeps_its_latest_part_when_it_is_too_long(rng):
    past = past_scenario(np.array([MOST_REQUESTS] * 3 + [10] * 5), LENGTHS, rng, initial_scale=1)
    assert past.duration_s == pytest.approx(0.5)
    assert past.arrivals_s.size == 50


def test_without_a_past_there_is_no_such_scenario(rng):
    assert "past" not in [each.name for each in build_scenarios(seen(past=np.zeros(0, dtype=int)), rng)]


def test_a_burst_is_three_times_the_present_rate_or_the_highest_seen(rng):
    for changes, most in (({"rate_rps": 200.0}, 600), ({"peak_rps": 900.0}, 900), ({"capacity_rps": 500.0}, 750)):
        built = build_scenarios(seen(**changes), rng)
        rates = [np.sum((each.arrivals_s >= 2) & (each.arrivals_s < 3)) for each in built if each.name == "burst"]
        assert max(rates) == pytest.approx(most, rel=0.1)


@pytest.mark.parametrize("times", [1, 10, 1000])
def test_scenarios_stay_within_a_number_of_requests_however_fast_the_server_is(times, rng):
    fast = {"law": PoissonProcess(2000.0 * times), "rate_rps": 2000.0 * times, "capacity_rps": 90_000.0 * times}
    built = build_scenarios(seen(**fast), rng)
    assert max(each.arrivals_s.size for each in built) < 3.2 * MOST_AT_ALL
