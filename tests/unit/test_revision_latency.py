"""Latency by revision counts from each step of a rollout on, so an old revision's good past excuses nothing."""

from controller.monitor.revision_latency import RevisionLatency
from controller.telemetry.merge import HeartbeatMerge


def heartbeat(pod, seq, latency, **counters):
    return {
        "schema": 1,
        "service": "s",
        "instance": pod,
        "boot_id": pod,
        "seq": seq,
        "clock": {"monotonic_s": 1.0, "wall_s": 1.0},
        "bins": {"width_s": 0.1, "first": 0, "counts": [], "censored": []},
        "latency": latency,
        "counters": counters,
    }


def test_each_step_counts_anew_and_revisions_apart():
    merge = HeartbeatMerge()
    latency = RevisionLatency(merge)
    merge.accept(heartbeat("r-00001-deployment-a", 1, {"0.1": 1000}), 1.0)
    latency.begin("first")
    assert latency.measured("r-00001", 0.1) == (0, None)
    merge.accept(heartbeat("r-00001-deployment-a", 2, {"0.1": 1007, "1": 3}), 2.0)
    merge.accept(heartbeat("r-00002-deployment-b", 1, {"0.1": 4}), 2.0)
    assert latency.measured("r-00001", 0.1) == (10, 0.7)
    assert latency.measured("r-00002", 0.1) == (4, 1.0)
    latency.begin("first")
    assert latency.measured("r-00001", 0.1)[0] == 10
    latency.begin("second")
    assert latency.measured("r-00002", 0.1) == (0, None)


def test_what_got_no_right_answer_is_outside():
    merge = HeartbeatMerge()
    latency = RevisionLatency(merge)
    latency.begin(0)
    merge.accept(heartbeat("r-00001-deployment-a", 1, {"0.1": 6}, rejected=1, failed=2, expired=1), 1.0)
    assert latency.measured("r-00001", 0.1) == (10, 0.6)
