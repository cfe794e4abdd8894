"""Generations of hot settings on their way to the servers."""

import pytest

from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.telemetry.outbox import Outbox, hot_settings_of

HOT = hot_settings_of(ServingConfig())


def test_nothing_is_desired_at_first():
    assert Outbox().current() is None


def test_a_change_gets_a_new_generation():
    outbox = Outbox(generation=4)
    assert outbox.set(HOT) == 5
    assert outbox.set(HOT | {"max_batch_size": 16}) == 6
    assert outbox.current() == {"generation": 6, **HOT, "max_batch_size": 16}


def test_the_same_settings_keep_their_generation():
    outbox = Outbox()
    outbox.set(HOT)
    assert outbox.set(dict(HOT)) == 1


def test_a_server_with_a_higher_generation_is_overruled():
    outbox = Outbox()
    outbox.set(HOT)
    outbox.saw(7)
    assert outbox.current() == {"generation": 8, **HOT}


def test_before_anything_is_desired_a_seen_generation_is_only_remembered():
    outbox = Outbox()
    outbox.saw(7)
    assert outbox.current() is None
    assert outbox.set(HOT) == 8


def test_unknown_names_are_refused():
    with pytest.raises(BadInputError, match="needs exactly max_batch_size"):
        Outbox().set({"max_batch_size": 8})
