"""The learned margin, and the measurement it is learned from."""

import pytest

from controller.monitor.server_latency import ServerLatency
from controller.optimizer.margin import LARGEST, learn_margin
from controller.telemetry.merge import HeartbeatMerge


def test_a_simulation_that_is_right_needs_no_margin():
    assert learn_margin(1.0, observed_s=0.2, simulated_s=0.2, bound_s=0.5) == 1.0


def test_a_slower_reality_raises_the_margin_step_by_step():
    first = learn_margin(1.0, observed_s=0.3, simulated_s=0.2, bound_s=0.5)
    second = learn_margin(first, observed_s=0.3, simulated_s=0.2, bound_s=0.5)
    assert 1.0 < first < second < 1.5


def test_a_faster_reality_never_takes_the_margin_below_one():
    assert learn_margin(1.0, observed_s=0.05, simulated_s=0.4, bound_s=0.5) == 1.0


def test_the_margin_is_bounded():
    margin = 1.0
    for _ in range(50):
        margin = learn_margin(margin, observed_s=60.0, simulated_s=0.01, bound_s=0.5)
    assert margin == pytest.approx(LARGEST)


def test_milliseconds_do_not_matter_where_the_bound_is_half_a_second():
    assert learn_margin(1.0, observed_s=0.006, simulated_s=0.003, bound_s=0.5) < 1.05


def say(merge, second, answered, *, wait_s, served_s):
    merge.accept(
        {
            "schema": 1,
            "service": "s",
            "instance": "a",
            "boot_id": "a",
            "seq": second,
            "clock": {"monotonic_s": float(second), "wall_s": float(second)},
            "counters": {"answered": answered, "queue_wait_s": wait_s},
            "batches": [
                {"batch_size": 2, "padded_tokens": 32, "count": answered // 2, "sum_s": served_s, "sum_sq_s": 1.0}
            ],
        },
        float(second),
    )


def test_time_in_the_servers_is_wait_and_service():
    merge, latency = HeartbeatMerge(), ServerLatency()
    for second in range(16):
        say(merge, second, 20 * second, wait_s=1.0 * second, served_s=0.5 * second)
        latency.observe(merge, float(second))
    seen = latency.seen()
    # 20 requests a second wait 1 s together, and sit in 10 batches of 2 that take 0.5 s together.
    assert seen.mean_s == pytest.approx((1.0 + 2 * 0.5) / 20)
    assert seen.duration_s == 15


def test_too_short_a_time_says_nothing():
    merge, latency = HeartbeatMerge(), ServerLatency()
    assert latency.seen() is None
    for second in range(16):
        say(merge, second, 20 * second, wait_s=0.0, served_s=0.1)
        latency.observe(merge, float(second))
        if second == 12:
            latency.begin()
    assert latency.seen() is None
