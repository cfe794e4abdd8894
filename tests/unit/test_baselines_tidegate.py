"""Ours on the law of BATCH's buffer, and the oracles beside it: what is remembered, planned for and kept."""

import math
from dataclasses import replace

import numpy as np
import pytest

from controller.baselines.attainment import NEARLY, RATE_STEP, Attainment, AttainmentTable, cheapest, on_grid, worst
from controller.baselines.call_table import tabulate_calls
from controller.baselines.fixed import Fixed, Frozen
from controller.baselines.judge import Trial, judge
from controller.baselines.oracles import Scheduled, Stretch, every_hour, every_second
from controller.baselines.protocol import Past
from controller.baselines.tidegate import DECIDE_EVERY_S, Tidegate
from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.domain.prices import load_prices
from controller.domain.service_time import AffineServiceTimes
from controller.domain.slo import LatencySlo
from controller.performance_model.batch_queue import BatchQueue
from controller.performance_model.cost import request_cost_usd
from controller.performance_model.grid_search import Grid
from controller.performance_model.latency import LatencyLaw
from controller.performance_model.prediction import TimerSetting
from controller.performance_model.service_law import service_law

PRICES = load_prices().lambda_x86
LIGHT, SLO = AffineServiceTimes(0.010, 0.034), LatencySlo(0.95, 0.3)
CALLS = tabulate_calls(LIGHT, (1280, 3008), max_batch_size=8, prices=PRICES)
TABLE = AttainmentTable(CALLS, SLO, PRICES, Grid(max_batch_size=8, max_queue_delay_s=0.3, delay_step_s=0.02))
QUIET, BUSY = PoissonProcess(10.0), PoissonProcess(120.0)


def in_turn(laws, length_s, rng):
    """Arrivals under laws one after the other, and the stretches."""
    pieces = [i * length_s + sample_arrivals(law, duration_s=length_s, rng=rng) for i, law in enumerate(laws)]
    stretches = tuple(Stretch(i * length_s, law) for i, law in enumerate(laws))
    return np.concatenate(pieces), stretches


def tidegate():
    return Tidegate(TABLE, np.random.default_rng(3))


def ask(policy, arrival_s, now_s, present=CALLS.unbatched):
    return policy.decide(Past(now_s, arrival_s[arrival_s < now_s], present))


def test_a_remembered_law_is_the_exact_one():
    found = TABLE.at_rate(20.0)
    index = TABLE.index(TimerSetting(max_batch_size=5, max_queue_delay_s=0.12, memory_mb=3008))
    arrivals = PoissonProcess(on_grid(20.0))
    law = BatchQueue.solve(arrivals, max_batch_size=5, max_queue_delay_s=0.12)
    seconds = service_law(LIGHT, 5)
    assert found.share[index] == pytest.approx(LatencyLaw(law, seconds).cdf(0.3), abs=1e-5)
    cost = request_cost_usd(law.batch_size_pmf, seconds, memory_mb=3008, prices=PRICES)
    assert found.cost_usd[index] == pytest.approx(cost, rel=1e-6)


def test_a_rate_is_looked_at_once_and_neighbours_share_it():
    rate = RATE_STEP**150
    assert TABLE.at_rate(rate) is TABLE.at_rate(rate * 1.005)
    assert TABLE.at_rate(rate) is not TABLE.at_rate(rate * 1.015)


def test_every_setting_of_the_grid_is_found_again():
    n = 2 * (1 + 7 * 15)
    assert TABLE.at_rate(20.0).share.shape == (n,)
    assert [TABLE.index(TABLE.setting(index)) for index in range(n)] == list(range(n))


@pytest.mark.parametrize(("size", "delay_s"), [(1, 0.02), (4, 0.0), (4, 0.013), (4, 0.4)])
def test_a_setting_beside_the_grid_has_no_index(size, delay_s):
    assert TABLE.index(TimerSetting(max_batch_size=size, max_queue_delay_s=delay_s, memory_mb=1280)) is None


COST = np.array([1.0, 1.0 + NEARLY / 2, 1.2, 2.0])
SHARE = np.array([0.96, 0.98, 0.99, 1.0], dtype=np.float32)


