import numpy as np
import pytest

from controller.baselines.change_detectors import IN_HINDSIGHT, ONLINE, jbmp, nothing

COUNTS = np.concatenate([np.random.default_rng(1).poisson(10, 330), np.random.default_rng(2).poisson(25, 290)])
METHODS = {name: method for name, method in (ONLINE | IN_HINDSIGHT).items() if method not in (nothing, jbmp)}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_names_a_plain_step_once_and_nothing_else(name):
    (named,) = METHODS[name](COUNTS)
    assert named.change_bin == pytest.approx(330, abs=5)
    assert named.change_bin <= named.alarm_bin < COUNTS.size


@pytest.mark.parametrize("name", [name for name in ONLINE if name in METHODS])
def test_online_methods_see_no_later_bin(name):
    for named in ONLINE[name](COUNTS):
        assert named in ONLINE[name](COUNTS[: named.alarm_bin + 1])
        assert named not in ONLINE[name](COUNTS[: named.alarm_bin])


def test_naming_nothing_names_nothing():
    assert nothing(COUNTS) == []


def test_the_detector_of_jbmp_names_the_step_at_its_next_poll():
    (named,) = jbmp(np.repeat([1, 8], [330, 290]))
    assert named.change_bin == pytest.approx(330, abs=5)
    assert named.alarm_bin == 599
