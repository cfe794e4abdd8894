"""MEASURE: what a batch costs, from the heartbeats of all servers, the latest batches counting most.

Servers report cumulative sums of the seconds a worker took. Instances that share a core make each other look slow,
which is corrected here with the servers' CPU counter.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.documents import as_number
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
STARTS_KEPT = 16
"""Starts that the next one is predicted from."""
BOOTS_KEPT = 64
KNOWN_KEPT = 512
"""Servers whose counters are remembered: twice what a view of heartbeats holds."""
"""Boots that a restarted controller knows as counted, those heard last."""
WIDTH_TOKENS = 16
"""Width of the servers' bins of lengths."""


@dataclass(slots=True)
class _Known:
    """Where the counters of one boot stood."""

    batches: Mapping[BatchKey, BatchSums] = field(default_factory=dict[BatchKey, BatchSums])
    busy_s: float = 0.0
    cpu_s: float = 0.0
    has_started: bool = False
    """Whether it told how long its start took."""


class Profiler:
    """Accumulates batches and answers with the fitted law."""

    def __init__(self, shape: InstanceShape, *, prior: TokenServiceTimes = SHIPPED_SERVICE_TIMES) -> None:
        self._shape = shape
        self._prior = prior
        self._known: dict[str, _Known] = {}
        self._old: list[str] = []
        self._at_s: float | None = None
        self._starts_s: deque[float] = deque(maxlen=STARTS_KEPT)
        self.sums: dict[BatchKey, BatchSums] = {}

    def observe(self, instances: Iterable[InstanceSeen], now_s: float, *, live: int) -> None:
        """Take in what is new in each server's last heartbeat.

        Args:
            instances: last word of each server.
            now_s: seconds since the run's start.
            live: instances that exist now, those that start included; more than there are cores means contention.
        """
        self._decay(now_s)
        for seen in sorted(instances, key=lambda each: each.heard_at_s):
            beat = seen.heartbeat
            # The boots heard last stand last: those are the ones that a restart must know.
            known = self._known.pop(beat.boot_id, None)
            if "ready" in beat.cold_start_s and (known is None or not known.has_started):
                self._starts_s.append(beat.cold_start_s["ready"])
            if known is None and beat.boot_id in self._old:
                self._known[beat.boot_id] = _known_of(beat)  # counted before a restart of the controller
            elif known is None:
                self._take(beat, _Known(), live)
            else:
                self._take(beat, known, live)
        self._forget()

    def fit(self) -> LatencyFit:
        """Return the law of service times.

        On a core that server and worker share, the worker's clock runs on while the front of the server works, so
        requests that come close together, which is when capacity matters, have that work in their service time already.
        """
        return fit_service_times(self.sums, prior=self._prior)

    def shape(self) -> InstanceShape:
        """Return the platform's shape with the cold start as servers measured it, from exec to ready.

        The quickest of the last starts counts: others shared their core, and that the simulation adds by itself.
        """
        if not self._starts_s:
            return self._shape
        start_s = min(self._starts_s)
        cpu_share = self._shape.cold_start_cpu_s / self._shape.cold_start_s
        return replace(self._shape, cold_start_s=start_s, cold_start_cpu_s=cpu_share * start_s)

    @property
    def batches(self) -> float:
        """How many batches the law rests on."""
        return sum(each.count for each in self.sums.values())

    @property
    def largest_batch(self) -> int:
        """Requests of the largest batch that the law rests on."""
        return max((size for (size, _), each in self.sums.items() if each.count >= 1), default=0)

    def mean_tokens(self) -> float:
        """Return padded tokens per request; 0 before the first batch."""
        requests = sum(size * each.count for (size, _), each in self.sums.items())
        return sum(tokens * each.count for (_, tokens), each in self.sums.items()) / requests if requests else 0.0

    def to_document(self) -> dict[str, object]:
        """Return what a restarted controller needs, as JSON; the rarest kinds of batch are left out."""
        rows = sorted(self.sums.items(), key=lambda item: -item[1].count)[:200]
        return {
            "batches": [[*key, round(s.count, 2), round(s.sum_s, 6), round(s.sum_sq_s, 9)] for key, s in rows],
            "boots": [*(each for each in self._old if each not in self._known), *self._known][-BOOTS_KEPT:],
        }

    def restore(self, document: Mapping[str, object]) -> None:
        """Go on from what `to_document` returned; batches of boots named there are not counted twice.

        Raises:
            BadInputError: a number that is none, such as NaN; nothing is restored then.
        """
        rows, boots = document["batches"], document["boots"]
        sums: dict[BatchKey, BatchSums] = {}
        for row in rows if isinstance(rows, list) else ():
            size, tokens, count, sum_s, sum_sq_s = (as_number(each, "state: batches") for each in row)
            sums[max(1, int(size)), int(tokens)] = BatchSums(count, sum_s, sum_sq_s)
        self.sums = sums
        self._old = [str(each) for each in boots] if isinstance(boots, list) else []

    def _take(self, beat: Heartbeat, known: _Known, live: int) -> None:
        busy_s = beat.counters["busy_s"] - known.busy_s
        cpu_s = beat.counters["cpu_s"] - known.cpu_s
        share, weight = 1.0, 1.0
        if live > self._shape.cores and busy_s > 0 and cpu_s > 0:
            share = min(1.0, max(self._shape.cores / live, cpu_s / busy_s))
            weight = CONTENDED_WEIGHT
        for key, total in beat.batches.items():
            new = total - known.batches.get(key, BatchSums(0, 0.0, 0.0))
            if new.count > 0:
                counted = BatchSums(new.count, new.sum_s * share, new.sum_sq_s * share**2).scaled(weight)
                self.sums[key] = self.sums[key] + counted if key in self.sums else counted
        self._known[beat.boot_id] = _known_of(beat)

    def _forget(self) -> None:
        """Servers of which nothing is heard any more stand first; of a service that scales from zero there are many."""
        while len(self._known) > KNOWN_KEPT:
            del self._known[next(iter(self._known))]

    def _decay(self, now_s: float) -> None:
        # A restored profile is as old as the state was, not as the run: the first look only sets the clock.
        age_s = 0.0 if self._at_s is None else max(0.0, now_s - self._at_s)
        factor = 0.5 ** (age_s / HALF_LIFE_S)
        self._at_s = now_s
        self.sums = {key: each.scaled(factor) for key, each in self.sums.items() if each.count * factor > 0.01}


def _known_of(beat: Heartbeat) -> _Known:
    counters = beat.counters
    return _Known(beat.batches, counters["busy_s"], counters["cpu_s"], has_started="ready" in beat.cold_start_s)


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
