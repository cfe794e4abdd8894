"""One tuning decision, step by step: observe, detect and fit, profile, optimise, decide, apply.

`ControlLoop.step` is the story; each of its lines calls one room. docs/one-decision.md follows a real decision through
the same steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from controller.domain.arrival_process import Map, PoissonProcess
from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError, TidegateError
from controller.monitor.detection import default_detection
from controller.monitor.journal import Journal, StateFile, StateKeeper
from controller.monitor.lookout import Look, Lookout
from controller.monitor.server_latency import LatencySeen, ServerLatency
from controller.monitor.source import FrontArrivals, ServerArrivals
from controller.monitor.traffic import Detection, Traffic
from controller.optimizer.decision import Conditions, Decision, decide, decide_silence
from controller.optimizer.margin import LARGEST as LARGEST_MARGIN
from controller.optimizer.margin import learn_margin
from controller.optimizer.problem import Known, make_problem
from controller.optimizer.scenarios import BIN_S, TrafficSeen
from controller.optimizer.search_process import ChildSearch, Search
from controller.profiling.profiler import Profiler, capacity_rps, lengths_law

if TYPE_CHECKING:
    from controller.monitor.source import ArrivalSource
    from controller.optimizer.study import SearchResult
    from controller.platforms.protocol import Platform, PlatformState
    from controller.settings import LoopSettings
    from controller.telemetry.merge import HeartbeatMerge

LONGEST_DWELL_S = 600.0
EASY = 0.5
"""Up to this share of what its instances serve, a service needs no other setting, whatever the rate does."""

_log = logging.getLogger(__name__)


class ControlLoop:
    """Tunes one service.

    Args:
        platform: applies settings.
        merge: heartbeats of the servers.
        settings: of the loop.
        journal: takes decisions and changes.
        detection: how changes are found and laws fitted.
        search: where a search runs.
    """

    def __init__(  # noqa: PLR0913  what one decision touches
        self,
        platform: Platform,
        merge: HeartbeatMerge,
        settings: LoopSettings,
        journal: Journal,
        *,
        detection: Detection,
        search: Search,
    ) -> None:
        self._platform, self._merge, self._settings = platform, merge, settings
        self._journal, self._search = journal, search
        self._traffic, self._lookout = Traffic(detection), Lookout(settings)
        self._profiler, self._latency = Profiler(platform.shape), ServerLatency()
        self._front = FrontArrivals()
        self._source: ArrivalSource = ServerArrivals(merge)
        self._asked: tuple[Look, float, LatencySeen | None] = (Look("periodic", "after a restart"), 0.0, None)
        self._live = 0
        self._margin = 1.0
        self._best: ServingConfig | None = None
        self.search_cpu_s = 0.0
        """CPU time of all searches, which is most of what the loop costs."""
        self.last: dict[str, object] | None = None
        """The last decision, as it was written."""

    async def step(self, now_s: float) -> None:
        """Take one turn at this second of the run."""
        state = await self._observe(now_s)
        self._detect_and_fit(now_s)
        self._profile(state, now_s)
        found = self._search.take(now_s)
        if found is not None:
            self.search_cpu_s += found.cpu_s
            await self._apply(self._decide(found, state, now_s))
        elif self._traffic.silent_s >= self._settings.silence_s and state.config.min_scale > self._least_scale:
            await self._apply(self._decide_silence(state, now_s))
        elif not self._search.is_busy:
            look = self._lookout.next_look(now_s, self._traffic, batches=self._profiler.batches)
            if look is not None and (look.tried_rps or self._settings.mode == "observe"):
                self._dismiss(look, state, now_s)
            elif look is not None:
                self._optimise(look, state, now_s)

    async def _observe(self, now_s: float) -> PlatformState:
        state = await self._platform.state()
        if state.front_arrivals:
            self._front.take(state.front_arrivals, now_s)
            self._source = self._front
        return state

    def _detect_and_fit(self, now_s: float) -> None:
        self._lookout.take(self._traffic.update(*self._source.counts(now_s)))

    def _profile(self, state: PlatformState, now_s: float) -> None:
        live = state.ready + state.starting
        self._profiler.observe(self._merge.instances(), now_s, live=live)
        if live != self._live:
            self._latency.begin()
        self._live = live
        self._latency.observe(self._merge, now_s)

    def _optimise(self, look: Look, state: PlatformState, now_s: float) -> None:
        """Begin a search; its answer is taken at a later turn."""
        traffic, served = self._traffic, self._latency.seen()
        law = traffic.law
        if law is None or look.trigger in {"start", "alarm"}:
            law = PoissonProcess(traffic.upper_rate_rps)
        service, lengths = self._profiler.fit().service, lengths_law(self._merge.lengths())
        workers = max([1, *(each.heartbeat.workers_started for each in self._merge.instances()[:8])])
        capacity = capacity_rps(service, lengths, state.config)
        seen = TrafficSeen(
            law=law,
            rate_rps=traffic.rate_rps,
            peak_rps=traffic.peak_rps,
            past=self._source.counts(now_s, BIN_S)[1],
            lengths=lengths,
            ready=state.ready,
            capacity_rps=capacity,
        )
        known = Known(
            traffic=seen,
            service=service,
            autoscaler=self._platform.autoscaler,
            shape=self._platform.shape,
            present=state.config,
            best=self._best,
            workers=workers,
            margin=self._margin,
            may_hold=look.trigger in {"regime", "periodic"},
            served_s=None if served is None else served.duration_s,
        )
        self._search.begin(make_problem(known, self._settings, now_s=now_s), now_s)
        self._asked = (look, traffic.rate_rps, served)
        self._lookout.looked(now_s, tried_rps=max(traffic.sustained_rps, EASY * capacity * max(1, state.ready)))

    def _decide(self, found: SearchResult, state: PlatformState, now_s: float) -> Decision:
        look, searched_rps, served = self._asked
        if served is not None and found.calibration_mean_s is not None:
            self._margin = learn_margin(
                self._margin,
                observed_s=served.mean_s,
                simulated_s=found.calibration_mean_s,
                bound_s=self._settings.slo.bound_s,
            )
        decision = decide(found, self._conditions(look, now_s, searched_rps), present=state.config)
        self._lookout.found(is_change=decision.action == "apply")
        if decision.is_outdated:
            self._lookout.look_again()
        self._best = found.best.config
        return decision

    def _decide_silence(self, state: PlatformState, now_s: float) -> Decision:
        look = Look("periodic", f"no request for {self._traffic.silent_s} s")
        return decide_silence(self._conditions(look, now_s), present=state.config, least=self._least_scale)

    def _dismiss(self, look: Look, state: PlatformState, now_s: float) -> None:
        """Tell what happened where no search is needed."""
        if self._settings.mode == "observe":
            self._lookout.looked(now_s, tried_rps=0.0)
            why = "only observing"
        else:
            self._lookout.dismissed()
            why = f"the present setting was tried up to {look.tried_rps:.3g}/s, this needs no search"
        self._record(
            Decision(self._conditions(look, now_s), "keep", f"keep: {look.cause}; {why}", state.config, {}, None)
        )

    async def _apply(self, decision: Decision) -> None:
        if decision.action == "apply" and self._settings.mode == "apply":
            applied = await self._platform.apply(decision.setting)
            self._latency.begin()
            changes = {name: list(pair) for name, pair in applied.changes.items()}
            line = {"at_s": decision.conditions.at_s, "price": applied.price, "changes": changes}
            self._journal.changed(line | {"generation": applied.generation})
        self._record(decision)

    def _record(self, decision: Decision) -> None:
        self.last = decision.to_document(is_only_advice=self._settings.mode != "apply")
        self._journal.decided(self.last)

    def _conditions(self, look: Look, now_s: float, searched_rps: float | None = None) -> Conditions:
        traffic = self._traffic
        lasted_s = now_s - traffic.regime_bin
        return Conditions(
            at_s=now_s,
            trigger=look.trigger,
            cause=look.cause,
            searched_rps=traffic.rate_rps if searched_rps is None else searched_rps,
            rate_rps=traffic.rate_rps,
            fano=traffic.fano,
            law="mmpp" if isinstance(traffic.law, Map) else "poisson",
            dwell_s=min(LONGEST_DWELL_S, max(self._settings.dwell_s, lasted_s)),
            shape=self._platform.shape,
        )

    @property
    def _least_scale(self) -> int:
        return int(self._settings.bounds.get("min_scale", (0, 0))[0])

    def to_document(self) -> dict[str, object]:
        """Return what a restarted loop needs, as JSON."""
        best = None if self._best is None else self._best.to_document()
        return {
            "schema": 1,
            "margin": round(self._margin, 4),
            "traffic": self._traffic.to_document(),
            "profile": self._profiler.to_document(),
            "best": best,
            "last_decision": self.last,
        }

    def restore(self, document: dict[str, Any]) -> None:
        """Go on from what `to_document` returned.

        Raises:
            BadInputError: it is no such document.
        """
        try:
            if document.get("schema") != 1:
                raise BadInputError(f"state: schema {document.get('schema')!r} is not known here, only 1")
            self._traffic.restore(document["traffic"])
            self._profiler.restore(document["profile"])
            self._margin = min(LARGEST_MARGIN, max(1.0, float(document["margin"])))
            best = document["best"]
            self._best = None if best is None else ServingConfig.from_document(best, where="state: best")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInputError(f"state: not a state of this loop ({error!r}); it starts afresh") from error


async def control(  # noqa: PLR0913  the outside of one run
    platform: Platform,
    merge: HeartbeatMerge,
    settings: LoopSettings,
    journal: Journal,
    state_file: StateFile,
    *,
    detection: Detection | None = None,
    search: Search | None = None,
    until_s: float = math.inf,
) -> None:
    """Run the loop until it is cancelled, or until this second of the run.

    It goes on from the state file where there is one. Whatever fails outside is logged once and tried again at the next
    turn; the servers go on with what they have.
    """
    search = ChildSearch() if search is None else search
    loop = ControlLoop(platform, merge, settings, journal, detection=detection or default_detection(), search=search)
    keeper = StateKeeper(state_file, restore=loop.restore)
    troubles: set[str] = set()
    now_s, began_cpu_s = -math.inf, time.process_time()
    try:
        while now_s < until_s:
            try:
                now_s = await platform.advance(max(0.0, now_s + settings.tick_s))
                await loop.step(now_s)
                keeper.save(loop.to_document, now_s, news=loop.last)
                await asyncio.sleep(0)
            except (TidegateError, OSError, TimeoutError) as error:
                if str(error) not in troubles:
                    troubles.add(str(error))
                    _log.warning("loop_trouble why=%s", error)
                await asyncio.sleep(settings.tick_s)
    finally:
        search.close()
        with contextlib.suppress(TidegateError):
            journal.spent(cpu_s=time.process_time() - began_cpu_s + loop.search_cpu_s)
            keeper.save(loop.to_document, math.inf, news=loop.last)
