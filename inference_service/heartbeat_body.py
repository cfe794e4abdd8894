"""What a heartbeat says: the server's counters as one JSON value, schema 1 (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference_service.counters import Counters

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends; does not change while the process lives."""

    service: str
    instance: str
    boot_id: str
    """Random at each start: with `seq` and the bins it makes repeats and losses harmless."""
    started_workers: int


@dataclass(frozen=True, slots=True)
class Moment:
    """The state of the server when a heartbeat is made."""

    monotonic_s: float
    wall_s: float
    ready: bool
    draining: bool
    generation: int
    active_workers: int
    cpu_s: float
    """CPU time of the server, its zygote and its workers."""


def heartbeat_body(sender: Sender, moment: Moment, seq: int, counters: Counters) -> dict[str, object]:
    """The document; counts are cumulative, so a lost heartbeat loses nothing."""
    return {
        "schema": SCHEMA,
        "service": sender.service,
        "instance": sender.instance,
        "boot_id": sender.boot_id,
        "seq": seq,
        "ready": moment.ready,
        "draining": moment.draining,
        "generation": moment.generation,
        "clock": {"monotonic_s": moment.monotonic_s, "wall_s": moment.wall_s},
        "bins": counters.bins.document(moment.monotonic_s),
        "counters": {
            "accepted": counters.accepted,
            "answered": counters.answered,
            "rejected": counters.rejected.get("queue-full", 0),
            "expired": counters.expired,
            "failed": counters.failed,
            "cancelled": counters.cancelled,
            "queue_wait_s": counters.queue_wait_s.total,
            "busy_s": counters.busy_s,
            "cpu_s": moment.cpu_s,
        },
        "batches": [
            {
                "batch_size": size,
                "padded_tokens": padded_tokens,
                "count": times.count,
                "sum_s": times.sum_s,
                "sum_sq_s": times.sum_sq_s,
            }
            for (size, padded_tokens), times in sorted(counters.batches.items())
        ],
        "lengths": {str(edge): n for edge, n in sorted(counters.lengths.items())},
        "latency": _latency(counters),
        "queue": {"length": counters.queue_length, "in_flight": counters.in_flight},
        "cold_start_s": counters.cold_start_s,
        "workers": {"started": sender.started_workers, "active": moment.active_workers},
    }


def _latency(counters: Counters) -> dict[str, int]:
    """Right answers by duration of their call, keyed by upper edge in seconds, up to the slowest."""
    answered = counters.request_s.get(200)
    if answered is None:
        return {}
    edges = [*(f"{edge:g}" for edge in answered.edges), "inf"]
    slowest = max(place for place, count in enumerate(answered.counts) if count)
    return dict(zip(edges[: slowest + 1], answered.counts, strict=False))
