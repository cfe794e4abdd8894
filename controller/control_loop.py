"""One tuning decision, step by step: observe, detect and fit, profile, optimise, decide, apply.

`ControlLoop.step` is the story; each of its lines calls one room. docs/one-decision.md follows a real decision through
the same steps. What is known of the service lies in `ServiceView`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.errors import TemporaryError, TidegateError
from controller.monitor.detection import default_detection
from controller.monitor.journal import StateKeeper
from controller.monitor.lookout import Look, Lookout, told
from controller.optimizer.decision import Decision, as_applied, decide, decide_silence, written
from controller.optimizer.margin import learn_margin
from controller.optimizer.reflex import (
    SCALE,
    Reflex,
    ScaleBounds,
    activation_reason,
    given_back,
    reason_of,
    with_present,
)
from controller.optimizer.search_process import ChildSearch, Search
from controller.service_view import ServiceView

if TYPE_CHECKING:
    from collections.abc import Generator

    from controller.domain.serving_config import ServingConfig
    from controller.monitor.journal import Diary, Journal, StateFile
    from controller.monitor.source import ArrivalSource
    from controller.monitor.traffic import Detection, TrafficChange
    from controller.optimizer.margin import Lesson
    from controller.optimizer.study import SearchResult
    from controller.platforms.protocol import Applied, Platform, PlatformState
    from controller.settings import LoopSettings
    from controller.telemetry.merge import HeartbeatMerge

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What one loop works with.

    Attributes:
        platform: applies settings.
        merge: heartbeats of the servers.
        settings: of the loop.
        journal: takes decisions and changes.
        detection: how changes are found and laws fitted.
        search: where a search runs.
        source: of arrivals, where it is neither the servers nor the platform's activator.
        lesson: what the margin learns from measured latency.
    """

    platform: Platform
    merge: HeartbeatMerge
    settings: LoopSettings
    journal: Diary
    detection: Detection
    search: Search
    source: ArrivalSource | None = None
    lesson: Lesson = learn_margin