def test_nearly_as_cheap_and_more_in_time_is_better():
    assert cheapest(COST, SHARE, 0.95) == 1
    assert cheapest(COST, SHARE, 0.985) == 2


def test_the_present_setting_is_kept_while_it_is_nearly_the_cheapest():
    assert cheapest(COST, SHARE, 0.95, present=0) == 0
    assert cheapest(COST, SHARE, 0.97, present=0) == 1
    assert cheapest(COST, SHARE, 0.95, present=2) == 1


def test_where_nothing_reaches_the_quantile_the_most_attaining_is_taken():
    assert cheapest(COST, SHARE * np.float32(0.9), 0.95) == 3


def test_several_laws_attain_what_the_worst_attains():
    both = worst([Attainment(SHARE, COST), Attainment(SHARE[::-1].copy(), COST)])
    assert both.tolist() == pytest.approx([0.96, 0.98, 0.98, 0.96])


def test_a_decision_rests_on_the_past_alone(rng):
    arrivals, _ = in_turn([QUIET, BUSY], 120, rng)
    whole = judge(tidegate(), Trial(arrivals, 30.0, 240.0, CALLS, SLO))
    cut = judge(tidegate(), Trial(arrivals[arrivals < 100], 30.0, 100.0, CALLS, SLO))
    assert [each.setting for each in cut.answers] == [each.setting for each in whole.answers[: len(cut.answers)]]


def test_between_two_decisions_nothing_is_decided(rng):
    arrivals = sample_arrivals(QUIET, duration_s=200, rng=rng)
    policy, other = tidegate(), TimerSetting(max_batch_size=2, max_queue_delay_s=0.02, memory_mb=3008)
    first = ask(policy, arrivals, 100.0)
    assert first != other
    assert ask(policy, arrivals, 101.0, other) is None
    assert ask(policy, arrivals, 100.0 + DECIDE_EVERY_S, other) == first


def test_an_alarm_is_answered_at_once(rng):
    arrivals, _ = in_turn([QUIET, BUSY], 120, rng)
    changes = judge(tidegate(), Trial(arrivals, 118.0, 125.0, CALLS, SLO)).changes
    # Two seconds tell a step of 12x from one loud second; the next regular decision is at 123 s.
    assert [at_s for at_s, _ in changes] == [118.0, 122.0]
    assert changes[0][1].max_batch_size < changes[1][1].max_batch_size


def test_without_arrivals_nothing_is_decided():
    assert ask(tidegate(), np.zeros(0), 50.0) is None


def test_it_plans_beyond_the_objective(rng):
    # A setting exactly on the stationary p95 violates about half of its windows.
    arrivals = sample_arrivals(QUIET, duration_s=600, rng=rng)
    found = ask(tidegate(), arrivals, 600.0)
    assert TABLE.at_rate(10.0).share[TABLE.index(found)] >= 0.97 - 1e-3


def test_a_level_that_traffic_has_left_is_still_reckoned_with(rng):
    arrivals, _ = in_turn([QUIET, BUSY], 300, rng)
    soon, later = TABLE.index(ask(tidegate(), arrivals, 400.0)), None
    busy = 300 + np.concatenate([arrivals[arrivals >= 300] - 300 + i * 300 for i in range(4)])
    later = TABLE.index(ask(tidegate(), np.concatenate([arrivals[arrivals < 300], busy]), 1400.0))
    quiet = TABLE.at_rate(10.0).share
    assert quiet[soon] >= 0.97 - 1e-3
    assert TABLE.at_rate(120.0).cost_usd[later] <= TABLE.at_rate(120.0).cost_usd[soon]


def test_the_cost_of_a_quiet_phase_knows_the_busy_ones_that_end_it(rng):
    # Thirty quiet seconds are 300 requests, the three busy ones until the change is noticed 360 more.
    policy = tidegate()
    arrivals, _ = in_turn([QUIET, BUSY] * 10 + [QUIET], 30, rng)
    ask(policy, arrivals, 610.0)
    alone, both = TABLE.at_rate(10.0).cost_usd, policy._cost_usd(10.0)
    busy = TABLE.at_rate(120.0).cost_usd
    inside = (np.minimum(alone, busy) <= both + 1e-12) & (both <= np.maximum(alone, busy) + 1e-12)
    assert inside.mean() > 0.99
    assert not np.allclose(both, alone, rtol=1e-3)


