"""What the merge makes of single heartbeats: clocks, bins, sums, memory."""

import copy

import numpy as np
import pytest

from controller.errors import BadInputError
from controller.telemetry.heartbeat import UnsupportedSchemaError
from controller.telemetry.merge import HeartbeatMerge

BODY = {
    "schema": 1,
    "service": "demo",
    "instance": "demo-1",
    "boot_id": "a",
    "seq": 1,
    "ready": True,
    "draining": False,
    "generation": 3,
    "clock": {"monotonic_s": 103.0, "wall_s": 1003.0},
    "bins": {"width_s": 0.1, "first": 1000, "counts": [1] * 30, "censored": [1000]},
    "counters": {"accepted": 30, "answered": 30, "queue_wait_s": 1.0, "busy_s": 2.0, "cpu_s": 2.5},
    "batches": [{"batch_size": 2, "padded_tokens": 64, "count": 15, "sum_s": 1.5, "sum_sq_s": 0.2}],
    "lengths": {"32": 30},
    "queue": {"length": 0, "in_flight": 1},
    "cold_start_s": {"python": 0.2, "model": 0.3},
    "workers": {"started": 2, "active": 1},
}


def beat(**changes):
    return copy.deepcopy(BODY) | changes


def test_bins_are_mapped_to_the_clock_of_the_run():
    merge = HeartbeatMerge(started_at_s=990.0)
    merge.accept(beat(), 13.0)
    first, counts, censored = merge.counts(13.0)
    assert (first, counts.tolist()) == (10, [10, 10, 10])
    assert censored.tolist() == [True, False, False]


def test_a_wall_clock_that_is_far_off_is_not_believed():
    merge = HeartbeatMerge(started_at_s=0.0)
    merge.accept(beat(), 13.0)
    assert merge.counts(13.0)[0] == 10


def test_a_clock_that_was_set_moves_the_bins_to_where_they_belong():
    merge = HeartbeatMerge(started_at_s=990.0)
    merge.accept(beat(), 13.0)
    merge.accept(beat(seq=2, clock={"monotonic_s": 104.0, "wall_s": 5.0}), 14.0)
    merge.accept(beat(seq=3, clock={"monotonic_s": 105.0, "wall_s": 5.0}), 45.0)
    assert merge.counts(45.0)[0] == 40


def test_only_bins_that_every_server_has_passed_are_complete():
    merge = HeartbeatMerge(started_at_s=900.0)
    merge.accept(beat(), 103.0)
    merge.accept(beat(boot_id="b", clock={"monotonic_s": 102.0, "wall_s": 1002.0}), 102.0)
    assert merge.counts(103.0)[1].size == 2


def test_a_silent_server_does_not_hold_up_the_others():
    merge = HeartbeatMerge(started_at_s=900.0)
    merge.accept(beat(boot_id="gone"), 103.0)
    merge.accept(beat(boot_id="b", clock={"monotonic_s": 110.0, "wall_s": 1010.0}), 110.0)
    assert merge.counts(110.0)[1].tolist() == [20, 20, 20, 0, 0, 0, 0, 0, 0, 0]


def test_there_are_no_counts_before_the_first_heartbeat():
    first, counts, censored = HeartbeatMerge().counts(10.0)
    assert (first, counts.size, censored.size) == (0, 0, 0)


def test_bins_can_be_finer_than_a_second():
    merge = HeartbeatMerge(started_at_s=900.0)
    merge.accept(beat(), 103.0)
    first, counts, _ = merge.counts(103.0, 0.1)
    assert (first, counts.tolist()) == (1000, [1] * 30)


def test_sums_of_several_servers_are_added():
    merge = HeartbeatMerge()
    merge.accept(beat(), 103.0)
    merge.accept(beat(boot_id="b"), 103.0)
    assert merge.profile()[2, 64].count == 30
    assert merge.lengths() == {32: 60}
    assert merge.counters()["cpu_s"] == pytest.approx(5.0)


def test_sums_survive_that_old_servers_are_forgotten():
    merge = HeartbeatMerge(kept_boots=2)
    for number in range(5):
        merge.accept(beat(boot_id=str(number)), 103.0 + number)
    assert merge.profile()[2, 64].count == 75
    assert merge.lengths() == {32: 150}
    assert merge.counters()["answered"] == pytest.approx(150.0)
    assert len(merge.instances()) == 2


def test_the_latest_word_of_an_instance_comes_first():
    merge = HeartbeatMerge()
    merge.accept(beat(), 103.0)
    merge.accept(beat(boot_id="b", instance="demo-2"), 104.0)
    assert [seen.heartbeat.instance for seen in merge.instances()] == ["demo-2", "demo-1"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("boot_id", "", "boot_id needs a text"),
        ("boot_id", 5, "boot_id needs a text"),
        ("seq", -1, "seq needs a whole number"),
        ("seq", True, "seq needs a whole number"),
        ("clock", None, "clock needs an object"),
        ("clock", {"monotonic_s": "1", "wall_s": 1}, "clock.monotonic_s needs a number"),
        ("bins", {"width_s": 0.1, "first": 10**9, "counts": [1]}, "bins end after the sender's clock"),
        ("bins", {"width_s": 0, "first": 0, "counts": [1]}, "width_s needs seconds"),
        ("bins", {"width_s": 0.1, "first": 0, "counts": [0] * 5000}, "at most 4096"),
        ("bins", {"width_s": 0.1, "first": 0, "counts": [-1]}, "bins.counts needs a whole number"),
        ("counters", {"cpu_s": float("nan")}, "counters.cpu_s needs a number"),
        ("batches", [{"batch_size": 0, "padded_tokens": 16}], "batches.batch_size needs"),
        ("batches", {}, "batches needs a list"),
        ("lengths", {"x": 1}, "upper edges"),
    ],
)
def test_a_malformed_heartbeat_is_refused_and_changes_nothing(field, value, words):
    merge = HeartbeatMerge()
    with pytest.raises(BadInputError, match=words):
        merge.accept(beat(**{field: value}), 103.0)
    assert merge.instances() == []
    assert merge.counts(110.0)[1].size == 0


def test_another_schema_is_told_apart_from_nonsense():
    with pytest.raises(UnsupportedSchemaError, match="schema 2"):
        HeartbeatMerge().accept(beat(schema=2), 1.0)


def test_memory_of_bins_is_bounded():
    merge = HeartbeatMerge(kept_s=20.0)
    for second in range(0, 100, 2):
        at_s = float(second + 3)
        bins = {"width_s": 0.1, "first": second * 10, "counts": [1] * 30, "censored": []}
        merge.accept(beat(seq=second, clock={"monotonic_s": at_s, "wall_s": at_s}, bins=bins), at_s)
    first, counts, _ = merge.counts(101.0)
    assert first >= 81
    assert np.all(counts == 10)