class ControlLoop:
    """Tunes one service."""

    def __init__(self, parts: Parts) -> None:
        self._platform, self._settings = parts.platform, parts.settings
        self._journal, self._search = parts.journal, parts.search
        self.view = ServiceView(
            parts.merge,
            parts.settings,
            parts.detection,
            source=parts.source,
            shape=parts.platform.shape,
            autoscaler=parts.platform.autoscaler,
            lesson=parts.lesson,
        )
        self._lookout = Lookout(parts.settings)
        self._look = Look("periodic", "after a restart")
        self._searched: ScaleBounds | None = None
        """Bounds of the scale that the last search began from; None where they belong to a burst."""
        self._is_silence_told = False
        self.search_cpu_s = 0.0
        """CPU time of all searches, which is most of what the loop costs."""
        self.last: dict[str, object] | None = None
        """The last decision, as it was written."""

    async def step(self, now_s: float) -> None:
        """Take one turn at this second of the run."""
        state = await self._platform.state()
        self.view.observe(state)
        changes = self.view.detect_and_fit(now_s)
        self._lookout.take(changes)
        self.view.profile(state, now_s)
        self._lookout.heed(is_slow=self.view.is_slow)
        if self._settings.mode == "apply":
            rises = [each for each in changes if each.kind == "rate" and each.after > each.before]
            state = await self._react(rises, state, now_s)
        self._is_silence_told &= self._is_silent
        with self._looking_again():
            found = self._search.take(now_s)
        if found is not None:
            await self._apply(self._decide(found, state, now_s))
        elif self._is_kept_for_nobody(state):
            await self._apply(self._decide_silence(state, now_s), is_again=self._is_silence_told)
            self._is_silence_told = True
        elif not self._search.is_busy:
            look = self._lookout.next_look(now_s, self.view.traffic, batches=self.view.profiler.batches)
            if look is not None and (look.tried_rps or self._settings.mode == "observe"):
                self._dismiss(look, state, now_s)
            elif look is not None:
                self._optimise(look, state, now_s)

    async def _react(self, rises: list[TrafficChange], state: PlatformState, now_s: float) -> PlatformState:
        """Move the bounds of the scale with a burst, before any search; return the state after it."""
        present, before = ScaleBounds.of(state.config), self.view.reflex
        seen = self.view.burst(state, now_s, is_alarm=bool(rises))
        self.view.reflex = after = before.step(seen, present)
        wanted = after.wanted(seen, present)
        if self._settings.held & SCALE:  # somebody else decides on the scale; what is left of ours is given back
            self.view.reflex = after = Reflex()
            wanted = given_back(before.rest or present, present, held=self._settings.held)
        activation = state.config.activation_scale
        if "activation_scale" not in self._settings.held:
            activation = after.activation_scale(seen, wanted)
        if wanted == present and activation == state.config.activation_scale:
            return state
        setting = replace(
            state.config, min_scale=wanted.min_scale, max_scale=wanted.max_scale, activation_scale=activation
        )
        applied = await self._carry_out(setting, now_s)
        if applied.changes:
            look = Look("alarm", told(rises[-1]) if rises else "")
            changes = written(applied.changes)
            reason = reason_of(before, after, seen, cause=look.cause, changes=changes)
            if not applied.changes.keys() & SCALE:
                reason = activation_reason(after, activation, changes=changes)
            conditions = self.view.conditions(look, now_s)
            self._record(Decision(conditions, "apply", reason, setting, applied.changes, None))
        return await self._platform.state()

    def _optimise(self, look: Look, state: PlatformState, now_s: float) -> None:
        """Begin a search; its answer is taken at a later turn."""
        problem, tried_rps = self.view.problem(look, state, now_s)
        self._search.begin(problem, now_s)
        self._look, self._searched = look, None if self.view.reflex.rest else ScaleBounds.of(state.config)
        self._lookout.looked(look, now_s, tried_rps=tried_rps)

    @contextlib.contextmanager
    def _looking_again(self) -> Generator[None]:
        """Search again at the next turn when the outside fails here: else the answer is lost until a regular look."""
        try:
            yield
        except (TemporaryError, OSError):
            self._lookout.look_again()
            raise

    def _decide(self, found: SearchResult, state: PlatformState, now_s: float) -> Decision:
        self.search_cpu_s += found.cpu_s
        surprise = self.view.learn(found)
        is_moved = self.view.reflex.rest is not None or self._searched != ScaleBounds.of(state.config)
        found = with_present(found, state.config, {"activation_scale"} | (SCALE if is_moved else set()))
        conditions = self.view.conditions(self._look, now_s, is_search_over=True)
        decision = decide(found, conditions, present=state.config)
        self._lookout.found(is_change=decision.action == "apply")
        if decision.is_outdated:
            self._lookout.look_again()
        elif surprise:
            self._lookout.look_again(surprise)
        return decision

    @property
    def _is_silent(self) -> bool:
        return self.view.traffic.silent_s >= self._settings.silence_s

    def _is_kept_for_nobody(self, state: PlatformState) -> bool:
        """Whether to let instances go now; advice, which changes nothing, is given once in a silence."""
        if self._settings.mode == "observe" or (self._settings.mode == "recommend" and self._is_silence_told):
            return False
        is_kept = state.config.min_scale > self._least_scale and self.view.reflex.rest is None
        return self._is_silent and is_kept

    def _decide_silence(self, state: PlatformState, now_s: float) -> Decision:
        look = Look("periodic", f"no request for {self.view.traffic.silent_s} s")
        return decide_silence(self.view.conditions(look, now_s), present=state.config, least=self._least_scale)

    def _dismiss(self, look: Look, state: PlatformState, now_s: float) -> None:
        """Tell what happened where no search is needed."""
        if self._settings.mode == "observe":
            self._lookout.looked(look, now_s, tried_rps=0.0)
            why = "only observing"
        else:
            self._lookout.dismissed()
            why = f"the present setting was tried up to {look.tried_rps:.3g}/s, this needs no search"
        reason = f"keep: {look.cause}; {why}"
        self._record(Decision(self.view.conditions(look, now_s), "keep", reason, state.config, {}, None))

    async def _apply(self, decision: Decision, *, is_again: bool = False) -> None:
        """Carry a decision out and record what came of it; one that comes again is recorded when something does."""
        if decision.action == "apply" and self._settings.mode == "apply":
            # What silence asks for is asked again by the silence itself.
            with self._looking_again() if decision.prediction is not None else contextlib.nullcontext():
                applied = await self._carry_out(decision.setting, decision.conditions.at_s)
            if is_again and not applied.changes:
                return
            decision = as_applied(decision, applied.changes)
        self._record(decision)

    async def _carry_out(self, setting: ServingConfig, now_s: float) -> Applied:
        applied = await self._platform.apply(setting)
        if applied.changes:
            self.view.changed()
            changes = {name: list(pair) for name, pair in applied.changes.items()}
            line = {"at_s": now_s, "price": applied.price, "changes": changes}
            self._journal.changed(line | {"generation": applied.generation})
        return applied

    def _record(self, decision: Decision) -> None:
        self.last = decision.to_document(is_only_advice=self._settings.mode != "apply")
        self._journal.decided(self.last)

    @property
    def _least_scale(self) -> int:
        return int(self._settings.bounds.get("min_scale", (0, 0))[0])

    def to_document(self) -> dict[str, object]:
        """Return what a restarted loop needs, and the last decision, as JSON."""
        return self.view.to_document() | {"last_decision": self.last}


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
    loop = ControlLoop(Parts(platform, merge, settings, journal, detection or default_detection(), search))
    keeper = StateKeeper(state_file, restore=loop.view.restore)
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
