"""One heartbeat, parsed once: JSON of the wire in, frozen values out, a plain refusal for anything malformed.

Unknown fields are ignored, so a server one version ahead is understood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
LONGEST_BINS = 4096
"""More bins than this are no heartbeat (it carries 120 s at most, 1200 bins of 100 ms)."""
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
    """Cumulative service times of one kind of batch."""

    count: int
    sum_s: float
    sum_sq_s: float

    def __add__(self, other: BatchSums) -> BatchSums:
        return BatchSums(self.count + other.count, self.sum_s + other.sum_s, self.sum_sq_s + other.sum_sq_s)


BatchKey = tuple[int, int]
"""(batch size, padded tokens rounded up to a multiple of 16)."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What one server said. Bin i covers [i width, (i + 1) width) of its monotonic clock."""

    service: str
    instance: str
    boot_id: str
    seq: int
    ready: bool
    draining: bool
    generation: int
    monotonic_s: float
    wall_s: float
    bin_width_s: float
    bins: Mapping[int, int]
    censored: frozenset[int]
    counters: Mapping[str, float]
    batches: Mapping[BatchKey, BatchSums]
    lengths: Mapping[int, int]
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
    body = _object(document, "heartbeat")
    if body.get("schema") != SCHEMA:
        raise UnsupportedSchemaError(f"heartbeat: schema {body.get('schema')!r} is not spoken here, only {SCHEMA}")
    bins = _object(body.get("bins", {}), "bins")
    clock = _object(body.get("clock"), "clock")
    monotonic_s = _real(clock.get("monotonic_s"), "clock.monotonic_s")
    width_s, counts = _bins(bins, monotonic_s)
    queue = _object(body.get("queue", {}), "queue")
    workers = _object(body.get("workers", {}), "workers")
    counters = _object(body.get("counters", {}), "counters")
    return Heartbeat(
        service=_text(body, "service"),
        instance=_text(body, "instance"),
        boot_id=_text(body, "boot_id"),
        seq=_whole(body.get("seq"), "seq"),
        ready=body.get("ready") is True,
        draining=body.get("draining") is True,
        generation=_whole(body.get("generation", 0), "generation"),
        monotonic_s=monotonic_s,
        wall_s=_real(clock.get("wall_s"), "clock.wall_s"),
        bin_width_s=width_s,
        bins=counts,
        censored=frozenset(counts)
        & {_whole(each, "bins.censored") for each in _list(bins.get("censored", []), "bins.censored")},
        counters={name: _real(counters.get(name, 0), f"counters.{name}") for name in COUNTERS},
        batches=_batches(body.get("batches", [])),
        lengths=_lengths(body.get("lengths", {})),
        queue_length=_whole(queue.get("length", 0), "queue.length"),
        in_flight=_whole(queue.get("in_flight", 0), "queue.in_flight"),
        cold_start_s={
            name: _real(value, f"cold_start_s.{name}")
            for name, value in _object(body.get("cold_start_s") or {}, "cold_start_s").items()
            if value is not None
        },
        workers_started=_whole(workers.get("started", 1), "workers.started"),
        workers_active=_whole(workers.get("active", 1), "workers.active"),
    )


def _bins(bins: dict[str, Any], monotonic_s: float) -> tuple[float, dict[int, int]]:
    width_s = _real(bins.get("width_s", 0.1), "bins.width_s")
    counts = _list(bins.get("counts", []), "bins.counts")
    if not 0.001 <= width_s <= 60:
        raise BadInputError(f"heartbeat: bins.width_s needs seconds from 0.001 to 60, got {width_s:g}")
    if len(counts) > LONGEST_BINS:
        raise BadInputError(f"heartbeat: bins.counts needs at most {LONGEST_BINS} bins, got {len(counts)}")
    first = _whole(bins.get("first", 0), "bins.first")
    if counts and (first + len(counts) - 1) * width_s > monotonic_s + 1:
        raise BadInputError(f"heartbeat: bins end after the sender's clock, which shows {monotonic_s:g} s")
    return width_s, {first + offset: _whole(count, "bins.counts") for offset, count in enumerate(counts)}


def _batches(value: object) -> dict[BatchKey, BatchSums]:
    sums: dict[BatchKey, BatchSums] = {}
    for each in _list(value, "batches"):
        row = _object(each, "batches")
        key = (_whole(row.get("batch_size"), "batch_size", 1), _whole(row.get("padded_tokens"), "padded_tokens", 1))
        found = BatchSums(
            _whole(row.get("count"), "batches.count"),
            _real(row.get("sum_s"), "batches.sum_s"),
            _real(row.get("sum_sq_s"), "batches.sum_sq_s"),
        )
        sums[key] = sums[key] + found if key in sums else found
    return sums


def _lengths(value: object) -> dict[int, int]:
    lengths: dict[int, int] = {}
    for edge, count in _object(value, "lengths").items():
        if not edge.isdecimal() or int(edge) < 1:
            raise BadInputError(f"heartbeat: lengths needs upper edges in tokens as keys, got {edge!r}")
        lengths[int(edge)] = _whole(count, "lengths")
    return lengths


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInputError(f"heartbeat: {name} needs an object, got {type(value).__name__}")
    return cast("dict[str, Any]", value)


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadInputError(f"heartbeat: {name} needs a list, got {type(value).__name__}")
    return cast("list[Any]", value)


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 253:
        raise BadInputError(f"heartbeat: {name} needs a text of 1 to 253 characters, got {str(value)[:40]!r}")
    return value


def _whole(value: object, name: str, low: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 2**63:
        raise BadInputError(f"heartbeat: {name} needs a whole number of at least {low}, got {str(value)[:40]!r}")
    return value


def _real(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 0):
        raise BadInputError(f"heartbeat: {name} needs a number of at least 0, got {str(value)[:40]!r}")
    return float(value)
