"""What the loop knows of one service: its traffic, its profile, what it does wrong in predicting, and the last answer.

The loop asks it for the value that a search needs and for the conditions that a decision is made under; a restarted
loop goes on from its document.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.domain.arrival_process import Map, PoissonProcess
from controller.domain.cost import instance_second_usd
from controller.domain.documents import as_number
from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.monitor.server_latency import LatencySeen, ServerLatency
from controller.monitor.source import FrontArrivals, ServerArrivals
from controller.monitor.traffic import Detection, Traffic, TrafficChange
from controller.optimizer.decision import Conditions
from controller.optimizer.margin import LARGEST, SURPRISING, is_near, learn_margin
from controller.optimizer.problem import Known, make_problem
from controller.optimizer.reflex import SCALE, BurstSeen, Reflex
from controller.optimizer.scenarios import BIN_S, TrafficSeen
from controller.profiling.profiler import Profiler, capacity_rps, lengths_law

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.serving_config import AutoscalerSettings, InstanceShape
    from controller.monitor.lookout import Look
    from controller.monitor.source import ArrivalSource
    from controller.optimizer.margin import Lesson
    from controller.optimizer.study import Problem, SearchResult
    from controller.platforms.protocol import PlatformState
    from controller.settings import LoopSettings
    from controller.telemetry.merge import HeartbeatMerge

LONGEST_DWELL_S = 600.0
LEAST_BATCHES = 20
"""With fewer, what an instance serves is not known well enough for a reflex."""
HEARD_S, FULL = 3.0, 0.9
"""A server is full when it holds this share of what it may, as it said so many seconds ago at most."""
EASY = 0.5
"""Up to this share of what its instances serve, a service needs no other setting, whatever the rate does."""


class ServiceView:
    """Observes one service.

    Args:
        merge: heartbeats of its servers.
        settings: of the loop.
        detection: how changes are found and laws fitted.
        source: of arrivals, where it is neither the servers nor the platform's activator.
        shape: of an instance, as the platform states it.
        autoscaler: what the platform does not let us tune.
        lesson: what the margin learns from measured latency.
    """

    def __init__(  # noqa: PLR0913  whom it listens to, and what platforms and users state
        self,
        merge: HeartbeatMerge,
        settings: LoopSettings,
        detection: Detection,
        *,
        source: ArrivalSource | None = None,
        shape: InstanceShape,
        autoscaler: AutoscalerSettings,
        lesson: Lesson = learn_margin,
    ) -> None:
        self.traffic = Traffic(detection)
        self.profiler = Profiler(shape)
        self.margin = 1.0
        self.best: ServingConfig | None = None
        """What the last search found."""
        self.reflex = Reflex()
        """What it remembers of bursts."""
        self._merge, self._settings, self._detection = merge, settings, detection
        self._shape, self._autoscaler, self._lesson = shape, autoscaler, lesson
        self._latency = ServerLatency(settings.slo.quantile)
        self._front = FrontArrivals()
        self._source: ArrivalSource = source or ServerArrivals(merge)
        self._searched: tuple[float, LatencySeen | None] = (0.0, None)
        self._ready = 0

    def observe(self, state: PlatformState) -> None:
        """Take in what the activator counted, where there is one; it sees every request."""
        if state.front_arrivals:
            self._front.take(state.front_arrivals, state.at_s)
            self._source = self._front

    def detect_and_fit(self, now_s: float) -> list[TrafficChange]:
        """Return what changed in the seconds that are new."""
        return self.traffic.update(*self._source.counts(now_s))

    def profile(self, state: PlatformState, now_s: float) -> None:
        """Take in what batches took and how long requests stayed in the servers."""
        live = state.ready + state.starting
        self.profiler.observe(self._merge.instances(), now_s, live=live)
        if state.ready != self._ready:
            self._latency.begin()
        self._ready = state.ready
        self._latency.observe(self._merge, now_s)

    def changed(self) -> None:
        """Another setting is in force: what was measured under the last one says nothing of it."""
        self._latency.begin()

    def problem(self, look: Look, state: PlatformState, now_s: float) -> tuple[Problem, float]:
        """Return what to search, and the highest lasting rate that the search will have tried.

        Raises:
            BadInputError: bounds that leave nothing to search.
        """
        traffic, served = self.traffic, self._latency.news
        first, past = self._past(now_s)
        law = traffic.law
        if law is None or look.trigger in {"start", "alarm"}:
            law = PoissonProcess(traffic.upper_rate_rps)
        service, lengths = self.profiler.fit().service, lengths_law(self._merge.lengths())
        capacity = capacity_rps(service, lengths, state.config)
        known = Known(
            traffic=TrafficSeen(
                law=law,
                rate_rps=traffic.rate_rps,
                peak_rps=traffic.peak_rps,
                past=past,
                lengths=lengths,
                ready=state.ready,
                capacity_rps=capacity,
            ),
            service=service,
            autoscaler=self._autoscaler,
            shape=self.profiler.shape(),
            present=state.config,
            best=self.best,
            workers=max([1, *(each.heartbeat.workers_started for each in self._merge.instances()[:8])]),
            margin=self.margin,
            may_hold=look.trigger in {"regime", "periodic"},
            may_roll=look.trigger == "regime",
            served=past[:0] if served is None else past[served.bins(first, BIN_S)],
        )
        self._searched = (traffic.rate_rps, served)
        settings = self._settings
        if self.reflex.rest is not None:
            settings = replace(settings, held=settings.held | SCALE)
        return (
            make_problem(known, settings),
            # Instances that share cores serve no more than the cores do.
            max(traffic.sustained_rps, EASY * capacity * max(1, min(state.ready, self._shape.cores))),
        )

    def burst(self, state: PlatformState, now_s: float, *, is_alarm: bool) -> BurstSeen:
        """Return what the reflex looks at in this second.

        Args:
            state: of the platform.
            now_s: now.
            is_alarm: whether the rate has just risen.
        """
        config, live, bounds = state.config, state.ready + state.starting, self._settings.bounds
        capacity = self._known_capacity_rps(config)
        return BurstSeen(
            now_s=now_s,
            rate_rps=self.traffic.burst_rps,
            is_rising=is_alarm or self.traffic.sure_rps > live * capacity > 0,
            is_settled=self.traffic.is_settled,
            is_hidden=self._source is not self._front and self._is_full(config.container_concurrency, now_s),
            capacity_rps=capacity,
            live=live,
            most=int(min(bounds.get("min_scale", (0, math.inf))[1], self._most_useful(capacity))),
            scale_bounds=bounds.get("max_scale", (0, math.inf)),
            own_activation=self._settings.own_activation_scale,
            window_s=config.stable_window_s(self._autoscaler),
        )

    def _is_full(self, fence: int, now_s: float) -> bool:
        """Return whether a server holds as many requests as it may, so that others wait where nobody counts them."""
        told = [each.heartbeat for each in self._merge.instances() if now_s - each.heard_at_s < HEARD_S]
        return any(each.queue_length + each.in_flight >= FULL * fence for each in told) if fence else False

    def _known_capacity_rps(self, config: ServingConfig) -> float:
        """Return what an instance serves in full batches; 0 before batches half as full were measured, and in silence.

        Counts that come in coarse steps are too old for a reflex.
        """
        profiler = self.profiler
        is_known = profiler.batches >= LEAST_BATCHES and profiler.largest_batch >= config.max_batch_size / 2
        if not is_known or self._source.resolution_s > 1.0 or not self.traffic.burst_rps:
            return 0.0
        return capacity_rps(profiler.fit().service, lengths_law(self._merge.lengths()), config)

    def _most_useful(self, capacity: float) -> float:
        """Return how many busy instances the shared cores can hold, and the user's budget pays for."""
        most, counters = float(self._shape.max_instances), self._merge.counters()
        answered, cpu_s = counters.get("answered", 0.0), counters.get("cpu_s", 0.0)
        if math.isfinite(self._shape.cores):
            most = min(most, self._shape.cores * answered / (cpu_s * capacity) if cpu_s and capacity else 1.0)
        shape = self._shape
        second_usd = instance_second_usd(self._settings.prices, vcpu=shape.vcpu, memory_mb=shape.memory_mb)
        if math.isfinite(self._settings.burst_usd_per_million) and second_usd > 0:
            most = min(most, self._settings.burst_usd_per_million / 1e6 * self.traffic.burst_rps / second_usd)
        return most

    def _past(self, now_s: float) -> tuple[int, NDArray[np.int64]]:
        """Return recent arrivals by bin for a replay, and the first bin's number.

        A coarse source has smoothed away what a replay is made for.
        """
        if self._source.resolution_s > 1.0:
            return 0, np.zeros(0, dtype=np.int64)
        first, counts, _ = self._source.counts(now_s, BIN_S)
        return first, counts

    @property
    def is_slow(self) -> bool:
        """Whether slow stretches of the present setting come near the bound, in the servers alone."""
        served = self._latency.seen
        return served is not None and is_near(served.slow_s, self._settings.slo.bound_s)

    def learn(self, found: SearchResult) -> str:
        """Compare what was measured before a search with what the search simulated of the same.

        Returns:
            Why another search is due, where the margin has risen much; else nothing.
        """
        (_, served), before = self._searched, self.margin
        self.best = found.best.config
        if served is None or found.calibration_s is None:
            return ""
        self._latency.compared(served)
        self.margin = self._lesson(
            self.margin,
            observed_s=served.slow_s,
            simulated_s=found.calibration_s,
            bound_s=self._settings.slo.bound_s,
        )
        if self.margin <= SURPRISING * before:
            return ""
        return f"slow answers took {served.slow_s:.3g} s and not {found.calibration_s:.3g}; margin {self.margin:.2f}"

    def conditions(self, look: Look, now_s: float, *, is_search_over: bool = False) -> Conditions:
        """Return what a decision at this second is made under.

        Args:
            look: why it is made.
            now_s: now.
            is_search_over: whether it answers the last search, which was begun at another rate perhaps.
        """
        traffic = self.traffic
        return Conditions(
            at_s=now_s,
            trigger=look.trigger,
            cause=look.cause,
            searched_rps=self._searched[0] if is_search_over else traffic.rate_rps,
            rate_rps=traffic.rate_rps,
            fano=traffic.fano,
            law="mmpp" if isinstance(traffic.law, Map) else "poisson",
            dwell_s=min(LONGEST_DWELL_S, max(self._settings.dwell_s, now_s - traffic.regime_bin)),
            shape=self._shape,
        )

    def to_document(self) -> dict[str, object]:
        """Return what a restarted loop needs, as JSON."""
        return {
            "schema": 1,
            "margin": round(self.margin, 4),
            "traffic": self.traffic.to_document(),
            "profile": self.profiler.to_document(),
            "best": None if self.best is None else self.best.to_document(),
            "reflex": self.reflex.to_document(),
        }

    def restore(self, document: dict[str, Any]) -> None:
        """Go on from what `to_document` returned.

        Raises:
            BadInputError: it is no such document; nothing is restored then.
        """
        traffic, profiler = Traffic(self._detection), Profiler(self._shape)
        try:
            if document.get("schema") != 1:
                raise BadInputError(f"state: schema {document.get('schema')!r} is not known here, only 1")
            traffic.restore(document["traffic"])
            profiler.restore(document["profile"])
            margin = min(LARGEST, max(1.0, as_number(document["margin"], "state: margin")))
            best = document["best"]
            best = None if best is None else ServingConfig.from_document(best, where="state: best")
            reflex = Reflex.from_document(document["reflex"]) if "reflex" in document else Reflex()
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise BadInputError(f"state: not a state of this loop ({error!r}); it starts afresh") from error
        self.traffic, self.profiler, self.margin = traffic, profiler, margin
        self.best, self.reflex = best, reflex
