"""What the profiler makes of cumulative sums: new batches, other users of the core, the server's own work, restarts."""

import math

import numpy as np
import pytest

from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import InstanceShape, ServingConfig
from controller.domain.token_lengths import TokenLengths
from controller.errors import BadInputError
from controller.profiling.profiler import Profiler, capacity_rps, lengths_law
from controller.telemetry.merge import HeartbeatMerge

ONE_CORE = InstanceShape(cores=1)


@pytest.fixture
def merge():
    return HeartbeatMerge()


def say(merge, seq, batches, *, boot_id="a", cpu_s=None, busy_s=None, start_s=None):
    """One heartbeat of a server that answered `batches` single requests of 32 tokens in 10 ms each."""
    busy_s = 0.01 * batches if busy_s is None else busy_s
    sums = {"batch_size": 1, "padded_tokens": 32, "count": batches, "sum_s": busy_s, "sum_sq_s": busy_s**2 / batches}
    merge.accept(
        {
            "schema": 1,
            "service": "s",
            "instance": boot_id,
            "boot_id": boot_id,
            "seq": seq,
            "ready": True,
            "clock": {"monotonic_s": float(seq), "wall_s": float(seq)},
            "counters": {"answered": batches, "busy_s": busy_s, "cpu_s": busy_s if cpu_s is None else cpu_s},
            "batches": [sums],
            "lengths": {"32": batches},
            "cold_start_s": {} if start_s is None else {"ready": start_s},
        },
        float(seq),
    )


def test_only_what_is_new_is_counted(merge):
    profiler = Profiler(ONE_CORE)
    for seq in (1, 2, 3):
        say(merge, seq, 10 * seq)
        profiler.observe(merge.instances(), 0.0, live=1)
        profiler.observe(merge.instances(), 0.0, live=1)
    assert profiler.batches == pytest.approx(30)


def test_the_largest_batch_is_known_while_it_has_any_weight(merge):
    profiler = Profiler(ONE_CORE)
    assert profiler.largest_batch == 0
    say(merge, 1, 10)
    profiler.observe(merge.instances(), 0.0, live=1)
    assert profiler.largest_batch == 1
    profiler.observe(merge.instances(), 3000.0, live=1)
    assert profiler.largest_batch == 0


def test_old_batches_lose_weight(merge):
    profiler = Profiler(ONE_CORE)
    say(merge, 1, 100)
    profiler.observe(merge.instances(), 0.0, live=1)
    profiler.observe(merge.instances(), 300.0, live=1)
    assert profiler.batches == pytest.approx(50)


def test_time_lost_to_other_instances_on_the_core_is_taken_out_by_cpu(merge):
    profiler = Profiler(ONE_CORE)
    say(merge, 1, 100, busy_s=2.0, cpu_s=1.0)
    profiler.observe(merge.instances(), 0.0, live=2)
    assert profiler.fit().service.seconds(1, padded_length=25) == pytest.approx(0.01, rel=0.1)


def test_batches_measured_under_contention_count_little(merge):
    profiler = Profiler(ONE_CORE)
    say(merge, 1, 100, busy_s=2.0, cpu_s=1.0)
    profiler.observe(merge.instances(), 0.0, live=2)
    assert profiler.batches == pytest.approx(10)


def test_a_restart_neither_loses_nor_counts_twice(merge):
    before = Profiler(ONE_CORE)
    say(merge, 1, 100)
    before.observe(merge.instances(), 0.0, live=1)
    after = Profiler(ONE_CORE)
    after.restore(before.to_document())
    after.observe(merge.instances(), 0.0, live=1)
    assert after.batches == pytest.approx(100)
    say(merge, 2, 110)
    after.observe(merge.instances(), 0.0, live=1)
    assert after.batches == pytest.approx(110)


def test_before_the_first_start_was_seen_the_platform_states_how_long_one_takes(merge):
    profiler = Profiler(ONE_CORE)
    say(merge, 1, 10)
    profiler.observe(merge.instances(), 1.0, live=1)
    assert profiler.shape() == ONE_CORE


