"""MEASURE: what a batch costs, from the heartbeats of all servers, the latest batches counting most.

Servers report cumulative sums of the seconds a worker took. Two things stand between those and the cost of a batch on a
free core, and both are corrected here with the servers' CPU counter: instances that share a core make each other look
slow, and the server's own work for a request (HTTP, tokens) takes the same core but no worker's time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.token_lengths import TokenLengths
from controller.profiling.latency_model import SHIPPED_SERVICE_TIMES, LatencyFit, fit_service_times
from controller.telemetry.heartbeat import BatchKey, BatchSums, Heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controller.domain.service_time import TokenServiceTimes
    from controller.domain.serving_config import InstanceShape, ServingConfig
    from controller.telemetry.merge import InstanceSeen

HALF_LIFE_S = 300.0
"""Old batches lose half their weight in this time: neighbours and clock speeds change."""
CONTENDED_WEIGHT = 0.1
"""Batches measured while instances competed for a core count this much; their time had to be guessed from CPU."""
WIDTH_TOKENS = 16
"""Width of the servers' bins of lengths."""


@dataclass(slots=True)
class _Known:
    """Where the counters of one boot stood."""

    is_ready: bool = False
    batches: Mapping[BatchKey, BatchSums] = field(default_factory=dict[BatchKey, BatchSums])
    answered: float = 0.0
    busy_s: float = 0.0
    cpu_s: float = 0.0


class Profiler:
    """Accumulates batches and answers with the fitted law."""

    def __init__(self, shape: InstanceShape, *, prior: TokenServiceTimes = SHIPPED_SERVICE_TIMES) -> None:
        self._shape = shape
        self._prior = prior
        self._known: dict[str, _Known] = {}
        self._old: set[str] = set()
        self._at_s = 0.0
        self.sums: dict[BatchKey, BatchSums] = {}
        self.overhead_s = 0.0
        """CPU seconds of one request outside workers, summed and decayed like the batches."""
        self.answered = 0.0

    def observe(self, instances: Iterable[InstanceSeen], now_s: float, *, live: int) -> None:
        """Take in what is new in each server's last heartbeat.

        Args:
            instances: last word of each server.
            now_s: seconds since the run's start.
            live: instances that exist now, those that start included; more than there are cores means contention.
        """
        self._decay(now_s)
        for seen in instances:
            beat = seen.heartbeat
            known = self._known.get(beat.boot_id)
            if known is None and beat.boot_id in self._old:
                self._known[beat.boot_id] = _known_of(beat)  # counted before a restart of the controller
            elif known is None:
                self._take(beat, _Known(), live)
            else:
                self._take(beat, known, live)

    def fit(self) -> LatencyFit:
        """Return the law of service times, with the server's own work folded into the time per token."""
        fit = fit_service_times(self.sums, prior=self._prior)
        tokens = self.mean_tokens()
        if not tokens or not self.answered or self._shape.vcpu > 1:
            return fit  # with a second core the front of the server does not slow its worker
        extra = self.overhead_s / self.answered / tokens
        return replace(fit, service=replace(fit.service, per_token_s=fit.service.per_token_s + extra))

    @property
    def batches(self) -> float:
        """How many batches the law rests on."""
        return sum(each.count for each in self.sums.values())

    def mean_tokens(self) -> float:
        """Return padded tokens per request; 0 before the first batch."""
        requests = sum(size * each.count for (size, _), each in self.sums.items())
        return sum(tokens * each.count for (_, tokens), each in self.sums.items()) / requests if requests else 0.0

    def to_document(self) -> dict[str, object]:
        """Return what a restarted controller needs, as JSON; the rarest kinds of batch are left out."""
        rows = sorted(self.sums.items(), key=lambda item: -item[1].count)[:200]
        return {
            "batches": [[*key, round(s.count, 2), round(s.sum_s, 6), round(s.sum_sq_s, 9)] for key, s in rows],
            "overhead_s": round(self.overhead_s, 6),
            "answered": round(self.answered, 2),
            "boots": list(self._known)[-64:],
        }

    def restore(self, document: Mapping[str, object]) -> None:
        """Go on from what `to_document` returned; batches of boots named there are not counted twice."""
        rows = document["batches"]
        for size, tokens, count, sum_s, sum_sq_s in rows if isinstance(rows, list) else ():
            self.sums[int(size), int(tokens)] = BatchSums(float(count), float(sum_s), float(sum_sq_s))
        self.overhead_s = float(str(document["overhead_s"]))
        self.answered = float(str(document["answered"]))
        boots = document["boots"]
        self._old = {str(each) for each in boots} if isinstance(boots, list) else set()

    def _take(self, beat: Heartbeat, known: _Known, live: int) -> None:
        busy_s = beat.counters["busy_s"] - known.busy_s
        cpu_s = beat.counters["cpu_s"] - known.cpu_s
        answered = beat.counters["answered"] - known.answered
        share, weight = 1.0, 1.0
        if live > self._shape.cores and busy_s > 0 and cpu_s > 0:
            share = min(1.0, max(self._shape.cores / live, cpu_s / busy_s))
            weight = CONTENDED_WEIGHT
        elif known.is_ready and answered > 0 and busy_s > 0:  # CPU of the start is no work of a request
            self.overhead_s += max(0.0, cpu_s - busy_s)
            self.answered += answered
        for key, total in beat.batches.items():
            new = total - known.batches.get(key, BatchSums(0, 0.0, 0.0))
            if new.count > 0:
                counted = BatchSums(new.count, new.sum_s * share, new.sum_sq_s * share**2).scaled(weight)
                self.sums[key] = self.sums[key] + counted if key in self.sums else counted
        self._known[beat.boot_id] = _known_of(beat)

    def _decay(self, now_s: float) -> None:
        factor = 0.5 ** (max(0.0, now_s - self._at_s) / HALF_LIFE_S)
        self._at_s = now_s
        self.sums = {key: each.scaled(factor) for key, each in self.sums.items() if each.count * factor > 0.01}
        self.overhead_s *= factor
        self.answered *= factor


def _known_of(beat: Heartbeat) -> _Known:
    counters = beat.counters
    return _Known(beat.ready, beat.batches, counters["answered"], counters["busy_s"], counters["cpu_s"])


def lengths_law(histogram: Mapping[int, int]) -> TokenLengths:
    """Return the law of lengths of a histogram by upper edge, spread evenly inside each of its bins.

    About 1000 draws; before the first request it is a single length of 32 tokens.
    """
    total = sum(histogram.values())
    if not total:
        return TokenLengths(np.array([32]))
    draws: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for edge, count in sorted(histogram.items()):
        if count:
            size = max(1, round(1000 * count / total))
            draws.append(np.rint(np.linspace(max(1, edge - WIDTH_TOKENS + 1), edge, size)).astype(np.int64))
    return TokenLengths(np.concatenate(draws))


def capacity_rps(service: TokenServiceTimes, lengths: TokenLengths, config: ServingConfig) -> float:
    """Return requests a second that one instance can serve in full batches of requests of mean length."""
    tokens = float(lengths.tokens.mean())
    size = max(1, min(config.max_batch_size, int(config.batch_tokens / tokens)))
    return config.workers * size / service.seconds(size, padded_length=round(tokens))
