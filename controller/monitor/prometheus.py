"""OBSERVE, second source: arrivals and latency of a Knative Service as a Prometheus has them.

For services whose servers send no heartbeats. What it can and cannot tell: docs/prometheus.md.
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

from controller.errors import BadInputError, TemporaryError
from controller.monitor.prometheus_api import AnswerTooLargeError, PrometheusApi, RawSeries
from controller.monitor.promql import (
    ACTIVATOR,
    DIALECTS,
    PROBE_LABEL,
    Dialect,
    ServiceRef,
    buckets_query,
    probe_query,
    samples_query,
    target_of,
    targets_query,
)
from controller.monitor.scraped_counts import ScrapedCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controller.telemetry.arrival_bins import Counts

LONGEST_HISTORY_S = 3600.0
OVERLAP_S = 30.0
"""Seconds that are asked for once more: a scrape may take ten, and bears the time of its start."""
PROBE_EVERY_S = 60.0
"""While nobody speaks of the service, or no longer; until then its arrivals go unseen."""
PROBE_BACK_S = 3600.0
"""A service that stands at zero was last heard of a while ago."""
QUIET_S = 300.0
"""After so long without a sample another dialect may have taken over, as after an upgrade of Knative."""
SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
LATENCY_BACK_S = 120.0
LATENCY_EVERY_S = 15.0


class PrometheusArrivals:
    """An `ArrivalSource` over one Prometheus, for one service.

    Args:
        api: of the Prometheus.
        service: whose arrivals.
        started_at_s: Unix time at which the run's clock shows 0; 0 makes the two the same.
        kept_s: seconds of history, asked for at first and remembered.
        is_activator_in_path: whether every request passes the activator (target-burst-capacity "-1"). Only then does
            it count all of them; it then also knows those that wait while no pod is there.

    Raises:
        BadInputError: more history than an hour, or none.
    """

    def __init__(
        self,
        api: PrometheusApi,
        service: ServiceRef,
        *,
        started_at_s: float = 0.0,
        kept_s: float = 900.0,
        is_activator_in_path: bool = False,
    ) -> None:
        if not 0 < kept_s <= LONGEST_HISTORY_S:
            raise BadInputError(
                f"Prometheus: kept_s needs more than 0 and at most {LONGEST_HISTORY_S:g}, got {kept_s:g}"
            )
        self._api, self._service, self._started_at_s, self._kept_s = api, service, started_at_s, kept_s
        self.is_activator_in_path = is_activator_in_path
        self._dialects = (ACTIVATOR, *DIALECTS) if is_activator_in_path else DIALECTS
        self._dialect: Dialect | None = None
        self._counts = ScrapedCounts(kept_s=kept_s)
        self._history_s = kept_s
        self._probed_s = self._asked_s = self._next_s = -math.inf
        self._failure: str | None = None
        self._latency: dict[float, int] = {}
        self._latency_next_s = -math.inf

    @property
    def dialect(self) -> str | None:
        """Name of the dialect that is read; None while nobody speaks of the service."""
        return None if self._dialect is None else self._dialect.name

    @property
    def resolution_s(self) -> float:
        """Time between two readings: in shorter bins counts are interpolated and say nothing of dispersion."""
        reported_s = 0.0 if self._dialect is None else self._dialect.reported_every_s
        return max(self._counts.resolution_s, reported_s)

    def counts(self, until_s: float, bin_s: float = 1.0) -> Counts:
        """See `ArrivalSource.counts`."""
        return self._counts.counts(until_s, bin_s)

    async def refresh(self, now_s: float) -> None:
        """Ask for what is new; to be called once a tick. It asks no more often than is of use: twice a scrape at most.

        Args:
            now_s: seconds of the run.

        Raises:
            TemporaryError: no usable answer, or none yet since the last failure. Nothing is lost, since counters are
                cumulative.
        """
        if now_s < self._next_s:
            if self._failure is not None:
                raise TemporaryError(self._failure)
            return
        self._next_s = now_s + LONGEST_PAUSE_S
        try:
            await self._ask(now_s)
        except TemporaryError as error:
            self._failure = str(error)
            raise
        self._failure = None
        self._next_s = now_s + min(max(self.resolution_s / 2, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)

    async def latency_counts(self, now_s: float) -> dict[float, int]:
        """Return the answers of the last two minutes, or four scrapes if that is longer, by latency.

        It asks no more often than is of use, and errors count with the time that they took.

        Args:
            now_s: seconds of the run.

        Returns:
            Answers keyed by rising upper edge in seconds; empty where nobody speaks of the service.

        Raises:
            TemporaryError: no usable answer.
        """
        if self._dialect is not None and now_s >= self._latency_next_s:
            back_s = max(LATENCY_BACK_S, 4 * self.resolution_s)
            query = buckets_query(self._dialect, self._service, back_s=back_s)
            at_s = self._started_at_s + now_s
            answer = await self._api.vector(query, at_s=at_s, kind="latency buckets", is_nan_fine=True)
            self._latency = _by_bucket(answer, self._dialect.latency_unit_s)
            self._latency_next_s = now_s + LATENCY_EVERY_S
        return self._latency

    async def _ask(self, now_s: float) -> None:
        is_quiet = self._dialect is not None and self._counts.heard_s < now_s - QUIET_S
        if (self._dialect is None or is_quiet) and now_s - self._probed_s >= PROBE_EVERY_S:
            await self._probe(now_s)
        if self._dialect is None:
            return
        back_s = min(now_s - self._asked_s + OVERLAP_S + 2 * self.resolution_s, self._history_s)
        try:
            series = await self._samples(self._dialect, now_s, back_s)
        except AnswerTooLargeError:
            self._history_s = max(back_s / 2, OVERLAP_S)
            raise
        self._counts.add(series, now_s, offset_s=self._started_at_s)
        self._asked_s = now_s

    async def _probe(self, now_s: float) -> None:
        """Find the first dialect that speaks of the service; one that is known stays where there is no other."""
        back_s = PROBE_BACK_S if self._dialect is None else QUIET_S
        query = probe_query(self._dialects, self._service, back_s=back_s)
        answer = await self._api.vector(query, at_s=self._started_at_s + now_s, kind="probe of the metrics' names")
        self._probed_s = now_s
        spoken = {labels.get(PROBE_LABEL) for labels, value in answer if value > 0}
        found = next((each for each in self._dialects if each.name in spoken), self._dialect)
        if self._dialect is not None and found is not self._dialect:
            self._counts.begin_anew()
        self._dialect = found

    async def _samples(self, dialect: Dialect, now_s: float, back_s: float) -> list[RawSeries]:
        at_s = self._started_at_s + now_s
        if dialect.named_on == "series":
            query = samples_query(dialect, self._service, back_s=back_s)
            return await self._api.matrix(query, at_s=at_s, kind="samples of arrivals")
        query = targets_query(dialect, self._service, back_s=back_s)
        scrapes = await self._api.matrix(query, at_s=at_s, kind="list of targets")
        if not scrapes:
            return []
        targets = {target_of(each.labels) for each in scrapes}
        query = samples_query(dialect, self._service, back_s=back_s, targets=targets)
        series = await self._api.matrix(query, at_s=at_s, kind="samples of arrivals")
        # A counter is there from the first request on. That its pod was scraped before says that it began at zero.
        idle = [RawSeries(each.labels, tuple((scraped_s, 0.0) for scraped_s, _ in each.samples)) for each in scrapes]
        return [*idle, *(each for each in series if target_of(each.labels) in targets)]


def _by_bucket(answer: Iterable[tuple[Mapping[str, str], float]], unit_s: float) -> dict[float, int]:
    """Return what fell into each bucket of a cumulative histogram, by its upper edge in seconds."""
    edges = ((float(labels["le"]) * unit_s, value) for labels, value in answer if _is_edge(labels.get("le", "")))
    found: dict[float, int] = {}
    below = 0
    for edge_s, value in sorted(each for each in edges if math.isfinite(each[1])):
        found[edge_s] = max(0, round(value) - below)
        below += found[edge_s]
    return found


def _is_edge(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return float(text) > 0
    return False