def test_the_quickest_start_that_was_seen_is_how_long_the_next_one_takes(merge):
    profiler = Profiler(ONE_CORE)
    for seq, (boot_id, start_s) in enumerate([("a", 0.9), ("b", 0.3), ("c", 2.5)], start=1):
        say(merge, seq, 10, boot_id=boot_id, start_s=start_s)
        profiler.observe(merge.instances(), float(seq), live=1)
    shape = profiler.shape()
    assert shape.cold_start_s == 0.3
    assert shape.cold_start_cpu_s == pytest.approx(0.3 * ONE_CORE.cold_start_cpu_s / ONE_CORE.cold_start_s)


def test_lengths_are_spread_inside_their_bins():
    law = lengths_law({16: 100, 64: 300})
    assert (law.tokens.min(), law.tokens.max()) == (1, 64)
    assert np.mean(law.tokens > 48) == pytest.approx(0.75, abs=0.01)


def test_before_the_first_request_a_length_is_assumed():
    assert lengths_law({}).tokens.tolist() == [32]


def test_capacity_is_that_of_full_batches():
    service = TokenServiceTimes(per_batch_s=0.01, per_token_s=0.0001)
    lengths = TokenLengths(np.array([50]))
    assert capacity_rps(service, lengths, ServingConfig(max_batch_size=1)) == pytest.approx(1 / 0.015)
    assert capacity_rps(service, lengths, ServingConfig(max_batch_size=8)) == pytest.approx(8 / 0.05)
    assert math.isclose(capacity_rps(service, lengths, ServingConfig(batch_tokens=60)), 1 / 0.015)


def test_a_restored_profile_does_not_age_by_the_age_of_the_run(merge):
    before = Profiler(ONE_CORE)
    say(merge, 1, 100)
    before.observe(merge.instances(), 3000.0, live=1)
    after = Profiler(ONE_CORE)
    after.restore(before.to_document())
    after.observe(merge.instances(), 3001.0, live=1)
    after.observe(merge.instances(), 3301.0, live=1)
    assert after.batches == pytest.approx(50)


def test_a_server_that_outlives_many_others_is_not_counted_twice_after_a_restart(merge):
    before = Profiler(ONE_CORE)
    for seq in range(1, 101):
        say(merge, seq, 1, boot_id=f"short{seq}")
        say(merge, seq, 10 + seq, boot_id="long")
        before.observe(merge.instances(), float(seq), live=1)
    after = Profiler(ONE_CORE)
    after.restore(before.to_document())
    counted = after.batches
    say(alone := HeartbeatMerge(), 101, 110, boot_id="long")
    after.observe(alone.instances(), 100.0, live=1)
    assert after.batches == pytest.approx(counted)


def test_a_second_restart_still_knows_the_boots_of_the_first(merge):
    first, second, third = Profiler(ONE_CORE), Profiler(ONE_CORE), Profiler(ONE_CORE)
    say(merge, 1, 100)
    first.observe(merge.instances(), 0.0, live=1)
    second.restore(first.to_document())
    third.restore(second.to_document())
    third.observe(merge.instances(), 0.0, live=1)
    assert third.batches == pytest.approx(100)


def test_each_start_is_remembered_once_however_many_servers_there_are(merge):
    profiler = Profiler(ONE_CORE)
    for number in range(20):
        say(merge, 1, 10, boot_id=f"b{number}", start_s=0.1)
    profiler.observe(merge.instances(), 1.0, live=1)
    for number in range(16):
        say(merge, 2 + number, 10, boot_id=f"c{number}", start_s=0.5)
        profiler.observe(merge.instances(), 2.0 + number, live=1)
    assert profiler.shape().cold_start_s == 0.5


def test_a_start_that_is_told_after_the_first_word_counts(merge):
    profiler = Profiler(ONE_CORE)
    say(merge, 1, 10)
    profiler.observe(merge.instances(), 1.0, live=1)
    say(merge, 2, 10, start_s=0.3)
    profiler.observe(merge.instances(), 2.0, live=1)
    assert profiler.shape().cold_start_s == 0.3


@pytest.mark.parametrize("number", [math.nan, math.inf, 10**400], ids=["nan", "inf", "huge"])
def test_a_state_with_a_number_that_is_none_is_refused_as_a_whole(number):
    profiler = Profiler(ONE_CORE)
    with pytest.raises(BadInputError, match="needs a finite number"):
        profiler.restore({"batches": [[1, 32, 5, 0.05, 0.001], [2, 64, number, 0.1, 0.1]], "boots": []})
    assert profiler.batches == 0