def test_without_a_level_left_the_cost_is_that_of_the_present_rate(rng):
    policy = tidegate()
    ask(policy, sample_arrivals(QUIET, duration_s=60, rng=rng), 60.0)
    assert policy._cost_usd(10.0) is TABLE.at_rate(10.0).cost_usd


def test_bursts_are_followed_inside_the_objective_and_cheaper_than_frozen(rng):
    arrivals, _ = in_turn([QUIET, BUSY] * 8, 60, rng)
    trial = Trial(arrivals, 180.0, 960.0, CALLS, SLO)
    ours, frozen = judge(tidegate(), trial), judge(Frozen(tidegate()), trial)
    assert ours.window_violation_ratio <= 0.05
    assert ours.cost_per_request_usd < frozen.cost_per_request_usd


def test_the_same_seed_decides_the_same(rng):
    trial = Trial(in_turn([QUIET, BUSY], 60, rng)[0], 30.0, 120.0, CALLS, SLO)
    assert judge(tidegate(), trial).changes == judge(tidegate(), trial).changes


def test_a_schedule_is_followed():
    settings = tuple(TimerSetting(max_batch_size=n, max_queue_delay_s=0.1, memory_mb=1280) for n in (1, 2, 3))
    trial = Trial(np.array([0.0, 5.0]), 2.0, 8.0, CALLS, SLO)
    assert judge(Scheduled(2.0, 2.0, settings), trial).changes == [(2.0 + 2 * i, s) for i, s in enumerate(settings)]


def test_oracles_keep_the_windows_and_the_one_that_knows_each_second_is_the_cheaper(rng):
    arrivals, stretches = in_turn([QUIET, BUSY] * 4, 150, rng)
    trial = Trial(arrivals, 300.0, 1200.0, CALLS, SLO)
    hour = every_hour(trial, stretches, TABLE)
    second = every_second(trial, stretches, TABLE, hourly=hour)
    assert second.window_violation_ratio <= 0.05
    assert hour.window_violation_ratio <= 0.05
    assert second.cost_per_request_usd < hour.cost_per_request_usd
    assert len(hour.changes) == 1
    assert len(second.changes) == 6


def test_the_oracle_of_seconds_changes_once_an_hour_where_that_is_cheaper(rng):
    arrivals, stretches = in_turn([QUIET, BUSY] * 4, 150, rng)
    trial = Trial(arrivals, 300.0, 1200.0, CALLS, SLO)
    cheap = judge(Fixed(TimerSetting(max_batch_size=8, max_queue_delay_s=0.3, memory_mb=1280)), trial)
    assert every_second(trial, stretches, TABLE, hourly=cheap) is not cheap
    hourly = replace(cheap, window_violation_ratio=0.05)
    assert every_second(trial, stretches, TABLE, hourly=hourly) is hourly


def test_the_hourly_oracle_beats_every_fixed_setting_that_it_tried_at_one_rate(rng):
    arrivals = sample_arrivals(PoissonProcess(40), duration_s=900, rng=rng)
    trial = Trial(arrivals, 0.0, 900.0, CALLS, SLO)
    hour = every_hour(trial, (Stretch(0.0, PoissonProcess(40)),), TABLE)
    safe = judge(Fixed(TABLE.setting(cheapest(TABLE.at_rate(40).cost_usd, TABLE.at_rate(40).share, 0.99))), trial)
    assert hour.cost_per_request_usd <= safe.cost_per_request_usd


def test_an_objective_that_nothing_keeps_gives_the_closest(rng):
    tight = LatencySlo(0.95, 0.03)
    table = AttainmentTable(CALLS, tight, PRICES, TABLE.grid)
    trial = Trial(sample_arrivals(QUIET, duration_s=120, rng=rng), 30.0, 120.0, CALLS, tight)
    verdict = every_hour(trial, (Stretch(0.0, QUIET),), table)
    assert verdict.window_violation_ratio == 1.0
    assert math.isfinite(judge(Tidegate(table, rng), trial).cost_per_request_usd)
