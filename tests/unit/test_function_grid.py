import numpy as np
import pytest

from controller.domain.function_grid import FunctionGrid, FunctionSetting
from controller.errors import BadInputError

GRID = FunctionGrid(most_per_process=4, most_processes=3, memories_mb=(128, 160, 1024))


def test_places_and_settings_are_each_others_inverse():
    assert [GRID.place(GRID.setting(place)) for place in range(36)] == list(range(36))


def test_a_memory_beside_the_grid_is_taken_to_the_nearest():
    assert GRID.setting(GRID.place(FunctionSetting(2, 3, 900))) == FunctionSetting(2, 3, 1024)


def test_a_setting_outside_is_refused():
    with pytest.raises(BadInputError, match="is outside"):
        GRID.place(FunctionSetting(5, 1, 128))


@pytest.mark.parametrize("memories", [(), (256, 128), (0, 128), (128, 128)])
def test_memories_that_do_not_rise_are_refused(memories):
    with pytest.raises(BadInputError, match="memories must be positive and rise"):
        FunctionGrid(memories_mb=memories)


def test_a_call_takes_as_long_as_its_fullest_process():
    b, c, _ = GRID.axes
    times = GRID.by_fill(np.broadcast_to(100 * c + b, GRID.shape), 5)
    # 5 requests: one process that takes 4 is full already, two take 3 and 2, three take 2, 2 and 1.
    assert times[3, :, 0].tolist() == [104, 203, 302]


def test_no_more_processes_start_than_there_are_requests():
    b, c, _ = GRID.axes
    assert GRID.by_fill(np.broadcast_to(100 * c + b, GRID.shape), 2)[3, :, 0].tolist() == [102, 201, 201]
