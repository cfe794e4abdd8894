"""One heartbeat, parsed once: JSON of the wire in, frozen values out, a plain refusal for anything malformed.

Unknown fields are ignored, so a server one version ahead is understood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.errors import BadInputError
from controller.telemetry.arrival_bins import BinReport, parse_bins
from controller.telemetry.wire import get_list, get_object, get_real, get_text, get_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
MOST_KINDS = 20_000
"""Kinds of batches in one heartbeat. The widest settings that the search tries (64 texts, 4096 padded tokens) make 9916
of them, should every one occur and single texts have up to 8192 tokens."""
MOST_LENGTHS = 4096
"""Classes of lengths in one heartbeat. No prepared model takes more than 8192 tokens: 512 classes of 16 tokens."""
MOST_EDGES = 256
"""Edges of latency in one heartbeat; servers have 30."""
MOST_STAGES = 64
"""Stages of a cold start in one heartbeat; servers tell of seven."""
COUNTERS = (
    "accepted",
    "answered",
    "rejected",
    "expired",
    "failed",
    "cancelled",
    "queue_wait_s",
    "busy_s",
    "cpu_s",
)


class UnsupportedSchemaError(BadInputError):
    """A heartbeat of a schema this controller does not speak (409 on the wire)."""


@dataclass(frozen=True, slots=True)
class BatchSums:
    """Cumulative service times of one kind of batch; real, because old batches may be forgotten by halves."""

    count: float
    sum_s: float
    sum_sq_s: float

    def __add__(self, other: BatchSums) -> BatchSums:
        return BatchSums(self.count + other.count, self.sum_s + other.sum_s, self.sum_sq_s + other.sum_sq_s)

    def __sub__(self, other: BatchSums) -> BatchSums:
        return BatchSums(self.count - other.count, self.sum_s - other.sum_s, self.sum_sq_s - other.sum_sq_s)

    def scaled(self, factor: float) -> BatchSums:
        """Return these batches counted `factor` times."""
        return BatchSums(self.count * factor, self.sum_s * factor, self.sum_sq_s * factor)


BatchKey = tuple[int, int]
"""(batch size, padded tokens rounded up to a multiple of 16)."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What one server said."""

    service: str
    instance: str
    boot_id: str
    seq: int
    ready: bool
    draining: bool
    generation: int
    bins: BinReport
    counters: Mapping[str, float]
    batches: Mapping[BatchKey, BatchSums]
    lengths: Mapping[int, int]
    latency: Mapping[float, int]
    """Right answers by duration of their call, keyed by upper edge in seconds; the last edge is infinite."""
    queue_length: int
    in_flight: int
    cold_start_s: Mapping[str, float]
    workers_started: int
    workers_active: int


def parse_heartbeat(document: object) -> Heartbeat:
    """Parse a heartbeat.

    Raises:
        UnsupportedSchemaError: another schema than 1.
        BadInputError: a field is missing, of the wrong type or out of range.
    """
    body = get_object(document, "body")
    if body.get("schema") != SCHEMA:
        raise UnsupportedSchemaError(f"heartbeat: schema {body.get('schema')!r} is not spoken here, only {SCHEMA}")
    queue = get_object(body.get("queue", {}), "queue")
    workers = get_object(body.get("workers", {}), "workers")
    counters = get_object(body.get("counters", {}), "counters")
    stages = get_object(body.get("cold_start_s") or {}, "cold_start_s", MOST_STAGES)
    return Heartbeat(
        service=get_text(body.get("service"), "service"),
        instance=get_text(body.get("instance"), "instance"),
        boot_id=get_text(body.get("boot_id"), "boot_id"),
        seq=get_whole(body.get("seq"), "seq"),
        ready=body.get("ready") is True,
        draining=body.get("draining") is True,
        generation=get_whole(body.get("generation", 0), "generation"),
        bins=parse_bins(body),
        counters={name: get_real(counters.get(name, 0), f"counters.{name}") for name in COUNTERS},
        batches=_batches(body.get("batches", [])),
        lengths=_lengths(body.get("lengths", {})),
        latency=_latency(body.get("latency", {})),
        queue_length=get_whole(queue.get("length", 0), "queue.length"),
        in_flight=get_whole(queue.get("in_flight", 0), "queue.in_flight"),
        cold_start_s={
            get_text(name, "cold_start_s"): get_real(each, "cold_start_s")
            for name, each in stages.items()
            if each is not None
        },
        workers_started=get_whole(workers.get("started", 1), "workers.started"),
        workers_active=get_whole(workers.get("active", 1), "workers.active"),
    )


def _batches(value: object) -> dict[BatchKey, BatchSums]:
    sums: dict[BatchKey, BatchSums] = {}
    for each in get_list(value, "batches", MOST_KINDS):
        row = get_object(each, "batches")
        size = get_whole(row.get("batch_size"), "batches.batch_size", 1)
        tokens = get_whole(row.get("padded_tokens"), "batches.padded_tokens", 1)
        found = BatchSums(
            get_whole(row.get("count"), "batches.count"),
            get_real(row.get("sum_s"), "batches.sum_s"),
            get_real(row.get("sum_sq_s"), "batches.sum_sq_s"),
        )
        sums[size, tokens] = sums[size, tokens] + found if (size, tokens) in sums else found
    return sums


def _lengths(value: object) -> dict[int, int]:
    lengths: dict[int, int] = {}
    for edge, count in get_object(value, "lengths", MOST_LENGTHS).items():
        if not edge.isdecimal() or len(edge) > 6 or int(edge) < 1:
            raise BadInputError(f"heartbeat: lengths needs upper edges in tokens as keys, got {edge[:40]!r}")
        lengths[int(edge)] = get_whole(count, "lengths")
    return lengths


def _latency(value: object) -> dict[float, int]:
    latency: dict[float, int] = {}
    for edge, count in get_object(value, "latency", MOST_EDGES).items():
        upper_s = _edge_s(edge)
        if upper_s is None:
            raise BadInputError(f"heartbeat: latency needs upper edges in seconds as keys, got {edge[:40]!r}")
        latency[upper_s] = get_whole(count, "latency")
    return latency


def _edge_s(text: str) -> float | None:
    if text == "inf":
        return math.inf
    try:
        upper_s = float(text) if len(text) < 16 else math.nan
    except ValueError:
        return None
    return upper_s if 0 < upper_s < math.inf else None
