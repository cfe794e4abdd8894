"""To which instance the activator sends a request, on the tables of a simulation."""

import pytest

from controller.domain.serving_config import AutoscalerSettings, InstanceShape
from controller.performance_model.pod_routing import choose_pod
from controller.performance_model.pod_state import NOBODY, Pod
from controller.performance_model.pod_tables import PodTables
from controller.performance_model.tables import PlainTables


def tables_of(routing, *held, bound, turn=0):
    made = PodTables(PlainTables(), InstanceShape(routing=routing), AutoscalerSettings())
    made.now.ready, made.now.next_in_turn = len(held), turn
    pods = [Pod(bound=bound, held=each) for each in held]
    made.state = made.state._replace(pods=pods, ready=list(range(len(held))))
    return made


def chosen(routing, *held, bound, times=1, turn=0):
    tables = tables_of(routing, *held, bound=bound, turn=turn)
    return [choose_pod(tables.state) for _ in range(times)]


def test_the_least_loaded_with_room_is_taken_and_of_equals_the_oldest():
    assert chosen("least_loaded", 2, 1, 1, bound=4) == [1]


@pytest.mark.parametrize("routing", ["least_loaded", "knative"])
@pytest.mark.parametrize("held", [(), (4,), (4, 4)])
def test_none_is_taken_where_none_has_room(routing, held):
    assert chosen(routing, *held, bound=4) == [NOBODY]


def test_knative_goes_round_and_passes_over_the_full():
    assert chosen("knative", 0, 4, 3, bound=4, times=4) == [0, 2, 0, 2]


def test_knative_goes_on_from_the_begin_when_the_last_is_gone():
    assert chosen("knative", 0, 0, bound=4, turn=2) == [0]


def test_knative_fills_the_first_where_few_may_be_held():
    assert chosen("knative", 0, 0, bound=3, times=3) == [0, 0, 0]
    assert chosen("knative", 3, 0, bound=3) == [1]


def test_knative_takes_the_less_loaded_of_two_where_nothing_bounds():
    assert chosen("knative", 5, 2, bound=0, times=20) == [1] * 20
    # The most loaded of three is never the less loaded of two; the others are met about as often.
    found = chosen("knative", 1, 9, 1, bound=0, times=300)
    assert 1 not in found
    assert 110 < found.count(0) < 190
