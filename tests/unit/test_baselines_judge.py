"""The judge of policies: the rule of changes, what is seen, what is counted."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from controller.baselines.call_table import reloading, tabulate_calls
from controller.baselines.fixed import Fixed, Frozen, cherry_picked
from controller.baselines.judge import Trial, judge
from controller.baselines.protocol import Past
from controller.baselines.replay import replay
from controller.domain.prices import load_prices
from controller.domain.service_table import TableServiceTimes
from controller.domain.service_time import AffineServiceTimes
from controller.domain.slo import LatencySlo, window_violation_ratio
from controller.errors import BadInputError
from controller.performance_model.prediction import TimerSetting

PRICES = load_prices().lambda_x86
CALLS = tabulate_calls(AffineServiceTimes(0.010, 0.034), (1024, 3008), max_batch_size=20, prices=PRICES)
SLO = LatencySlo(0.95, 0.3)


def setting(size, delay_s, memory_mb=3008):
    return TimerSetting(max_batch_size=size, max_queue_delay_s=delay_s, memory_mb=memory_mb)


@dataclass
class Scripted:
    """Says what it is told to, and remembers what it was shown."""

    period_s: float
    script: list[TimerSetting]
    seen: list[Past] = field(default_factory=list)

    def decide(self, past):
        self.seen.append(past)
        return self.script[min(len(self.seen), len(self.script)) - 1]


def trial(arrival_s, *, from_s=0.0, until_s=10.0, calls=CALLS):
    return Trial(np.array(arrival_s, dtype=float), from_s, until_s, calls, SLO)


def test_a_batch_keeps_the_setting_it_was_opened_under():
    # Opened at 0.9 with B = 4: the change at 1.0 to B = 1 must not send it before its fourth request or its timer.
    arrivals = np.array([0.9, 1.05, 1.1, 1.5])
    batches = replay(arrivals, [(0.0, setting(4, 0.3)), (1.0, setting(1, 0.0))])
    assert batches.first.tolist() == [0, 3]
    assert batches.size.tolist() == [3, 1]
    assert batches.leaves_s == pytest.approx([1.2, 1.5])
    assert batches.change.tolist() == [0, 1]


def test_a_change_holds_for_a_batch_that_is_opened_at_its_very_moment():
    batches = replay(np.array([1.0, 1.1]), [(0.0, setting(1, 0.0)), (1.0, setting(2, 0.5))])
    assert batches.size.tolist() == [2]
    assert batches.change.tolist() == [1]


def test_a_change_inside_a_full_batch_moves_nobody():
    arrivals = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    batches = replay(arrivals, [(0.0, setting(3, 1.0)), (0.15, setting(2, 1.0))])
    assert batches.size.tolist() == [3, 2, 1]
    assert batches.leaves_s == pytest.approx([0.2, 0.4, 1.5])


def test_settings_that_no_batch_was_opened_under_are_skipped():
    batches = replay(np.array([0.0, 5.0]), [(0.0, setting(1, 0.0)), (1.0, setting(2, 1)), (2.0, setting(3, 1))])
    assert batches.change.tolist() == [0, 2]


def test_many_changes_to_the_same_setting_cut_as_one(rng):
    arrivals = np.sort(rng.random(5000)) * 100
    whole = replay(arrivals, [(0.0, setting(6, 0.2))])
    pieces = replay(arrivals, [(at_s, setting(6, 0.2)) for at_s in np.arange(0, 100, 0.7)])
    assert whole.first.tolist() == pieces.first.tolist()
    assert whole.leaves_s.tolist() == pieces.leaves_s.tolist()


def test_every_request_is_in_exactly_one_batch_and_none_waits_beyond_its_own_delay(rng):
    arrivals = np.sort(rng.random(3000)) * 60
    changes = [(float(t), setting(int(rng.integers(1, 9)), float(rng.random() / 2))) for t in range(60)]
    batches = replay(arrivals, changes)
    assert batches.size.sum() == arrivals.size
    assert np.diff(batches.first).tolist() == batches.size[:-1].tolist()
    most = np.array([each.max_batch_size for _, each in changes])[batches.change]
    delay = np.array([each.max_queue_delay_s for _, each in changes])[batches.change]
    assert (batches.size <= most).all()
    assert (batches.leaves_s - arrivals[batches.first] <= delay + 1e-12).all()


def test_a_policy_sees_the_past_alone_at_its_own_period():
    policy = Scripted(2.0, [setting(1, 0.0)])
    judge(policy, trial([0.5, 3.0, 4.0, 4.5, 7.0], from_s=2.0, until_s=7.5))
    assert [past.now_s for past in policy.seen] == [2.0, 4.0, 6.0]
    assert [past.arrival_s.tolist() for past in policy.seen] == [[0.5], [0.5, 3.0], [0.5, 3.0, 4.0, 4.5]]


def test_a_policy_is_told_the_setting_in_force():
    policy = Scripted(1.0, [setting(2, 0.1), setting(3, 0.1)])
    judge(policy, trial([0.5, 1.5], until_s=3.0))
    assert [past.present for past in policy.seen] == [CALLS.unbatched, setting(2, 0.1), setting(3, 0.1)]


def test_latency_cost_and_windows_are_counted_by_hand():
    # Three requests in one batch that leaves by its timer at 0.2: the call takes 0.112 s.
    verdict = judge(Fixed(setting(4, 0.2)), trial([0.0, 0.05, 0.1, 5.0]))
    assert verdict.latency_s == pytest.approx([0.312, 0.262, 0.212, 0.244])
    assert verdict.mean_batch_size == 2
    gb_s = (0.112 + 0.044) * 3008 / 1024
    assert verdict.cost_per_request_usd == pytest.approx((gb_s * 1.66667e-5 + 2 * 2e-7) / 4)
    assert verdict.window_violation_ratio == 1.0
    assert verdict.quantile_s(0.5) == pytest.approx(0.244)
    assert len(verdict.answers) == 1


def test_calls_were_billed_in_tenths_of_a_second_once():
    then = tabulate_calls(
        AffineServiceTimes(0.010, 0.034), (1024,), max_batch_size=2, prices=replace(PRICES, granularity_s=0.1)
    )
    assert then.usd[0] == pytest.approx(0.1 * 1.66667e-5 + 2e-7)


def test_windows_are_those_of_the_objective(rng):
    arrivals = np.sort(rng.random(4000)) * 200
    verdict = judge(Fixed(setting(8, 0.1)), trial(arrivals, until_s=200.0))
    assert verdict.window_violation_ratio == window_violation_ratio(verdict.latency_s > 0.3, 0.95)
    assert 0 < verdict.window_violation_ratio < 1


def test_an_answer_exactly_on_the_bound_is_not_late_however_long_the_day():
    # T + S(1) = 0.256 + 0.044 = 0.3, the bound, at instants where a float is good to 1e-11 s only.
    verdict = judge(Fixed(setting(2, 0.256)), trial(86_000 + np.arange(50) * 1.1, from_s=86_000, until_s=86_400))
    assert verdict.window_violation_ratio == 0


def test_history_is_known_and_not_judged():
    verdict = judge(Fixed(setting(1, 0.0)), trial([0.0, 1.0, 6.0], from_s=5.0))
    assert verdict.latency_s.size == 1


def test_the_time_of_a_decision_is_reported():
    ticks = iter([0.0, 0.5, 1.0, 2.5])
    verdict = judge(Scripted(5.0, [setting(1, 0.0)]), trial([0.0]), clock=lambda: next(ticks))
    assert [each.compute_s for each in verdict.answers] == [0.5, 1.5]
    assert (verdict.compute_s, verdict.longest_compute_s) == (1.0, 1.5)


def test_answers_that_only_look_on_are_no_decisions():
    ticks = iter([0.0, 2.0, 10.0, 10.1, 20.0, 21.0])
    policy = Scripted(4.0, [setting(2, 0.1), None, setting(2, 0.1)])
    verdict = judge(policy, trial([0.0]), clock=lambda: next(ticks))
    assert [each.is_decision for each in verdict.answers] == [True, False, True]
    assert [each.setting for each in verdict.answers] == [setting(2, 0.1)] * 3
    assert (verdict.compute_s, verdict.longest_compute_s) == (1.5, 2.0)


def test_a_frozen_policy_keeps_its_first_decision():
    policy = Scripted(1.0, [setting(2, 0.1), setting(3, 0.1)])
    verdict = judge(Frozen(policy), trial([0.5, 1.5, 2.5]))
    assert verdict.changes == [(0.0, setting(2, 0.1))]
    assert math.isinf(Frozen(policy).period_s)


def test_without_batching_the_cheapest_memory_inside_the_bound_is_picked():
    service = TableServiceTimes((1024, 2048, 3008), np.array([[0.4], [0.19], [0.15]]))
    calls = tabulate_calls(service, (1024, 2048, 3008), max_batch_size=1, prices=PRICES)
    assert cherry_picked(calls, SLO) == setting(1, 0.0, 2048)
    assert cherry_picked(calls, LatencySlo(0.95, 0.1)) == setting(1, 0.0, 3008)


@pytest.mark.parametrize(
    ("arrivals", "bounds"), [([2.0, 1.0], (0.0, 10.0)), ([1.0], (5.0, 5.0)), ([1.0], (2.0, 3.0)), ([math.nan], (0, 9))]
)
def test_a_trial_that_makes_no_sense_is_refused(arrivals, bounds):
    with pytest.raises(BadInputError):
        trial(arrivals, from_s=bounds[0], until_s=bounds[1])


@pytest.mark.parametrize(
    "wrong",
    [setting(21, 0.1), setting(2, 0.1, 2048), replace(setting(2, 0.1), processes=2)],
    ids=lambda each: f"{each}",
)
def test_a_setting_beyond_the_table_is_refused(wrong):
    with pytest.raises(BadInputError, match="setting: needs one of 2 memories"):
        judge(Fixed(wrong), trial([1.0]))


def test_a_policy_without_a_period_is_refused():
    with pytest.raises(BadInputError, match="positive period"):
        judge(Scripted(0.0, [setting(1, 0.0)]), trial([1.0]))


def test_loading_for_each_request_takes_as_long_as_one_request_and_is_billed():
    calls = reloading(CALLS, PRICES)
    assert calls.seconds == pytest.approx(CALLS.seconds + 0.044)
    assert calls.usd[1, 0] == pytest.approx(0.088 * 3008 / 1024 * 1.66667e-5 + 2e-7)
    again = tabulate_calls(AffineServiceTimes(0.054, 0.034), (1024, 3008), max_batch_size=20, prices=PRICES)
    assert calls.usd == pytest.approx(again.usd)
