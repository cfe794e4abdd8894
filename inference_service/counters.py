"""Everything the server counts, in one plain object: heartbeats read it, /metrics shows it, no library is needed.

One request here is one instance: an API call with three texts is three requests, as it is for the batcher.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass, field

from inference_service.arrival_bins import ArrivalBins

KEY_TOKENS = 16
"""Token counts are rounded up to a multiple of this in the keys of the tables."""

LATENCY_BUCKETS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.125, 0.15, 0.175, 0.2, 0.25, 0.3,
    0.35, 0.4, 0.5, 0.65, 0.8, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Dense between 50 and 500 ms, where latency objectives of text classification lie."""
SIZE_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)
TOKEN_BUCKETS = (16, 32, 64, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096, 8192)
RATIO_BUCKETS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75)


@dataclass(slots=True)
class Histogram:
    """Counts per bucket (upper edges included), count and sum."""

    edges: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.edges) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value


@dataclass(slots=True)
class ServiceTimes:
    """Service times of the batches of one size and padded length."""

    count: int = 0
    sum_s: float = 0.0
    sum_sq_s: float = 0.0


@dataclass(slots=True)
class Counters:
    """All counts since the start of the process. Mutable by nature; only the event loop's thread writes."""

    bins: ArrivalBins = field(default_factory=lambda: ArrivalBins(time.monotonic()))
    accepted: int = 0
    answered: int = 0
    expired: int = 0
    failed: int = 0
    cancelled: int = 0
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    """By reason; the heartbeat's `rejected` is those turned away by a full queue."""
    in_flight: int = 0
    """Requests that a worker holds."""
    queue_length: int = 0
    busy_s: float = 0.0
    """Service time of all workers."""
    worker_deaths: int = 0
    batches: dict[tuple[int, int], ServiceTimes] = field(default_factory=dict[tuple[int, int], ServiceTimes])
    """By batch size and padded tokens, the latter rounded up to a multiple of KEY_TOKENS."""
    lengths: dict[int, int] = field(default_factory=dict[int, int])
    """Requests by length in tokens, upper edges, multiples of KEY_TOKENS."""
    request_s: dict[int, Histogram] = field(default_factory=dict[int, Histogram])
    """Duration of API calls by HTTP status."""
    queue_wait_s: Histogram = field(default_factory=lambda: Histogram(LATENCY_BUCKETS_S))
    inference_s: Histogram = field(default_factory=lambda: Histogram(LATENCY_BUCKETS_S))
    batch_size: Histogram = field(default_factory=lambda: Histogram(SIZE_BUCKETS))
    batch_tokens: Histogram = field(default_factory=lambda: Histogram(TOKEN_BUCKETS))
    padding_ratio: Histogram = field(default_factory=lambda: Histogram(RATIO_BUCKETS))
    cold_start_s: dict[str, float] = field(default_factory=dict[str, float])
    config_reloads: dict[str, int] = field(default_factory=dict[str, int])
    heartbeats: dict[str, int] = field(default_factory=dict[str, int])

    def count_rejected(self, reason: str, n: int = 1) -> None:
        """Count requests that were turned away."""
        self.rejected[reason] = self.rejected.get(reason, 0) + n

    def count_length(self, tokens: int) -> None:
        """Count one accepted request's length."""
        key = round_up(tokens)
        self.lengths[key] = self.lengths.get(key, 0) + 1

    def count_batch(self, *, size: int, tokens: int, padded_tokens: int, service_s: float) -> None:
        """Count one computed batch."""
        times = self.batches.setdefault((size, round_up(padded_tokens)), ServiceTimes())
        times.count += 1
        times.sum_s += service_s
        times.sum_sq_s += service_s * service_s
        self.busy_s += service_s
        self.inference_s.observe(service_s)
        self.batch_size.observe(size)
        self.batch_tokens.observe(padded_tokens)
        self.padding_ratio.observe(1 - tokens / padded_tokens)

    def count_call(self, status: int, duration_s: float) -> None:
        """Count one API call that asked for predictions."""
        histogram = self.request_s.get(status)
        if histogram is None:
            histogram = self.request_s[status] = Histogram(LATENCY_BUCKETS_S)
        histogram.observe(duration_s)


def round_up(tokens: int) -> int:
    """The next multiple of KEY_TOKENS."""
    return -(-tokens // KEY_TOKENS) * KEY_TOKENS
