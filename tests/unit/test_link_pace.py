"""How often a sender may be heard: servers always, a flood no oftener than it is told."""

import pytest

from controller.telemetry.pace import BURST, HEARTBEATS_PER_S, Pace


def test_a_server_that_repeats_each_heartbeat_and_drains_is_always_heard():
    pace = Pace()
    instants = [second + late for second in range(600) for late in (0.0, 0.001)] + [599.5, 599.6]
    assert all(pace.allows("pod", at_s) for at_s in instants)


def test_a_flood_is_heard_as_often_as_it_may_be_and_no_oftener():
    pace = Pace()
    heard = sum(pace.allows("pod", number / 1000) for number in range(60_000))
    assert heard == pytest.approx(BURST + 60 * HEARTBEATS_PER_S, abs=1)


def test_so_many_at_once_are_heard_and_one_more_after_a_pause():
    pace = Pace()
    assert [pace.allows("pod", 5.0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert pace.allows("pod", 5.0 + 1.01 / HEARTBEATS_PER_S)


def test_the_flood_of_one_does_not_silence_another():
    pace = Pace()
    for _ in range(100):
        pace.allows("flood", 1.0)
    assert pace.allows("pod", 1.0)


def test_who_is_silent_takes_no_memory():
    pace = Pace()
    for number in range(10_000):
        pace.allows(str(number), number / 100)
    assert len(pace) <= 100 * BURST / HEARTBEATS_PER_S + 1
