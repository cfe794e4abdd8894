"""Which instances to start and which to drain, so that the autoscaler's wish comes true (pure).

Shared by the activator on one machine and by the event simulator. A slow change replaces instances the way Knative
moves traffic to a new revision: the old ones serve until as many new ones as are wished for are ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

MemberState = Literal["starting", "ready"]


@dataclass(frozen=True, slots=True)
class Member:
    """An instance that is not on its way out."""

    name: str
    revision: int
    state: MemberState
    load: int
    """Requests it holds."""


@dataclass(frozen=True, slots=True)
class FleetChange:
    """How many instances to start and which to drain."""

    start: int
    drain: tuple[str, ...]


def plan_fleet(members: Sequence[Member], desired: int, *, revision: int, most: int) -> FleetChange:
    """Return the change that leads from the present instances to the wish.

    Args:
        members: oldest first.
        desired: the autoscaler's wish.
        revision: the newest one; members of others are replaced.
        most: what the machine can hold; it caps the wish.
    """
    wanted = min(desired, most)
    new = [each for each in members if each.revision == revision]
    old = [each for each in members if each.revision != revision]
    surplus = len(new) - wanted
    drain = _least_useful_first(new)[: max(surplus, 0)]
    if sum(each.state == "ready" for each in new) >= wanted:
        drain += old
    else:
        drain += [each for each in old if each.state == "starting"]
    return FleetChange(max(-surplus, 0), tuple(each.name for each in drain))


def _least_useful_first(members: Sequence[Member]) -> list[Member]:
    """Those still starting go first, then the least loaded; of equals the newest."""
    newest_first = list(reversed(members))
    return sorted(newest_first, key=lambda each: (each.state == "ready", each.load))
