"""Heartbeats of simulated instances: the same JSON documents that servers send, in virtual time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from controller.performance_model.pod_state import DRAINING, READY, STOPPED

if TYPE_CHECKING:
    from controller.performance_model.pod_state import Pod

BIN_S = 0.1
KEPT_S = 120.0
CENSORED_S = 3.0
"""Bins so soon after the start of a server are lower bounds: requests waited for it elsewhere."""
LENGTH_STEP = 16


class PodHeartbeat:
    """What one pod says each second; remembers what it has said."""

    def __init__(self, name: str, *, service: str) -> None:
        self._name = name
        self._service = service
        self._seq = 0
        self._bins: Counter[int] = Counter()
        self._lengths: Counter[int] = Counter()
        self._batches: dict[tuple[int, int], tuple[int, float, float]] = {}
        self._busy_s = 0.0

    def note_request(self, joined_s: float, tokens: int) -> None:
        """Count a request that reached the pod."""
        self._bins[bin_of(joined_s)] += 1
        self._lengths[_edge(tokens)] += 1

    def note_batch(self, size: int, padded_tokens: int, seconds: float) -> None:
        """Count a batch that the pod has finished."""
        key = (size, _edge(padded_tokens))
        count, total, squares = self._batches.get(key, (0, 0.0, 0.0))
        self._batches[key] = (count + 1, total + seconds, squares + seconds * seconds)
        self._busy_s += seconds

    def document(self, pod: Pod, now_s: float, *, generation: int, workers: int) -> dict[str, object]:
        """Return the heartbeat at `now_s`.

        Args:
            pod: as it is then.
            now_s: virtual time, which is the pod's monotonic clock and the wall clock.
            generation: of the hot settings in force.
            workers: that are active.
        """
        self._seq += 1
        first = max(bin_of(pod.started_s), bin_of(now_s - KEPT_S))
        indices = range(first, bin_of(now_s) + 1)
        is_ready = pod.state == READY
        return {
            "schema": 1,
            "service": self._service,
            "instance": self._name,
            "boot_id": self._name,
            "seq": self._seq,
            "ready": is_ready,
            "draining": pod.state in (DRAINING, STOPPED),
            "generation": generation,
            "clock": {"monotonic_s": now_s, "wall_s": now_s},
            "bins": {
                "width_s": BIN_S,
                "first": first,
                "counts": [self._bins[index] for index in indices],
                "censored": [index for index in indices if index * BIN_S < pod.started_s + CENSORED_S],
            },
            "counters": {
                "accepted": pod.taken - pod.rejected,
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
            "queue": {"length": pod.queued, "in_flight": pod.held - pod.queued},
            "cold_start_s": {"ready": pod.ready_s - pod.started_s} if is_ready else {},
            "workers": {"started": workers, "active": workers},
        }


def bin_of(time_s: float) -> int:
    """Return the bin of an instant; 1e-9 keeps 0.3 s out of the bin that ends at 0.3."""
    return max(0, int(time_s / BIN_S + 1e-9))


def _edge(tokens: int) -> int:
    return -(-tokens // LENGTH_STEP) * LENGTH_STEP
