"""JBMP and ours online: what is paid, how soon a tenfold step is followed, and streams that nobody shares."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from controller.baselines.call_table import tabulate_calls
from controller.baselines.fixed import Fixed
from controller.baselines.function_plan import FunctionPlan, evaluation_usd
from controller.baselines.judge import Trial, judge
from controller.domain.function_grid import FunctionSetting
from controller.domain.function_times import FunctionSample
from controller.domain.prices import load_prices
from controller.domain.service_time import AffineServiceTimes
from controller.domain.slo import LatencySlo
from controller.performance_model.prediction import TimerSetting
from controller.reproduce.jbmp_contest import KEPT, RELOADING, TIDEGATE
from controller.reproduce.jbmp_online import (
    DESIGNS,
    NAIVE,
    WARM,
    OnlineOutcome,
    back_inside_s,
    followed_s,
    tenfold_steps,
    warming_cost_usd,
)
from controller.reproduce.jbmp_online_rows import online_requirements, online_rows
from controller.reproduce.online_traffic import STEPS, tenfold
from controller.reproduce.streams import Purpose, luck, stream

PRICES = load_prices().lambda_x86
CALLS = tabulate_calls(AffineServiceTimes(0.1, 0.1), (1024,), max_batch_size=4, prices=PRICES)
ONE = TimerSetting(max_batch_size=1, max_queue_delay_s=0.0, memory_mb=1024)


def plan(from_s, rate_rps, warming_calls=0):
    return FunctionPlan(from_s, ONE, rate_rps, warming_calls)


def test_tenfold_traffic_steps_between_the_middles_of_two_levels():
    traffic = tenfold(np.random.default_rng(1), 5)
    steps = tenfold_steps(traffic)
    assert {rate for _, rate in steps} == {6.25, 62.5}
    assert all(1200 <= b - a <= 2400 for (a, _), (b, _) in pairwise(steps))
    assert tenfold_steps(replace(traffic, name="other")) == []


def test_a_step_is_followed_by_the_first_plan_for_about_its_rate():
    steps = [(1000.0, 62.5), (2000.0, 6.25)]
    plans = [plan(0.0, 6.25), plan(1003.0, 20.0), plan(1008.0, 60.0), plan(1500.0, 62.5), plan(2300.0, 7.0)]
    assert list(followed_s(plans, steps, 3000.0)) == [8.0, 300.0]


def test_a_step_that_nobody_follows_counts_to_the_end_of_its_phase():
    assert list(followed_s([plan(0.0, 10.0)], [(1000.0, 62.5), (2000.0, 6.25)], 3000.0)) == [1000.0, 1000.0]


def test_p95_is_back_after_the_last_bin_beyond_the_bound():
    arrival_s = np.arange(0.0, 700.0, 0.5)
    trial = Trial(arrival_s, 0.0, 700.0, CALLS, LatencySlo(0.95, 0.5))
    verdict = judge(Fixed(ONE), trial)
    assert back_inside_s(trial, verdict, [50.0]) == 0.0
    slow = np.where((arrival_s >= 62) & (arrival_s < 75), 9.0, verdict.latency_s)
    assert back_inside_s(trial, replace(verdict, latency_s=slow), [50.0]) == 30.0


def test_warming_and_measuring_cost_what_their_calls_do():
    # One request takes 0.2 s on 1 GB.
    one_usd = 0.2 * PRICES.gb_second_usd + PRICES.request_usd
    assert warming_cost_usd([plan(0.0, 1.0), plan(5.0, 1.0, 3)], CALLS) == pytest.approx(3 * one_usd)
    sample = FunctionSample(FunctionSetting(1, 1, 1024), (0.19, 0.21))
    assert evaluation_usd(sample, PRICES) == pytest.approx(3 * one_usd)
    assert evaluation_usd(FunctionSample(FunctionSetting(1, 1, 128), ()), PRICES) == 0


def outcome(design, usd, **changes):
    good = OnlineOutcome(STEPS, "resnet", 1, design, usd, 0.01, 0.0, 1.5, 10.0, 4, (), 0.0)
    return replace(good, **changes)


GOOD = [
    outcome(NAIVE, 10.0),
    outcome(WARM, 4.0),
    outcome(RELOADING, 2.5, followed_s=(150.0, 700.0)),
    outcome(KEPT, 1.1, followed_s=(150.0, 700.0)),
    outcome(TIDEGATE, 1.0, followed_s=(6.0, 7.0)),
]


def missed(**changes):
    return [each.text for each in online_requirements([*GOOD[:-1], replace(GOOD[-1], **changes)]) if not each.holds]


def test_what_is_required_online_holds_where_ours_leads():
    assert missed() == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"window_violation_ratio": 0.06}, "online: windows violated, share"),
        ({"usd_per_million": 3.9}, "online: cost over loading for each request"),
        ({"usd_per_million": 3.1}, "online: cost over warm, unbatched"),
        ({"usd_per_million": 2.2}, "online: cost over JBMP, model loaded"),
        ({"usd_per_million": 1.2}, "online: cost over JBMP, warm workers"),
        ({"followed_s": (6.0, 31.0)}, "online: s to follow a tenfold step, longest"),
        ({"back_s": 40.0}, "online: s until p95 is back inside after it"),
    ],
)
def test_each_requirement_online_can_be_missed(changes, text):
    assert text in missed(**changes)


def test_jbmp_that_reacts_too_soon_is_not_jbmp():
    quick = [replace(each, followed_s=(100.0,)) if each.design == KEPT else each for each in GOOD]
    assert [each.text for each in online_requirements(quick) if not each.holds] == [
        "reproduced: s by which JBMP's mean is below 150"
    ]


def test_rows_stand_beside_ours_under_the_same_traffic():
    rows = list(online_rows(GOOD))
    assert {row.design for row in rows} == set(DESIGNS[:2]) | {RELOADING, KEPT}
    mean = next(row for row in rows if row.design == KEPT and row.quantity.endswith("mean"))
    assert (mean.reproduced, mean.ours, mean.trace, mean.service) == (425.0, 6.5, STEPS, "resnet")


def test_no_two_purposes_places_or_seeds_share_a_stream():
    places = [(), (0,), (1,), (0, 0), (1, 0), (10, 0)]
    first = [
        float(stream(seed, purpose, *place).random()) for seed in (0, 1, 10) for purpose in Purpose for place in places
    ]
    assert len(set(first)) == len(first) == 3 * len(Purpose) * len(places)
    assert luck(1, Purpose.SAVING_NOISE, 0) == luck(1, Purpose.SAVING_NOISE, 0) != luck(1, Purpose.SAVING_NOISE, 1)
    assert math.log2(luck(2, Purpose.SAVING_NOISE, 0)) > 32
