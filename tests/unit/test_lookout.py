"""When a search is due."""

import numpy as np
import pytest

from controller.domain.prices import ClusterPrices
from controller.domain.slo import LatencySlo
from controller.monitor.detection import default_detection
from controller.monitor.lookout import Look, Lookout
from controller.monitor.traffic import Traffic, TrafficChange
from controller.settings import LoopSettings

SETTINGS = LoopSettings(slo=LatencySlo(0.95, 0.5), prices=ClusterPrices(1.0, 1.0))
LOOK = Look("alarm", "rate rose 4 → 12/s")
ROSE = TrafficChange(40.0, "rate", 12.0, 96.0)


def traffic(counts):
    seen = Traffic(default_detection())
    seen.update(0, np.array(counts), np.zeros(len(counts), dtype=bool))
    return seen


@pytest.fixture
def lookout():
    return Lookout(SETTINGS)


def test_the_first_look_waits_for_three_seconds_or_fifty_batches(lookout):
    assert lookout.next_look(1.0, traffic([9]), batches=9) is None
    assert lookout.next_look(1.0, traffic([60]), batches=50).trigger == "start"
    assert lookout.next_look(3.0, traffic([9, 9, 9]), batches=9).trigger == "start"


def test_nothing_is_searched_without_a_single_batch(lookout):
    assert lookout.next_look(9.0, traffic([9] * 9), batches=0) is None


def test_an_alarm_asks_for_a_search_once(lookout):
    lookout.looked(LOOK, 0.0, tried_rps=50.0)
    lookout.take([ROSE])
    look = lookout.next_look(5.0, traffic([9] * 5), batches=50)
    assert (look.trigger, look.cause) == ("alarm", "rate rose 12 → 96/s")
    lookout.looked(LOOK, 5.0, tried_rps=50.0)
    assert lookout.next_look(6.0, traffic([9] * 6), batches=50) is None


def test_a_regime_outweighs_an_alarm(lookout):
    lookout.looked(LOOK, 0.0, tried_rps=50.0)
    lookout.take([TrafficChange(30.0, "regime", 30.0, 12.0), ROSE])
    look = lookout.next_look(41.0, traffic([9] * 41), batches=50)
    assert (look.trigger, look.cause) == ("regime", "rate fell for good, 30 → 12/s")


def test_a_rise_to_what_was_tried_needs_no_search(lookout):
    lookout.looked(LOOK, 0.0, tried_rps=100.0)
    lookout.take([ROSE])
    assert lookout.next_look(41.0, traffic([9] * 41), batches=50).tried_rps == 100.0
    lookout.dismissed()
    lookout.take([TrafficChange(42.0, "rate", 96.0, 130.0)])
    assert lookout.next_look(43.0, traffic([9] * 43), batches=50).tried_rps == 0


def test_a_fall_asks_for_a_search_only_when_it_has_lasted(lookout):
    lookout.looked(LOOK, 0.0, tried_rps=50.0)
    lookout.take([TrafficChange(10.0, "rate", 96.0, 12.0)])
    assert lookout.next_look(11.0, traffic([9] * 11), batches=50) is None
    assert lookout.next_look(30.0, traffic([9] * 30), batches=50).trigger == "alarm"


def test_searches_that_find_nothing_become_rare_until_something_happens(lookout):
    lookout.looked(LOOK, 0.0, tried_rps=50.0)
    for _ in range(3):
        lookout.found(is_change=False)
    assert lookout.next_look(119.0, traffic([9] * 119), batches=50) is None
    assert lookout.next_look(120.0, traffic([9] * 120), batches=50).trigger == "periodic"
    lookout.found(is_change=True)
    assert lookout.next_look(30.0, traffic([9] * 30), batches=50).trigger == "periodic"


def test_searches_do_not_become_rare_while_answers_are_slow(lookout):
    lookout.looked(LOOK, 0.0, tried_rps=50.0)
    lookout.found(is_change=False)
    lookout.heed(is_slow=False)
    assert lookout.next_look(30.0, traffic([9] * 30), batches=50) is None
    lookout.heed(is_slow=True)
    assert lookout.next_look(30.0, traffic([9] * 30), batches=50).trigger == "periodic"


def test_two_searches_are_some_seconds_apart(lookout):
    lookout.looked(LOOK, 40.0, tried_rps=50.0)
    lookout.take([ROSE])
    assert lookout.next_look(44.0, traffic([9] * 44), batches=50) is None


def test_a_search_is_due_every_thirty_seconds(lookout):
    lookout.looked(LOOK, 10.0, tried_rps=50.0)
    assert lookout.next_look(39.0, traffic([9] * 39), batches=50) is None
    assert lookout.next_look(40.0, traffic([9] * 40), batches=50).trigger == "periodic"


def test_nothing_is_searched_for_traffic_that_is_gone(lookout):
    lookout.take([ROSE])
    assert lookout.next_look(50.0, traffic([9, 9, 9, 0, 0]), batches=50) is None


def test_an_outdated_search_is_repeated_at_once_for_the_same_reason(lookout):
    lookout.looked(LOOK, 10.0, tried_rps=50.0)
    lookout.look_again()
    assert lookout.next_look(11.0, traffic([9] * 11), batches=50) == LOOK
    lookout.looked(LOOK, 11.0, tried_rps=50.0)
    assert lookout.next_look(12.0, traffic([9] * 12), batches=50) is None


def test_what_came_to_light_with_an_answer_is_the_reason_of_the_next_search(lookout):
    lookout.looked(LOOK, 10.0, tried_rps=50.0)
    lookout.look_again("slow answers took 2 s and not 1")
    assert lookout.next_look(11.0, traffic([9] * 11), batches=50) == Look("periodic", "slow answers took 2 s and not 1")


def test_what_happened_during_a_search_in_vain_is_a_reason_that_was_not_tried(lookout):
    lookout.looked(LOOK, 10.0, tried_rps=100.0)
    lookout.look_again()
    lookout.take([ROSE])
    look = lookout.next_look(41.0, traffic([9] * 41), batches=50)
    assert (look.cause, look.tried_rps) == ("rate rose 12 → 96/s", 0.0)


def test_a_regime_whose_search_was_in_vain_outweighs_a_later_alarm(lookout):
    regime = Look("regime", "rate fell for good, 30 → 12/s")
    lookout.looked(regime, 10.0, tried_rps=50.0)
    lookout.look_again()
    lookout.take([ROSE])
    assert lookout.next_look(41.0, traffic([9] * 41), batches=50) == regime
