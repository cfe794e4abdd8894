"""Keeps server processes as the autoscaler wishes: ticks, pokes, starts, deaths, revisions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from controller.domain.serving_config import PRICE_OF_CHANGE, AutoscalerSettings, InstanceShape, ServingConfig
from controller.performance_model.fleet import Member, plan_fleet
from controller.performance_model.knative_autoscaler import Autoscaler, ScaleDecision
from controller.platforms.local.instances import LocalInstance

if TYPE_CHECKING:
    from controller.platforms.local.front import Front
    from controller.platforms.local.front_request import FrontRequest
    from controller.platforms.local.instances import Launch

OBSERVE_S = 1.0
"""Longest time between two observations of concurrency, as in Knative."""
HOPELESS_STARTS = 3
"""After so many failed starts in a row, requests that wait are told so."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What is kept: the setting and everything around it that does not change while the activator runs."""

    name: str
    config: ServingConfig
    autoscaler: AutoscalerSettings
    shape: InstanceShape
    initial_scale: int


class InstanceKeeper:
    """Starts and ends instances.

    Args:
        service: what to keep.
        launch: how to start instances.
        front: gets the ready ones.
    """

    def __init__(self, service: Service, launch: Launch, front: Front) -> None:
        self.config = service.config
        self.revision = 1
        self.instances: list[LocalInstance] = []
        """Every instance so far, oldest first."""
        self.living: list[LocalInstance] = []
        """Those that have not ended; what is asked for each request must not depend on how many have."""
        self._serial = 0
        self.decision = ScaleDecision(max(service.initial_scale, service.config.min_scale), False, -1.0, "start")  # noqa: FBT003  panic
        self._service, self._launch, self._front = service, launch, front
        self._autoscaler = Autoscaler(
            service.autoscaler, service.config, start_s=monotonic(), initial_scale=service.initial_scale
        )
        self._failed_starts = 0
        self._not_before_s = 0.0
        self._lives: set[asyncio.Task[None]] = set()
        self._is_closing = False

    @property
    def ready(self) -> list[LocalInstance]:
        """Instances that take requests."""
        return [each for each in self.living if each.state == "ready"]

    @property
    def starting(self) -> list[LocalInstance]:
        """Instances that are on their way to readiness."""
        return [each for each in self.living if each.state == "starting"]

    def revision_name(self, revision: int) -> str:
        """Return a revision as it is shown."""
        return f"{self._service.name}-{revision:05d}"

    @property
    def failure(self) -> str | None:
        """Why the newest instance did not start; None when the last start went well."""
        if not self._failed_starts:
            return None
        ended = (each for each in reversed(self.instances) if each.state == "stopped")
        return next((each.last_words() for each in ended), "")

    async def run(self) -> None:
        """Tick until cancelled."""
        self._reconcile()
        step_s = min(OBSERVE_S, self._service.autoscaler.tick_s)
        next_tick_s = monotonic() + self._service.autoscaler.tick_s
        while True:
            await asyncio.sleep(step_s)
            self._front.expire()
            now_s = self._observe()
            if now_s >= next_tick_s - step_s / 2:
                next_tick_s += self._service.autoscaler.tick_s
                self._follow(self._autoscaler.decide(now_s, len(self.ready)))

    def poke(self) -> None:
        """Start an instance at once if a request waits and there is none."""
        if not self.ready and not self.starting and not self._is_closing:
            self._follow(self._autoscaler.poke(self._observe(), 0))

    def apply(self, config: ServingConfig) -> None:
        """Take over warm settings for the next tick; a slow one begins a new revision at once."""
        changes = config.changes_from(self.config)
        self.config = self._autoscaler.config = config
        if any(PRICE_OF_CHANGE[name] == "slow" for name in changes):
            self.begin_revision()

    def begin_revision(self) -> None:
        """Replace every instance by a new one, without a request lost."""
        self.revision += 1
        self._serial = 0
        self._reconcile()

    def set_environment(self, environment: dict[str, str]) -> None:
        """Have later instances start from this environment."""
        self._launch = replace(self._launch, environment=environment)

    async def aclose(self) -> None:
        """End every instance and wait until all are reaped."""
        self._is_closing = True
        self._front.close()
        for instance in self.living:
            instance.drain(at_once=True)
        while self._lives:
            await asyncio.wait(tuple(self._lives))

    def _observe(self) -> float:
        now_s = monotonic()
        self._autoscaler.observe(now_s, self._front.mean_in_parallel(now_s))
        return now_s

    def _follow(self, decision: ScaleDecision) -> None:
        if decision.desired != self.decision.desired:
            _log.info("scale desired=%d panic=%s why=%s", decision.desired, decision.panic, decision.why)
        self.decision = decision
        self._reconcile()

    def _reconcile(self) -> None:
        if self._is_closing:
            return
        members = [
            Member(each.name, each.revision, "ready" if each.state == "ready" else "starting", each.in_flight)
            for each in self.living
            if each.state in ("starting", "ready")
        ]
        most = self._service.shape.max_instances
        plan = plan_fleet(members, self.decision.desired, revision=self.revision, most=most)
        if monotonic() >= self._not_before_s:
            for _ in range(plan.start):
                self._start()
        for instance in self.living:
            if instance.name in plan.drain:
                self._withdraw(instance)

    def _start(self) -> None:
        self._serial += 1
        name = f"{self.revision_name(self.revision)}-{self._serial}"
        instance = LocalInstance(name, self.revision, self.config.container_concurrency, self._launch)
        self.instances.append(instance)
        self.living.append(instance)
        life = asyncio.get_running_loop().create_task(self._live(instance))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)

    async def _live(self, instance: LocalInstance) -> None:
        def refused(request: FrontRequest) -> None:
            self._withdraw(instance)
            self._front.retry(request)

        try:
            await instance.start(released=self._front.done, refused=refused)
            if await instance.wait_ready() and not self._is_closing:
                self._failed_starts = 0
                self._front.ready.append(instance)
                self._reconcile()
                self._front.release()
            await instance.wait_ended()
        except Exception as error:  # noqa: BLE001  outermost loop of one life: else its place is taken for ever
            is_known = isinstance(error, OSError)
            _log.warning("instance_failed instance=%s why=%s", instance.name, error, exc_info=not is_known)
            await instance.abandon(str(error) or type(error).__name__)
        self._bury(instance)

    def _withdraw(self, instance: LocalInstance) -> None:
        with contextlib.suppress(ValueError):
            self._front.ready.remove(instance)
        instance.drain()

    def _bury(self, instance: LocalInstance) -> None:
        self.living.remove(instance)
        with contextlib.suppress(ValueError):
            self._front.ready.remove(instance)
        if instance.is_wanted_gone or self._is_closing:
            return
        _log.warning("instance_died instance=%s code=%s", instance.name, instance.exit_code)
        if math.isnan(instance.ready_s):
            self._failed_starts += 1
            pause_s = min(10.0, 0.25 * 2**self._failed_starts)
            self._not_before_s = monotonic() + pause_s
            asyncio.get_running_loop().call_later(pause_s + 0.001, self._reconcile)
            if self._failed_starts >= HOPELESS_STARTS:
                self._front.refuse_all(f"no instance starts: {instance.last_words()}")
        self._reconcile()
