"""What every published system, and ours, looks like to the judge: asked at its own period, with the past alone.

The server law is `infinite_timer`, so a setting is (memory, processes, B, T). A policy keeps what it needs between two
questions; it sees no arrival that has not come yet, and no clock but `now_s`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from controller.performance_model.prediction import TimerSetting


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What is known at the moment of a question.

    Attributes:
        now_s: the moment.
        arrival_s: shape (n,), ascending, all before `now_s`; from the beginning of the trace.
        present: setting in force.
    """

    now_s: float
    arrival_s: NDArray[np.float64]
    present: TimerSetting


class Policy(Protocol):
    """One system that chooses settings."""

    @property
    def period_s(self) -> float:
        """Seconds between two questions; infinite where the first answer is the only one."""
        ...

    def decide(self, past: Past) -> TimerSetting | None:
        """Return the setting for the batches that are opened from now on, or None where it is not time to decide.

        None keeps the present setting and is not counted as a decision; a decision may end with the present one too.
        """
        ...
