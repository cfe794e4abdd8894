"""Heartbeats of simulated instances: the same JSON documents that servers send, in virtual time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.performance_model.pod import Pod

BIN_S = 0.1
KEPT_S = 120.0
CENSORED_S = 3.0
"""Bins so soon after the start of a server are lower bounds: requests waited for it elsewhere."""
LENGTH_STEP = 16


class PodHeartbeat:
    """What one pod says each second; remembers what it has said."""

    def __init__(self, pod: Pod, *, service: str) -> None:
        self.pod = pod
        self._service = service
        self._seq = 0
        self._told_taken = self._told_batches = 0
        self._bins: Counter[int] = Counter()
        self._lengths: Counter[int] = Counter()
        self._batches: dict[tuple[int, int], tuple[int, float, float]] = {}
        self._busy_s = 0.0

    def document(
        self, now_s: float, joined_s: Sequence[float], tokens: Sequence[int], *, generation: int, workers: int
    ) -> dict[str, object]:
        """Return the heartbeat at `now_s`.

        Args:
            now_s: virtual time, which is the pod's monotonic clock and the wall clock.
            joined_s: when each request of the simulation reached its pod.
            tokens: length of each request of the simulation.
            generation: of the hot settings in force.
            workers: that are active.
        """
        pod = self.pod
        self._seq += 1
        self._take_requests(joined_s, tokens)
        self._take_batches()
        first = max(bin_of(pod.started_s), bin_of(now_s - KEPT_S))
        indices = range(first, bin_of(now_s) + 1)
        is_ready = pod.state == "ready"
        return {
            "schema": 1,
            "service": self._service,
            "instance": pod.name,
            "boot_id": pod.name,
            "seq": self._seq,
            "ready": is_ready,
            "draining": pod.state in ("draining", "stopped"),
            "generation": generation,
            "clock": {"monotonic_s": now_s, "wall_s": now_s},
            "bins": {
                "width_s": BIN_S,
                "first": first,
                "counts": [self._bins[index] for index in indices],
                "censored": [index for index in indices if index * BIN_S < pod.started_s + CENSORED_S],
            },
            "counters": {
                "accepted": len(pod.taken) - pod.rejected,
                "answered": pod.answered,
                "rejected": pod.rejected,
                "expired": pod.expired,
                "failed": 0,
                "cancelled": 0,
                "queue_wait_s": pod.queue_wait_s,
                "busy_s": self._busy_s,
                "cpu_s": self._busy_s,
            },
            "batches": [
                {"batch_size": size, "padded_tokens": padded, "count": count, "sum_s": total, "sum_sq_s": squares}
                for (size, padded), (count, total, squares) in self._batches.items()
            ],
            "lengths": {str(edge): count for edge, count in self._lengths.items()},
            "queue": {"length": len(pod.queue), "in_flight": pod.held - len(pod.queue)},
            "cold_start_s": {"ready": pod.ready_s - pod.started_s} if is_ready else {},
            "workers": {"started": workers, "active": workers},
        }

    def _take_requests(self, joined_s: Sequence[float], tokens: Sequence[int]) -> None:
        for request in self.pod.taken[self._told_taken :]:
            self._bins[bin_of(joined_s[request])] += 1
            self._lengths[_edge(tokens[request])] += 1
        self._told_taken = len(self.pod.taken)

    def _take_batches(self) -> None:
        for size, padded_tokens, seconds in self.pod.batches[self._told_batches :]:
            key = (size, _edge(padded_tokens))
            count, total, squares = self._batches.get(key, (0, 0.0, 0.0))
            self._batches[key] = (count + 1, total + seconds, squares + seconds * seconds)
            self._busy_s += seconds
        self._told_batches = len(self.pod.batches)


def bin_of(time_s: float) -> int:
    """Return the bin of an instant; 1e-9 keeps 0.3 s out of the bin that ends at 0.3."""
    return max(0, int(time_s / BIN_S + 1e-9))


def _edge(tokens: int) -> int:
    return -(-tokens // LENGTH_STEP) * LENGTH_STEP
