import numpy as np
import pytest

from controller.performance_model.pod import Pod
from controller.performance_model.routing import router


def pods(*held, bound):
    made = [Pod(f"pod-{place}", 1, bound, 0.0) for place in range(len(held))]
    for pod, count in zip(made, held, strict=True):
        pod.held = count
    return made


def chosen(routing, ready, times=1):
    choose = router(routing, np.random.default_rng(0)).choose
    return [pod and ready.index(pod) for pod in (choose(ready) for _ in range(times))]


def test_the_least_loaded_with_room_is_taken_and_of_equals_the_oldest():
    assert chosen("least_loaded", pods(2, 1, 1, bound=4)) == [1]


@pytest.mark.parametrize("routing", ["least_loaded", "knative"])
@pytest.mark.parametrize("held", [(), (4,), (4, 4)])
def test_none_is_taken_where_none_has_room(routing, held):
    assert chosen(routing, pods(*held, bound=4)) == [None]


def test_knative_goes_round_and_passes_over_the_full():
    assert chosen("knative", pods(0, 4, 3, bound=4), 4) == [0, 2, 0, 2]


def test_knative_goes_on_from_the_begin_when_the_last_is_gone():
    router_ = router("knative", np.random.default_rng(0))
    three = pods(0, 0, 0, bound=4)
    for pod in three[:2]:
        assert router_.choose(three) is pod
    assert router_.choose(three[:2]) is three[0]


def test_knative_fills_the_first_where_few_may_be_held():
    assert chosen("knative", pods(0, 0, bound=3), 3) == [0, 0, 0]
    assert chosen("knative", pods(3, 0, bound=3)) == [1]


def test_knative_takes_the_less_loaded_of_two_where_nothing_bounds():
    assert chosen("knative", pods(5, 2, bound=0), 20) == [1] * 20
    # The most loaded of three is never the less loaded of two; the others are met about as often.
    found = chosen("knative", pods(1, 9, 1, bound=0), 300)
    assert 1 not in found
    assert 110 < found.count(0) < 190
