"""Which settings a grid visits and a random search draws."""

import pytest

from controller.errors import BadInputError
from controller.sweeps.grid import grid_settings, grid_values, nearest, random_setting
from controller.sweeps.parameters import Choices, Interval, Parameter

SIZES = Parameter("maxBatchSize", "max_batch_size", Choices((1, 8)))
DELAYS = Parameter("maxQueueDelay", "max_queue_delay_s", Choices((0.0, 0.01)))
TOKENS = Parameter("batchTokens", "batch_tokens", Interval(64, 1000, is_whole=True, is_log=True))


def test_a_grid_visits_every_combination_and_varies_the_last_parameter_fastest():
    assert grid_settings([SIZES, DELAYS]) == [
        {"max_batch_size": 1, "max_queue_delay_s": 0.0},
        {"max_batch_size": 1, "max_queue_delay_s": 0.01},
        {"max_batch_size": 8, "max_queue_delay_s": 0.0},
        {"max_batch_size": 8, "max_queue_delay_s": 0.01},
    ]


def test_a_grid_leaves_out_settings_that_do_not_go_together():
    least = Parameter("minScale", "min_scale", Choices((0, 2)))
    most = Parameter("maxScale", "max_scale", Choices((1, 0)))

    assert {"min_scale": 2, "max_scale": 1} not in grid_settings([least, most])
    assert {"min_scale": 2, "max_scale": 0} in grid_settings([least, most])


def test_a_grid_without_any_possible_setting_is_refused():
    least = Parameter("minScale", "min_scale", Choices((3,)))
    most = Parameter("maxScale", "max_scale", Choices((1,)))

    with pytest.raises(BadInputError, match="no combination is possible"):
        grid_settings([least, most])


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Interval(64, 1000, is_whole=True, is_log=True), (64, 128, 256, 512, 1000)),
        (Interval(64, 128, is_whole=True, is_log=True), (64, 128)),
        (Interval(5, 5, is_whole=True, is_log=True), (5,)),
        (Interval(2, 4, is_whole=True, is_log=False), (2, 3, 4)),
    ],
)
def test_a_range_becomes_doublings_or_whole_numbers(domain, values):
    assert grid_values(domain) == values


def test_a_range_of_decimals_needs_a_step():
    target = Parameter("target", "target", Interval(0.5, 2.0, is_whole=False, is_log=False))

    with pytest.raises(BadInputError, match=r"spec.parameters\[1\] \(target\): strategy Grid needs a step"):
        grid_settings([SIZES, target])


def test_a_grid_of_too_many_settings_is_refused():
    axes = [Parameter(f"p{index}", f"p{index}", Choices(tuple(range(1, 31)))) for index in range(3)]

    with pytest.raises(BadInputError, match="27000 settings, more than 10000"):
        grid_settings(axes)


def test_random_settings_depend_on_the_seed_and_what_was_tried():
    first = random_setting([TOKENS, DELAYS], [], seed=1)

    assert first is not None
    assert random_setting([TOKENS, DELAYS], [], seed=1) == first
    assert random_setting([TOKENS, DELAYS], [first], seed=1) != first
    assert 64 <= first["batch_tokens"] <= 1000
    assert isinstance(first["batch_tokens"], int)


def test_a_random_search_ends_when_everything_was_tried():
    taken = []
    while (setting := random_setting([SIZES, DELAYS], taken, seed=5)) is not None:
        taken.append(setting)

    assert sorted(map(str, taken)) == sorted(map(str, grid_settings([SIZES, DELAYS])))


@pytest.mark.parametrize(("value", "expected"), [(0, 1), (4, 1), (7, 8), (100, 8)])
def test_the_nearest_choice_is_found(value, expected):
    assert nearest(SIZES.domain, value) == expected


def test_the_nearest_value_of_a_range_stays_inside():
    assert nearest(TOKENS.domain, 5) == 64
    assert nearest(TOKENS.domain, 512) == 512
