"""The grid of settings: bounds, places, neighbours."""

import pytest

from controller.domain.serving_config import InstanceShape, ServingConfig
from controller.errors import BadInputError
from controller.optimizer.search_space import GRID, search_space

SHAPE = InstanceShape(max_instances=6)
DEFAULT = ServingConfig()


def space(bounds=None, present=DEFAULT, workers=1, **others):
    return search_space(present, shape=SHAPE, workers=workers, bounds=bounds or {}, **others)


def test_the_untuned_default_is_a_point_of_the_grid():
    searched = space()
    assert searched.setting(searched.places(DEFAULT)) == DEFAULT


def test_no_more_workers_than_a_server_has_started():
    assert "workers" not in space().values
    assert space(workers=3).values["workers"] == (1, 2, 3)


def test_scale_ends_where_the_platform_does_and_unbounded_stays_possible():
    assert space().values["max_scale"] == (1, 2, 3, 4, 6, 0)
    assert space().values["min_scale"] == (0, 1, 2, 3, 4, 6)


def test_bounds_of_the_user_are_kept():
    searched = space({"max_batch_size": (4, 16), "max_scale": (1, 4), "target": (8, 8)})
    assert searched.values["max_batch_size"] == (4, 8, 16)
    assert searched.values["max_scale"] == (1, 2, 3, 4)
    assert searched.fixed.target == 8


def test_in_answer_to_an_alarm_no_instances_are_held():
    assert "min_scale" not in space(may_hold=False).values
    assert space(may_hold=False, present=ServingConfig(min_scale=2)).values["min_scale"] == (0, 1, 2)


def test_the_ends_of_the_users_bounds_may_be_tried():
    searched = space({"max_batch_size": (9, 15), "max_scale": (5, 5), "max_queue_delay_s": (0.003, 0.004)})
    assert searched.values["max_batch_size"] == (9, 15)
    assert searched.values["max_queue_delay_s"] == (0.003, 0.004)
    assert searched.fixed.max_scale == 5


def test_a_bound_with_nothing_inside_that_is_possible_is_refused():
    with pytest.raises(BadInputError, match=r"workers from 9 to 15: 1 to \d is possible here; widen them"):
        space({"workers": (9, 15)})
    with pytest.raises(BadInputError, match=r"max_batch_size from 9.2 to 9.8: nothing lies between"):
        space({"max_batch_size": (9.2, 9.8)})


def test_an_unknown_knob_is_refused():
    with pytest.raises(BadInputError, match="unknown setting 'batch'"):
        space({"batch": (1, 2)})


def test_a_setting_between_two_points_goes_to_the_nearer():
    searched = space()
    places = searched.places(ServingConfig(max_batch_size=30, max_scale=5))
    assert GRID["max_batch_size"][places["max_batch_size"]] == 32
    assert searched.values["max_scale"][places["max_scale"]] in {4, 6}


def test_a_least_scale_above_the_most_is_lowered():
    searched = space()
    places = searched.places(DEFAULT) | {"min_scale": 4, "max_scale": 0}
    assert searched.setting(places).min_scale == 1


def test_neighbours_differ_in_one_knob():
    for neighbour in space().one_at_a_time(DEFAULT):
        assert len(neighbour.changes_from(DEFAULT)) == 1


def test_knobs_that_are_not_searched_keep_their_value():
    present = ServingConfig(container_concurrency=12, max_queue_length=500)
    assert all(each.container_concurrency == 12 for each in space(present=present).one_at_a_time(present))


def test_a_least_scale_that_the_user_bounded_raises_the_most():
    searched = space({"min_scale": (2, 4)})
    for place in range(len(searched.values["max_scale"])):
        found = searched.setting(searched.places(DEFAULT) | {"min_scale": 2, "max_scale": place})
        assert found.min_scale >= 2
    found = searched.setting(searched.places(DEFAULT) | {"min_scale": 2, "max_scale": 0})
    assert (found.min_scale, found.max_scale) == (2, 2)


def test_a_most_that_the_user_bounded_below_the_least_is_kept():
    searched = space({"min_scale": (3, 4), "max_scale": (1, 2)})
    found = searched.setting(searched.places(DEFAULT) | {"min_scale": 0, "max_scale": 1})
    assert (found.min_scale, found.max_scale) == (2, 2)


@pytest.mark.parametrize(
    ("present", "bounds", "expected"),
    [
        ({"max_scale": 1}, {"min_scale": (2, 2)}, (2, 2)),
        ({"min_scale": 3}, {"max_scale": (1, 1)}, (1, 1)),
    ],
)
def test_a_bound_on_one_end_of_the_scale_moves_the_other_where_it_is_in_the_way(present, bounds, expected):
    shape = InstanceShape(max_instances=6)
    space = search_space(ServingConfig(**present), shape=shape, workers=1, bounds=bounds)
    assert (space.fixed.min_scale, space.fixed.max_scale) == expected
