"""Tells what a tuning does: events, metrics, conditions and the rest of its status, written when it is worth it."""

from __future__ import annotations

import contextlib
import logging
import math
from typing import TYPE_CHECKING, Any

from controller.domain.quantities import decimal
from controller.platforms.cluster_client import MissingError
from controller.reconcilers.conditions import conditions
from controller.reconcilers.own_resource import OwnResource
from controller.reconcilers.tuning_status import (
    Known,
    aspects,
    changes_text,
    cold_start_of,
    is_worth_a_write,
    status_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.reconcilers.conditions import Aspect
    from controller.reconcilers.events import Reason
    from controller.reconcilers.resources import InferenceTuningSpec
    from controller.reconcilers.tuned_service import TunedService
    from controller.reconcilers.world import Name, World

_log = logging.getLogger(__name__)


class Teller:
    """The words of one tuning.

    Args:
        name: namespace and name of the InferenceTuning.
        document: as it is now.
        world: of the operator.
    """

    def __init__(self, name: Name, document: Mapping[str, Any], world: World) -> None:
        self._name, self._world = name, world
        self.document = document
        """The InferenceTuning as it is now; kept current by the tuner."""
        self.resource = OwnResource(world.cluster, "InferenceTuning", *name)
        self._status: dict[str, Any] = dict(document.get("status") or {})
        self._written_at_s = -math.inf
        self._recommended: object = None

    async def event(self, reason: Reason, message: str, *, is_warning: bool = False) -> None:
        """Post an event about the tuning."""
        about = self.resource.document(metadata=self.document["metadata"])
        await self._world.events.post(about, reason, message, is_warning=is_warning)

    async def tell(self, spec: InferenceTuningSpec, service: TunedService) -> None:
        """Tell what happened in a turn, and what is known now.

        Raises:
            TemporaryError: the cluster does not take the status.
        """
        await self._tell_lines(service)
        loop, settings = service.loop, service.settings
        if loop is None or settings is None:
            return
        budget = spec.objective.budget
        known = Known(
            state=await service.platform.state(),
            view=loop.view,
            settings=settings,
            counted=service.counted(),
            scraped=service.second.arrivals,
            heard_at_s=max((each.heard_at_s for each in service.merge.instances()[:1]), default=None),
            decision=service.lines.decision,
            decided_at_s=service.lines.decided_at_s,
            held=service.platform.overlay.held,
            resize_refused=service.platform.sizes.trouble(service.seen.serving_pods()),
            has_warm=self._world.facts.has_warm,
            budget_usd=None
            if budget is None
            else decimal(budget.usd_per_million, "spec.objective.budget.usdPerMillion"),
            changes=service.changes,
        )
        loaded = {each.heartbeat.instance: each.heartbeat.cold_start_s for each in service.merge.instances()}
        status = status_of(known, cold_start_of(list(service.seen.pods.values()), loaded))
        found = aspects(known)
        self._world.metrics.objective_met[self._name] = next(each.status for each in found if each.type == "SLOMet")
        await self.write(status, found)

    async def _tell_lines(self, service: TunedService) -> None:
        lines = service.lines
        for line in lines.changes:
            service.changes += 1
            self._world.metrics.changes[str(line["price"])] += 1
            words = ", ".join(f"{name} {each}" for name, each in changes_text(line["changes"]).items())
            await self.event("SettingApplied", f"{line['price']}: {words}")
        for line in lines.untold:
            self._world.metrics.decisions[str(line["action"])] += 1
            _log.info("decision tuning=%s/%s reason=%s", *self._name, line["reason"])
            # The same advice is given again at every look; it is news once.
            if "recommended" in str(line["reason"]) and line["changes"] != self._recommended:
                self._recommended = line["changes"]
                await self.event("Recommended", str(line["reason"]))
        lines.changes, lines.untold = [], []

    async def write(self, status: Mapping[str, Any], found: list[Aspect]) -> None:
        """Write a status; an empty one keeps what was known, under new conditions.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        generation = self.document["metadata"].get("generation")
        now_s = self._world.wall()
        kept = status or {name: each for name, each in self._status.items() if name != "conditions"}
        before = self._status.get("conditions") or []
        wanted = {
            **kept,
            "observedGeneration": generation,
            "conditions": conditions(found, before, wall_s=now_s, generation=generation),
        }
        if not is_worth_a_write(self._status, wanted, waited_s=now_s - self._written_at_s):
            return
        with contextlib.suppress(MissingError):
            await self.resource.write_status(wanted)
        self._status, self._written_at_s = wanted, now_s
