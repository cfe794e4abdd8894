"""The cheapest setting that keeps an objective, and the cost of each that does."""

import numpy as np
import pytest

from controller.domain.function_grid import FunctionGrid
from controller.domain.prices import load_prices
from controller.performance_model.cheapest_calls import Punctuality, cost_on_time_usd, find_cheapest
from controller.performance_model.poisson_calls import CallLoad, PricedCalls

PRICES = load_prices().lambda_x86
GRID = FunctionGrid(most_per_process=8, most_processes=2, memories_mb=(512, 1024, 2048))
LOAD = CallLoad(10.0, 1.0)
NOISE = np.array([0.9, 1.0, 1.0, 1.1])
RESERVES = (1.0, 1.05, 1.12)


def call_s():
    b, c, memory_mb = GRID.axes
    return 0.02 + (0.06 + 0.045 * b) * c / np.minimum(1.0, memory_mb / 1769)


def table(**kwargs):
    return PricedCalls(GRID, call_s(), PRICES, **kwargs)


def test_the_cheapest_is_the_least_of_what_each_setting_costs_on_time():
    rule = Punctuality(0.05, NOISE, RESERVES)
    best = find_cheapest(table(), LOAD, rule)
    costs = cost_on_time_usd(table(), LOAD, rule, below_usd=np.inf)
    assert best.cost_usd == pytest.approx(costs.min())
    assert best.place == int(np.argmin(costs))
    assert best.late_share <= 0.05


def test_what_costs_more_than_asked_for_is_not_told():
    rule = Punctuality(0.05, NOISE, RESERVES)
    costs = cost_on_time_usd(table(), LOAD, rule, below_usd=np.inf)
    middle = float(np.median(costs))
    below = cost_on_time_usd(table(), LOAD, rule, below_usd=middle)
    assert np.array_equal(below, np.where(costs < middle, costs, np.inf))


def test_noise_known_from_few_calls_asks_for_more_than_noise_known_from_many():
    few, many = (
        find_cheapest(table(), CallLoad(40.0, 0.4), Punctuality(0.05, NOISE, RESERVES, doubt=2.0, calls=calls))
        for calls in (8, 8000)
    )
    assert few.cost_usd > many.cost_usd


def test_times_that_are_not_known_for_sure_shorten_the_wait_and_not_the_price():
    slow_s = 1.2 * call_s()
    cautious = table(cautious_s=(slow_s, slow_s))
    assert np.array_equal(cautious.calls_usd, table().calls_usd)
    rule = Punctuality(0.05, NOISE, RESERVES)
    assert find_cheapest(cautious, LOAD, rule).cost_usd > find_cheapest(table(), LOAD, rule).cost_usd


def test_some_settings_alone_are_judged_as_among_all():
    rule, places = Punctuality(0.05, NOISE, RESERVES), np.array([3, 17, 40])
    alone = cost_on_time_usd(table(places=places), LOAD, rule, below_usd=np.inf)
    assert np.array_equal(alone, cost_on_time_usd(table(), LOAD, rule, below_usd=np.inf)[places])


def test_where_nothing_keeps_the_objective_there_is_none():
    assert find_cheapest(table(), CallLoad(10.0, 0.01), Punctuality(0.05, NOISE, RESERVES)) is None
