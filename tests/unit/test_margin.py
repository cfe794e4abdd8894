"""The learned margin, and the measurement it is learned from."""

from dataclasses import replace

import numpy as np
import pytest

from controller.domain.arrival_process import Phase, Phases, PoissonProcess
from controller.domain.prices import ClusterPrices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo
from controller.monitor.server_latency import ServerLatency
from controller.optimizer.margin import LARGEST, learn_margin
from controller.reproduce.rehearsal import Design, drawn_scene, rehearse
from controller.settings import LoopSettings
from controller.telemetry.merge import HeartbeatMerge


def test_a_simulation_that_is_right_needs_no_margin():
    assert learn_margin(1.0, observed_s=0.4, simulated_s=0.4, bound_s=0.5) == 1.0


def test_a_slower_reality_near_the_bound_raises_the_margin_step_by_step():
    first = learn_margin(1.0, observed_s=0.4, simulated_s=0.2, bound_s=0.5)
    second = learn_margin(first, observed_s=0.4, simulated_s=0.2, bound_s=0.5)
    assert 1.0 < first < second < 2.0


def test_what_is_slower_than_predicted_and_far_from_the_bound_needs_no_instances():
    assert learn_margin(1.0, observed_s=0.2, simulated_s=0.1, bound_s=0.5) == 1.0


def test_a_margin_is_forgotten_more_slowly_than_it_is_learned():
    risen = learn_margin(1.0, observed_s=0.5, simulated_s=0.1, bound_s=0.5)
    fallen = learn_margin(risen, observed_s=0.1, simulated_s=0.1, bound_s=0.5)
    assert 0 < risen - fallen < (risen - 1.0) / 4


def test_a_faster_reality_never_takes_the_margin_below_one():
    assert learn_margin(1.0, observed_s=0.05, simulated_s=0.4, bound_s=0.5) == 1.0


def test_the_margin_is_bounded():
    margin = 1.0
    for _ in range(50):
        margin = learn_margin(margin, observed_s=60.0, simulated_s=0.01, bound_s=0.5)
    assert margin == pytest.approx(LARGEST)


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


def measured(waits_s):
    """Return what is seen of stretches of 5 s in which each of a hundred requests waits so long, and takes 0.1 s."""
    merge, latency, total_s = HeartbeatMerge(), ServerLatency(0.95), 0.0
    say(merge, 0, 0, wait_s=0.0, served_s=0.0)
    latency.observe(merge, 0.0)
    for stretch, wait_s in enumerate(waits_s, start=1):
        total_s += 100 * wait_s
        # Fifty batches of two that take 0.1 s each.
        say(merge, 5 * stretch, 100 * stretch, wait_s=total_s, served_s=5.0 * stretch)
        for second in (5 * stretch - 2, 5 * stretch):
            latency.observe(merge, float(second))
    return latency.seen


def test_time_in_the_servers_is_wait_and_service():
    seen = measured([0.2] * 6)
    assert seen.slow_s == pytest.approx(0.3)
    assert (seen.from_s, seen.until_s) == (0, 30)


def test_slow_stretches_count_and_not_the_mean():
    assert measured([0.0] * 8 + [0.7] + [0.0] * 4).slow_s == pytest.approx(0.8)


def test_a_backlog_from_before_the_change_does_not_count():
    seen = measured([0.6, 1.5, 0.9, 0.2] + [0.1] * 6)
    assert seen.slow_s == pytest.approx(0.2)
    assert (seen.from_s, seen.until_s) == (20, 50)


def test_what_became_quicker_long_after_the_change_was_slow_under_it():
    assert measured([0.0] * 22 + [0.9, 0.6, 0.3] + [0.0] * 20).slow_s == pytest.approx(0.7)


def test_no_more_is_remembered_than_can_be_simulated_quickly():
    merge, latency = HeartbeatMerge(), ServerLatency(0.95)
    for second in range(0, 65, 5):
        say(merge, second, 1000 * second, wait_s=0.0, served_s=50.0 * second)
        latency.observe(merge, float(second))
    seen = latency.seen
    assert (seen.from_s, seen.until_s) == (50, 60)


def test_what_is_slow_for_good_counts_as_soon_as_it_no_longer_becomes_quicker():
    assert measured([2.0, 1.5, 1.4, 1.4, 1.4, 1.4]).slow_s == pytest.approx(1.5)


def test_too_short_a_time_says_nothing():
    assert measured([]) is None
    assert measured([0.1]) is None
    assert measured([0.1, 0.1, 0.1]) is not None


def test_a_change_begins_anew():
    merge, latency = HeartbeatMerge(), ServerLatency(0.95)
    for second in range(0, 60, 5):
        say(merge, second, 100 * second, wait_s=0.0, served_s=5.0 * second)
        latency.observe(merge, float(second))
    assert latency.seen is not None
    latency.begin()
    assert latency.seen is None


def test_what_was_compared_is_no_news_until_ten_seconds_are_added():
    merge, latency = HeartbeatMerge(), ServerLatency(0.95)
    known = []
    for second in range(0, 60, 5):
        say(merge, second, 100 * second, wait_s=0.0, served_s=5.0 * second)
        latency.observe(merge, float(second))
        known.append(latency.news is not None)
        if second == 35:
            latency.compared(latency.seen)
    assert known == [False] * 2 + [True] * 6 + [False] + [True] * 3


SERVICE = TokenServiceTimes(per_batch_s=0.02, per_token_s=0.0019, cv=0.1)
"""About twenty requests a second and instance."""


def watched(stretches, config, *, slower=1.0, **shape):
    """Play stretches of (seconds, rate) under one setting, and return the margin."""
    process = Phases(tuple(Phase(length_s, PoissonProcess(rate)) for length_s, rate in stretches))
    scene = drawn_scene(
        process,
        SERVICE,
        until_s=sum(length_s for length_s, _ in stretches),
        rng=np.random.default_rng(3),
        shape=InstanceShape(**shape),
        config=config,
        later=((60.0, replace(SERVICE, per_token_s=slower * SERVICE.per_token_s)),),
    )
    settings = LoopSettings(slo=LatencySlo(0.95, 1.0), prices=ClusterPrices(1.0, 1.0), mode="recommend", trials=0)
    return rehearse(scene, Design(settings=settings)).margin


@pytest.mark.parametrize(
    ("stretches", "scale", "shape"),
    [
        pytest.param([(50, 75), (12, 125), (78, 75)], (5, 5), {}, id="a gust longer ago than the searches replay"),
        pytest.param([(30, 6), (110, 26)], (1, 3), {"cold_start_s": 25.0}, id="instances that start slowly"),
    ],
)
def test_a_platform_that_does_what_is_simulated_teaches_no_margin(stretches, scale, shape):
    config = ServingConfig(max_batch_size=4, min_scale=scale[0], max_scale=scale[1], target=2, window_s=300)
    assert watched(stretches, config, **shape) < 1.1


def test_a_platform_that_becomes_slower_teaches_one():
    config = ServingConfig(max_batch_size=4, min_scale=5, max_scale=5)
    assert watched([(140, 75)], config, slower=1.5) > 1.3
