"""Latency of the last two minutes from cumulative counts: what counts, what is forgotten, and quantiles of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.monitor.answered import KEPT_S, STEP_S, AnsweredLatency, quantile_s, share_within
from controller.telemetry.merge import HeartbeatMerge


class Server:
    """One server that answers and tells of it."""

    def __init__(self, name="a"):
        self.name, self.seq = name, 0
        self.latency, self.counters = {}, {}

    def tell(self, merge, now_s, latency=None, **counters):
        self.seq += 1
        for edge, count in (latency or {}).items():
            self.latency[edge] = self.latency.get(edge, 0) + count
        for name, count in counters.items():
            self.counters[name] = self.counters.get(name, 0) + count
        merge.accept(
            {
                "schema": 1,
                "service": "s",
                "instance": self.name,
                "boot_id": self.name,
                "seq": self.seq,
                "clock": {"monotonic_s": now_s, "wall_s": now_s},
                "bins": {"width_s": 0.1, "first": 0, "counts": [], "censored": []},
                "latency": self.latency,
                "counters": self.counters,
            },
            now_s,
        )


@pytest.fixture
def merge():
    return HeartbeatMerge()


def test_nothing_is_known_before_two_looks(merge):
    latency = AnsweredLatency()
    assert latency.counted() == {}
    latency.observe(merge, 0.0)
    assert latency.counted() == {}


def test_what_came_between_two_looks_is_counted_by_rising_edge(merge):
    latency, server = AnsweredLatency(), Server()
    server.tell(merge, 0.0, {"0.5": 7})
    latency.observe(merge, 0.0)
    server.tell(merge, 5.0, {"0.5": 2, "0.1": 3})
    latency.observe(merge, 5.0)
    assert list(latency.counted().items()) == [(0.1, 3), (0.5, 2), (math.inf, 0)]


@pytest.mark.parametrize("counter", ["rejected", "expired", "failed"])
def test_a_request_without_a_right_answer_counts_as_endless(merge, counter):
    latency, server = AnsweredLatency(), Server()
    server.tell(merge, 0.0)
    latency.observe(merge, 0.0)
    server.tell(merge, 5.0, {"0.1": 1, "inf": 1}, **{counter: 2})
    latency.observe(merge, 5.0)
    assert latency.counted() == {0.1: 1, math.inf: 3}


def test_looks_that_are_close_together_are_one(merge):
    latency, server = AnsweredLatency(), Server()
    latency.observe(merge, 0.0)
    server.tell(merge, 1.0, {"0.1": 1})
    latency.observe(merge, STEP_S - 0.1)
    assert latency.counted() == {}


def test_what_is_older_than_two_minutes_is_forgotten(merge):
    latency, server = AnsweredLatency(), Server()
    for step in range(60):
        server.tell(merge, step * STEP_S, {"0.1": 1})
        latency.observe(merge, step * STEP_S)
    assert latency.counted()[0.1] == KEPT_S / STEP_S


def test_servers_add_up_and_one_that_is_gone_takes_nothing_away(merge):
    latency, first, second = AnsweredLatency(), Server("a"), Server("b")
    first.tell(merge, 0.0, {"0.1": 5})
    latency.observe(merge, 0.0)
    second.tell(merge, 5.0, {"0.1": 2, "1.0": 1})
    latency.observe(merge, 5.0)
    latency.observe(merge, 10.0)
    assert latency.counted() == {0.1: 2, 1.0: 1, math.inf: 0}


def test_quantiles_are_linear_inside_a_bucket():
    counted = {0.1: 50, 0.2: 50}
    assert quantile_s(counted, 0.5) == pytest.approx(0.1)
    assert quantile_s(counted, 0.75) == pytest.approx(0.15)
    assert quantile_s(counted, 0.25) == pytest.approx(0.05)


def test_a_quantile_that_falls_on_no_right_answer_is_endless():
    assert quantile_s({0.1: 90, math.inf: 10}, 0.95) == math.inf
    assert quantile_s({0.1: 90, math.inf: 10}, 0.9) == pytest.approx(0.1)


def test_without_requests_there_is_neither_quantile_nor_share():
    assert quantile_s({0.1: 0}, 0.5) is None
    assert share_within({}, 0.5) is None


def test_shares_are_linear_inside_a_bucket_and_endless_ones_are_outside():
    counted = {0.1: 50, 0.3: 40, math.inf: 10}
    assert share_within(counted, 0.1) == pytest.approx(0.5)
    assert share_within(counted, 0.2) == pytest.approx(0.7)
    assert share_within(counted, 60.0) == pytest.approx(0.9)


COUNTED = st.dictionaries(
    st.sampled_from([0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, math.inf]), st.integers(0, 1000), min_size=1
).map(lambda found: dict(sorted(found.items())))


@given(COUNTED, st.floats(0.01, 0.99))
def test_the_share_within_a_quantile_is_that_quantile(counted, quantile):
    latency_s = quantile_s(counted, quantile)
    if latency_s is not None and math.isfinite(latency_s):
        assert share_within(counted, latency_s) >= quantile - 1e-9


@given(COUNTED, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_higher_quantile_is_never_quicker(counted, one, other):
    low, high = (quantile_s(counted, each) for each in sorted((one, other)))
    assert (low is None and high is None) or low <= high


@given(COUNTED, st.floats(0.001, 10), st.floats(0.001, 10))
def test_a_longer_bound_never_holds_fewer(counted, one, other):
    shares = [share_within(counted, each) for each in sorted((one, other))]
    assert shares == [None, None] or 0 <= shares[0] <= shares[1] <= 1 + 1e-9
