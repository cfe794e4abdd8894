"""Makes, enlarges, writes and reads the tables of a simulation of pods, plain or compiled alike."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.performance_model.autoscaler_rule import Bucket, Scaler, Wish
from controller.performance_model.batch_durations import set_durations
from controller.performance_model.knative_autoscaler import set_parameters
from controller.performance_model.pod_routing import ROUTINGS
from controller.performance_model.pod_state import SLOW, START, Batch, Job, Limits, Now, Pod, Request, SizeLaw, State
from controller.performance_model.tables import with_room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.service_time import ServiceTimes
    from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
    from controller.performance_model.tables import Tables

OBSERVE_S = 1.0
"""Longest time between two observations of concurrency, as in Knative."""


class PodTables:
    """The state of one simulation, and the only place that knows how it is stored.

    Args:
        tables: plain or compiled.
        shape: size, cores, start and end of an instance, and which one a request goes to.
        autoscaler: gives the times of ticks and observations.
    """

    def __init__(self, tables: Tables, shape: InstanceShape, autoscaler: AutoscalerSettings) -> None:
        self._tables = tables
        self.last_arrival_s = 0.0
        rows, no_integers = tables.rows, tables.numbers(np.zeros(0, dtype=np.int64))
        self.state = State(
            now=rows(Now, 1),
            limits=rows(Limits, 1),
            scaler=rows(Scaler, 1),
            buckets=rows(Bucket, 0),
            wishes=rows(Wish, 0),
            requests=rows(Request, 0),
            joined=no_integers,
            joined_pod=no_integers,
            batches=rows(Batch, 0),
            pods=rows(Pod, 0),
            living=no_integers,
            members=no_integers,
            ready=no_integers,
            jobs=rows(Job, 0),
            jobs_order=no_integers,
            by_size=rows(SizeLaw, 0),
            noise=tables.numbers(np.zeros(0)),
        )
        now, limits = self.now, self._limits
        limits.max_instances, limits.cores = shape.max_instances, shape.cores
        limits.cold_start_s, limits.cold_start_cpu_s = shape.cold_start_s, shape.cold_start_cpu_s
        limits.drain_s, limits.routing = shape.drain_s, ROUTINGS.index(shape.routing)
        limits.tick_s = now.next_tick_s = autoscaler.tick_s
        limits.observe_s = now.next_observation_s = min(OBSERVE_S, autoscaler.tick_s)

    @property
    def now(self) -> Now:
        """The clock and counts, to be read and written."""
        return self._tables.row(self.state.now)

    @property
    def _limits(self) -> Limits:
        return self._tables.row(self.state.limits)

    def begin(self, initial_scale: int) -> None:
        """Have so many pods ready at time 0, or `min_scale` if that is more."""
        scaler = self._tables.row(self.state.scaler)
        scaler.initial_scale = initial_scale
        self.now.desired = min(max(initial_scale, scaler.min_scale), self._limits.max_instances)
        self.now.change = START

    def configure(
        self, config: ServingConfig, autoscaler: AutoscalerSettings, service: ServiceTimes, *, change: int = 0
    ) -> None:
        """Write a setting into the tables; it is taken over when time goes on."""
        limits, now = self._limits, self.now
        for name in (
            "max_batch_size",
            "batch_tokens",
            "max_queue_delay_s",
            "max_queue_length",
            "workers",
            "container_concurrency",
        ):
            setattr(limits, name, getattr(config, name))
        set_parameters(self._tables.row(self.state.scaler), autoscaler, config)
        law = set_durations(limits, service, max_batch_size=config.max_batch_size, memory_mb=config.memory_mb)
        by_size = self._tables.rows(SizeLaw, config.max_batch_size)
        for name, values in zip(("seconds", "work_factor"), law, strict=True):
            self._tables.fill(by_size, name, values)
        self._replace(by_size=by_size)
        limits.most_workers = max(limits.most_workers, limits.workers)
        now.is_room_known = 0
        now.change = change or now.change
        if change == SLOW:
            now.revision += 1
            now.revision_pods = 0

    def offer(self, instants: NDArray[np.float64], lengths: NDArray[np.int64], noise: NDArray[np.float64]) -> None:
        """Add requests that arrive later, and noise enough for a batch of each."""
        tables, now, size = self._tables, self.now, instants.size
        if not size:
            return
        self._grow(size + now.offered, requests=Request, batches=Batch, joined=int, joined_pod=int)
        tables.fill(self.state.requests, "arrival_s", instants, start=now.offered)
        tables.fill(self.state.requests, "tokens", lengths, start=now.offered)
        if noise.size:
            self._replace(noise=tables.grown(self.state.noise, tables.numbers(noise)))
        self.last_arrival_s = float(instants[-1])
        now.offered += size

    def make_room(self) -> None:
        """Enlarge what `pod_events.needs_room` found too small."""
        tables, state, now, limits = self._tables, self.state, self.now, self._limits
        self._grow(now.pods + limits.max_instances, pods=Pod, living=int, members=int, ready=int)
        known = len(state.jobs)
        self._grow((now.living + limits.max_instances) * (limits.most_workers + 1), jobs=Job)
        rows = tables.numbers(np.arange(known, len(self.state.jobs)))
        scaler = tables.row(state.scaler)
        buckets, scaler.first_bucket = with_room(tables, Bucket, state.buckets, scaler.first_bucket, scaler.n_buckets)
        wishes, scaler.first_wish = with_room(tables, Wish, state.wishes, scaler.first_wish, scaler.n_wishes)
        self._replace(jobs_order=tables.grown(state.jobs_order, rows), buckets=buckets, wishes=wishes)

    def requests(self, name: str, *, stop: int) -> NDArray[Any]:
        """Return a column of the first `stop` requests."""
        return self._tables.column(Request, self.state.requests, name, stop=stop)

    def arrivals_since(self, from_s: float) -> NDArray[np.float64]:
        """Return the instants of what has arrived from then on; earlier ones are not touched, but for a few."""
        table, arrived = self.state.requests, int(self.now.arrived)

        def instants(first: int, stop: int) -> NDArray[np.float64]:
            return self._tables.column(Request, table, "arrival_s", start=first, stop=stop)

        first = bisect_left(range(arrived), from_s, key=lambda row: float(instants(row, row + 1)[0]))
        return instants(first, arrived)

    def pods(self) -> Sequence[Pod]:
        """Return every pod so far."""
        return self._tables.objects(self.state.pods, Pod, self.now.pods)

    def joined_since(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Return pod, instant and length of the requests that reached a pod, without the first `count`."""
        stop = self.now.joined
        rows = np.array(self.state.joined[count:stop], dtype=np.int64)
        pods = np.array(self.state.joined_pod[count:stop], dtype=np.int64)
        if not rows.size:
            return pods, np.zeros(0), rows
        low, high = int(rows.min()), int(rows.max()) + 1
        column = self._tables.column
        at_s = column(Request, self.state.requests, "joined_s", start=low, stop=high)
        tokens = column(Request, self.state.requests, "tokens", start=low, stop=high)
        return pods, at_s[rows - low], tokens[rows - low]

    def batches_since(self, count: int) -> tuple[NDArray[Any], ...]:
        """Return pod, size, padded tokens and seconds of finished batches, without the first `count`."""
        names = ("pod", "size", "padded_tokens", "seconds")
        column = self._tables.column
        return tuple(column(Batch, self.state.batches, name, start=count, stop=self.now.batches) for name in names)

    def _grow(self, size: int, **kinds: Any) -> None:
        """Have at least `size` rows in these tables, and twice as many as before in those that are enlarged."""
        for name, kind in kinds.items():
            table = getattr(self.state, name)
            missing = size - len(table)
            if missing <= 0:
                continue
            missing = max(missing, len(table))
            extra = self._tables.numbers(np.zeros(missing, dtype=np.int64)) if kind is int else None
            extra = self._tables.rows(kind, missing) if extra is None else extra
            self._replace(**{name: self._tables.grown(table, extra)})

    def _replace(self, **tables: Any) -> None:
        self.state = self.state._replace(**tables)
