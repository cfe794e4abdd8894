"""Which instances to start and which to drain, so that the autoscaler's wish comes true (pure).

Shared by the activator on one machine and by the event simulator, which calls `mark_unwanted`, plain or compiled. A
slow change replaces instances the way Knative moves traffic to a new revision: the old ones serve until as many new
ones as are wished for are ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from controller.performance_model.pod_state import NOBODY, READY, STARTING, Pod

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
    pods = [
        Pod(revision=each.revision, state=READY if each.state == "ready" else STARTING, held=each.load)
        for each in members
    ]
    start = mark_unwanted(pods, list(range(len(pods))), len(pods), revision, min(desired, most))
    return FleetChange(start, tuple(each.name for each, pod in zip(members, pods, strict=True) if pod.is_unwanted))


def mark_unwanted(pods: Sequence[Pod], members: Sequence[int], count: int, revision: int, wanted: int) -> int:
    """Mark the pods to drain and return how many to start.

    Args:
        pods: all of them.
        members: rows of those that start or are ready, oldest first ...
        count: ... and how many they are.
        revision: the newest one.
        wanted: how many of it there should be.
    """
    new = 0
    new_ready = 0
    for k in range(count):
        pod = pods[members[k]]
        if pod.revision == revision:
            new += 1
            new_ready += 1 if pod.state == READY else 0
    for k in range(count):
        pod = pods[members[k]]
        if pod.revision != revision and (new_ready >= wanted or pod.state == STARTING):
            pod.is_unwanted = 1
    for _ in range(new - wanted):
        pods[_least_useful(pods, members, count, revision)].is_unwanted = 1
    return max(wanted - new, 0)


def _least_useful(pods: Sequence[Pod], members: Sequence[int], count: int, revision: int) -> int:
    """Return one of the newest revision: those still starting go first, then the least loaded; of equals the newest."""
    least = NOBODY
    for k in range(count):
        row = members[k]
        pod = pods[row]
        if pod.revision != revision or pod.is_unwanted == 1:
            continue
        if least == NOBODY:
            least = row
            continue
        other = pods[least]
        if (pod.state, pod.held) <= (other.state, other.held):
            least = row
    return least
