"""Settings: defaults, bounds, what a change costs."""

from __future__ import annotations

import pytest

from controller.domain.serving_config import PRICE_OF_CHANGE, ServingConfig
from controller.errors import BadInputError


def test_a_document_round_trips():
    config = ServingConfig(max_batch_size=16, target=7.5, max_scale=3)
    assert ServingConfig.from_document(config.to_document(), where="x") == config


def test_every_setting_has_a_price():
    assert set(PRICE_OF_CHANGE) == set(ServingConfig().to_document())


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "needs an object"),
        ({"max_batchsize": 4}, "unknown setting 'max_batchsize'"),
        ({"max_batch_size": 0}, "setting max_batch_size"),
        ({"max_batch_size": 2.5}, "setting max_batch_size"),
        ({"workers": True}, "setting workers"),
        ({"max_queue_delay_s": float("nan")}, "setting max_queue_delay_s"),
        ({"target": "many"}, "setting target"),
        ({"batch_tokens": 10**9 + 1}, "batch_tokens: needs a whole number of at most 1048576, got 1000000001"),
        ({"max_queue_delay_s": 61}, "max_queue_delay_s: needs a number of at most 60, got 61"),
        ({"target": 10**5000}, "target: needs a number .* got a larger one"),
        ({"max_scale": 2**53 + 1}, "setting max_scale"),
        ({"min_scale": 3, "max_scale": 2}, "min_scale: 3 is above max_scale 2"),
    ],
)
def test_a_bad_setting_is_named(document, named):
    with pytest.raises(BadInputError, match=named):
        ServingConfig.from_document(document, where="settings.json")


def test_changes_name_the_old_and_the_new_value():
    assert ServingConfig(workers=2).changes_from(ServingConfig()) == {"workers": (1, 2)}


def test_an_alarm_moves_hot_and_warm_settings_only():
    wanted = ServingConfig(max_batch_size=32, max_scale=2, container_concurrency=12)
    moved = ServingConfig().with_prices(wanted, {"hot", "warm"})
    assert moved.changes_from(ServingConfig()).keys() == {"max_batch_size", "max_scale"}
