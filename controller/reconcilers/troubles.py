"""What failed in a turn: a condition for the status, and a line in the log the first time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from controller.errors import BadInputError, TidegateError
from controller.reconcilers.conditions import Aspect

if TYPE_CHECKING:
    from controller.reconcilers.world import Name

MOST_TOLD = 100
"""Lines for one object; words that differ each time must not fill a log."""

_log = logging.getLogger(__name__)


class Troubles:
    """The troubles of one object.

    Args:
        what: it is, for the log.
        name: namespace and name.
    """

    def __init__(self, what: str, name: Name) -> None:
        self._what, self._name = what, name
        self._told: set[str] = set()

    def aspect(self, error: Exception) -> Aspect:
        """Return what to say of a failure; it is tried again."""
        defect = None if isinstance(error, TidegateError | OSError) else error
        why = str(error) if defect is None else f"a defect of tidegate, please report it: {defect!r}"
        if why not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(why)
            _log.warning("%s_trouble name=%s/%s why=%s", self._what, *self._name, why, exc_info=defect)
        reason = "Defect" if defect else "InvalidSpec" if isinstance(error, BadInputError) else "CallFailed"
        return Aspect("Ready", "False", reason, why)
