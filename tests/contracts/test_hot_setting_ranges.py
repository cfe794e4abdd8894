"""Controller and server accept the same hot settings: what one takes and the other refuses ends a service.

A setting that only the server refuses is written into the environment of the next server, which then does not start.
"""

import pytest

from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.telemetry.outbox import HOT_SETTINGS
from inference_service.errors import InvalidInputError
from inference_service.hot_settings import HotSettings, parse_hot_settings

PRESENT = HotSettings(0, 8, 512, 0.0, 1000, 1)
VALUES = (-1, 0, 1, 60, 61, 256, 257, 1024, 1025, 10**6, 10**6 + 1, 2**20, 2**20 + 1, 10**9, 2**53, 10**400)
ODD_VALUES = (0.5, 60.5, -0.5, float("inf"), float("nan"), True, "8", None)


def server_takes(name, value):
    try:
        parse_hot_settings({"generation": 1, name: value}, present=PRESENT)
    except InvalidInputError:
        return False
    return True


def controller_takes(name, value):
    try:
        ServingConfig.from_document({name: value}, where="test")
    except BadInputError:
        return False
    return True


@pytest.mark.parametrize("name", HOT_SETTINGS)
def test_both_sides_take_and_refuse_the_same_values(name):
    values = [*VALUES, *ODD_VALUES]
    assert [controller_takes(name, value) for value in values] == [server_takes(name, value) for value in values]
