"""What the merge makes of single heartbeats: clocks, bins, sums, memory."""

import copy

import numpy as np
import pytest

from controller.errors import BadInputError
from controller.telemetry import merge as merging
from controller.telemetry.arrival_bins import MOST_LIVES
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
        ("bins", {"width_s": 0.04, "first": 0, "counts": [1]}, "width_s needs seconds from 0.05"),
        ("bins", {"width_s": 0.1, "first": 0, "counts": [1], "censored": [0] * 5000}, "censored needs at most 4096"),
        ("bins", {"width_s": 0.1, "first": 0, "counts": [0] * 5000}, "at most 4096"),
        ("bins", {"width_s": 0.1, "first": 0, "counts": [-1]}, "bins.counts needs a whole number"),
        ("counters", {"cpu_s": float("nan")}, "counters.cpu_s needs a number"),
        ("batches", [{"batch_size": 0, "padded_tokens": 16}], "batches.batch_size needs"),
        ("batches", {}, "batches needs a list"),
        ("lengths", {"x": 1}, "upper edges"),
        ("lengths", {str(edge): 1 for edge in range(1, 4098)}, "lengths needs at most 4096 entries, got 4097"),
        ("latency", {f"{edge}": 1 for edge in range(1, 258)}, "latency needs at most 256 entries"),
        ("cold_start_s", {f"s{number}": 1 for number in range(65)}, "cold_start_s needs at most 64 entries"),
        ("cold_start_s", {"s" * 254: 1}, "cold_start_s needs a text"),
        ("batches", [BODY["batches"][0]] * 20_001, "batches needs at most 20000 entries"),
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


def bins_at(second, *, width_s=0.1, n=1000):
    """The clock and the latest bins of a heartbeat at a second."""
    bins = {"width_s": width_s, "first": int(second / width_s) - n, "counts": [1] * n}
    return {"clock": {"monotonic_s": float(second), "wall_s": float(second)}, "bins": bins}


def held(merge):
    return sum(len(life.counts) for lives in merge._bins._senders.values() for life in lives.values())


def test_a_pod_that_is_started_again_and_again_is_heard_to_a_limit_and_again_when_it_was_silent():
    merge = HeartbeatMerge()
    for number in range(MOST_LIVES):
        merge.accept(beat(boot_id=str(number), **bins_at(1000 + number, n=9)), 1000.0 + number)
    with pytest.raises(BadInputError, match="demo-1 needs at most 64 boot_ids in 900 s"):
        merge.accept(beat(boot_id="another", **bins_at(1064)), 1064.0)
    merge.accept(beat(boot_id="another", instance="demo-2", **bins_at(1064)), 1064.0)
    merge.accept(beat(boot_id="another", **bins_at(1950)), 1950.0)
    assert len(merge._bins._senders["demo-1"]) < MOST_LIVES


def test_the_bins_of_one_pod_are_bounded_however_fine_they_are():
    merge = HeartbeatMerge()
    for number in range(10):
        merge.accept(beat(boot_id=str(number), **bins_at(1000 + number, width_s=0.05, n=4000)), 1000.0 + number)
    with pytest.raises(BadInputError, match="demo-1 needs at most 36000 bins in all its lives, has 40000"):
        merge.accept(beat(boot_id="9", seq=2, **bins_at(1300, width_s=0.05, n=4000)), 1300.0)
    assert held(merge) == 40_000


def test_bins_older_than_what_is_remembered_are_not_kept_whatever_the_order():
    merge = HeartbeatMerge()
    merge.accept(beat(**bins_at(100_000)), 100.0)
    for first in range(0, 900_000, 4000):
        bins = {"width_s": 0.1, "first": first, "counts": [1] * 4000, "censored": [first]}
        merge.accept(beat(clock={"monotonic_s": 100_000.0, "wall_s": 0.0}, bins=bins), 100.0)
    assert held(merge) == 1000


def test_a_pod_that_lived_long_was_killed_and_lives_long_again_is_never_refused():
    merge = HeartbeatMerge()
    for life in range(3):
        for second in range(0, 890, 60):
            at_s = 1000 + life * 890 + second
            merge.accept(beat(boot_id=str(life), seq=second, **bins_at(at_s, n=1200)), float(at_s))
    assert held(merge) == 18_000  # half of the limit


def test_the_width_of_bins_stays_for_a_life():
    merge = HeartbeatMerge()
    merge.accept(beat(**bins_at(1000)), 1000.0)
    with pytest.raises(BadInputError, match=r"width_s was 0\.1 s in this life and may not become 1 s"):
        merge.accept(beat(**bins_at(1001, width_s=1, n=10)), 1001.0)
    merge.accept(beat(boot_id="b", **bins_at(1001, width_s=1, n=10)), 1001.0)


def batches(tokens):
    return [BODY["batches"][0] | {"padded_tokens": each} for each in tokens]


def test_lives_of_one_pod_with_many_kinds_of_batches_become_one_sum(monkeypatch):
    monkeypatch.setattr(merging, "MOST_KINDS", 100)
    merge = HeartbeatMerge()
    for number in range(3):
        merge.accept(beat(boot_id=str(number), batches=batches(range(1, 61))), 103.0 + number)
    assert [seen.heartbeat.boot_id for seen in merge.instances()] == ["2"]
    assert merge.profile()[2, 60].count == 45


def test_of_lives_that_are_gone_only_so_many_kinds_are_told_apart(monkeypatch):
    monkeypatch.setattr(merging, "MOST_TOLD_APART", 100)
    merge = HeartbeatMerge(kept_boots=1)
    for number in range(10):
        kinds = batches(range(number * 40 + 1, number * 40 + 42))
        merge.accept(beat(boot_id=str(number), instance=str(number), batches=kinds), 103.0 + number)
    assert len(merge._folded_batches) == len(merge.profile()) == 100
    assert merge.profile()[2, 41].count == 30
