"""Conditions and the other parts of a status, as documents (pure), and when a status is worth a write."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Status = Literal["True", "False", "Unknown"]
LONGEST_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Aspect:
    """One condition, before it has a time.

    Attributes:
        type: name of the aspect.
        status: whether it holds.
        reason: one CamelCase word, stable.
        message: in words.
    """

    type: str
    status: Status
    reason: str
    message: str = ""


def timestamp(wall_s: float) -> str:
    """Return a wall clock as RFC 3339, whole seconds."""
    return datetime.fromtimestamp(wall_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(
    aspects: Iterable[Aspect], before: Sequence[Mapping[str, Any]], *, wall_s: float, generation: int | None
) -> list[dict[str, Any]]:
    """Return the conditions of a status; the time of a transition moves only when a status flips.

    What is not known now stays as it was said last, so that a suspended tuning still shows what it knew.

    Args:
        aspects: as they are now.
        before: conditions of the status so far.
        wall_s: now.
        generation: of the spec that they were found for.
    """
    known = {str(each.get("type")): each for each in before}
    found: list[dict[str, Any]] = []
    for each in aspects:
        last = known.get(each.type, {})
        is_same = last.get("status") == each.status and last.get("lastTransitionTime")
        found.append(
            {
                "type": each.type,
                "status": each.status,
                "reason": each.reason,
                "message": each.message[:LONGEST_MESSAGE],
                "lastTransitionTime": last["lastTransitionTime"] if is_same else timestamp(wall_s),
                **({} if generation is None else {"observedGeneration": generation}),
            }
        )
    types = {each["type"] for each in found}
    return [*found, *(dict(each) for each in before if each.get("type") not in types)]


def seconds_text(seconds: float | None) -> str | None:
    """Return a duration for people, such as 85ms or 1.32s; none for what is no finite time."""
    if seconds is None or not 0 <= seconds < 1e9:
        return None
    return f"{1000 * seconds:.0f}ms" if seconds < 0.9995 else f"{seconds:.2f}s"


def present_only(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: value for name, value in fields.items() if value is not None}
