"""The lines of one tuning's journal, until they are told as events, metrics and status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Lines:
    """The Diary of a loop in the operator.

    Args:
        wall: the wall clock.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.decision: Mapping[str, Any] | None = None
        self.decided_at_s = 0.0
        self.untold: list[Mapping[str, Any]] = []
        self.changes: list[Mapping[str, Any]] = []

    def decided(self, line: Mapping[str, Any]) -> None:
        """See `Diary.decided`."""
        self.decision, self.decided_at_s = line, self._wall()
        self.untold.append(line)

    def changed(self, line: Mapping[str, Any]) -> None:
        """See `Diary.changed`; what the platform did not allow is no change."""
        if line["changes"]:
            self.changes.append(line)
