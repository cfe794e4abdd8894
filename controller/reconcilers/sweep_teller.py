"""Tells how a Sweep goes: its status and events."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from controller.platforms.cluster_client import MissingError
from controller.reconcilers.conditions import Aspect, conditions, present_only
from controller.reconcilers.own_resource import OwnResource
from controller.reconcilers.sweep_status import sweep_status
from controller.sweeps.runner import planned_trials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from controller.reconcilers.events import Reason
    from controller.reconcilers.world import Name, World
    from controller.sweeps.sweep_document import Sweep


class SweepTeller:
    """The words of one Sweep.

    Args:
        name: namespace and name of the Sweep.
        document: as it is now.
        world: of the operator.
        wall: the wall clock.
    """

    def __init__(self, name: Name, document: Mapping[str, Any], world: World, wall: Callable[[], float]) -> None:
        self._world, self._wall = world, wall
        self.document = document
        """The Sweep as it is now; kept current by the campaign."""
        self.resource = OwnResource(world.cluster, "Sweep", *name)
        self._status: dict[str, Any] = dict(document.get("status") or {})
        self._written = self._status

    @property
    def phase(self) -> str:
        """As it was told last; empty before the first word."""
        return str(self._status.get("phase") or "")

    def count(self, sweep: Sweep, trials: Sequence[Mapping[str, Any]]) -> None:
        """Take note of how far the trials are; the next `write` tells it."""
        figures = sweep_status(trials, sweep.slo, planned=planned_trials(sweep))
        self._status = {name: each for name, each in self._status.items() if name != "best"} | figures

    async def tell(self, sweep: Sweep, trials: Sequence[Mapping[str, Any]]) -> None:
        """Tell that the sweep runs, and how far it is.

        Raises:
            TemporaryError: the cluster does not take the status.
        """
        self.count(sweep, trials)
        message = f"{self._status['trials']} of {self._status['planned']} trials have ended"
        aspects = [Aspect("Ready", "True", "Running", message), Aspect("Complete", "False", "Running", message)]
        await self.write("Running", aspects)

    async def write(self, phase: str, aspects: list[Aspect]) -> None:
        """Write the status, if it says something new.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        generation = self.document["metadata"].get("generation")
        before = self._status.get("conditions") or []
        found = conditions(aspects, before, wall_s=self._wall(), generation=generation)
        wanted = {**self._status, "phase": phase, "observedGeneration": generation, "conditions": found}
        wanted = present_only(wanted)
        # Compared with what was written last and not with what is there: who else writes here is not fought.
        if wanted != self._written:
            with contextlib.suppress(MissingError):
                await self.resource.write_status(wanted)
        self._status = self._written = wanted

    async def event(self, reason: Reason, message: str, *, is_warning: bool = False) -> None:
        """Post an event about the Sweep."""
        about = self.resource.document(metadata=self.document["metadata"])
        await self._world.events.post(about, reason, message, is_warning=is_warning)
