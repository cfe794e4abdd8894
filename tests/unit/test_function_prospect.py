"""What a belief promises, and which measurement it calls worth making."""

import numpy as np
import pytest

from controller.domain.function_grid import FunctionGrid, FunctionSetting
from controller.domain.function_times import FunctionBelief
from controller.domain.prices import load_prices
from controller.optimizer.function_prospect import Prospect
from controller.performance_model.poisson_calls import CallLoad

PRICES = load_prices().lambda_x86
GRID = FunctionGrid(most_per_process=8, most_processes=1, memories_mb=tuple(range(512, 2049, 256)))
CALM = np.exp(0.04 * np.linspace(-2, 2, 168))


def law_s():
    b, c, memory_mb = GRID.axes
    return 0.02 + (0.06 + 0.045 * b) * c / np.minimum(1.0, memory_mb / 1769)


def prospect(error, *, seconds=None, noise=CALM, load=None, fits=True):
    errors, fit = np.broadcast_to(error, GRID.shape), np.broadcast_to(fits, GRID.shape)
    belief = FunctionBelief(law_s() if seconds is None else seconds, errors, 0.01, noise, fit)
    return Prospect(GRID, PRICES, load or CallLoad(10.0, 0.6), belief)


def only_at(setting, error, *, elsewhere=0.0):
    errors = np.full(GRID.shape, elsewhere)
    errors.flat[GRID.place(setting)] = error
    return errors


def test_what_is_known_less_is_promised_less():
    costs = [prospect(error).cheapest().cost_usd for error in (0.0, 0.05, 0.1)]
    assert costs == sorted(costs)
    assert costs[0] < costs[2]


def test_noise_known_from_few_calls_promises_less():
    slowed = np.where(np.arange(24) % 8 == 0, 1.35, 1.0)
    load = CallLoad(5.0, 0.4)
    few, many = (prospect(0.0, noise=np.tile(slowed, times), load=load).cheapest().cost_usd for times in (1, 100))
    assert few > many


def test_a_setting_that_may_turn_out_cheaper_is_measured():
    at = FunctionSetting(8, 1, 512)
    slow = law_s()
    slow.flat[GRID.place(at)] *= 0.7
    doubtful = prospect(only_at(at, 0.3), seconds=slow)
    safe = doubtful.cheapest()
    assert safe.place != GRID.place(at)
    assert doubtful.worth_measuring(safe, [safe.place]) == GRID.place(at)


def test_where_all_is_known_the_setting_about_to_be_returned_is_measured_again():
    known = prospect(0.0)
    safe = known.cheapest()
    assert known.worth_measuring(safe, [safe.place]) == safe.place


def test_where_nothing_is_worth_measuring_errors_are_doubted_but_not_where_one_has_looked():
    sure = prospect(0.012)
    safe = sure.cheapest()
    tried = [safe.place]
    assert sure.worth_measuring(safe, tried) not in tried


def test_calls_that_leave_before_they_are_full_are_measured_where_they_decide():
    full = GRID.place(FunctionSetting(8, 1, 2048))
    errors = np.where(GRID.axes[0] == 8, 0.0, 0.2)
    alone = np.arange(law_s().size).reshape(GRID.shape) == full
    flat = np.broadcast_to(0.3 + 0.01 * GRID.axes[0], GRID.shape)
    only_full = prospect(errors, seconds=flat, fits=alone, load=CallLoad(4.0, 0.75))
    safe = only_full.cheapest()
    assert safe.place == full
    chosen = GRID.setting(only_full.worth_measuring(safe, [full]))
    assert chosen.per_process < 8
    assert chosen.memory_mb == 2048


def test_without_a_safe_setting_one_that_may_become_so_is_measured():
    tight = prospect(0.2, load=CallLoad(10.0, 0.15))
    assert tight.cheapest() is None
    assert 0.8 * law_s().flat[tight.worth_measuring(None, [])] < 0.15


def test_where_nothing_can_become_safe_nothing_is_measured():
    assert prospect(0.01, load=CallLoad(10.0, 0.05)).worth_measuring(None, []) is None


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_a_promise_keeps_the_objective_on_calls_as_slow_as_their_error_bar(error):
    found = prospect(error).cheapest()
    assert found.late_share <= 0.05
    assert found.timeout_s <= 0.6 - 0.96 * law_s().flat[found.place] * (1 + 2 * error)
