"""What every published system, and ours, looks like to a judge: asked at its own period, with the past alone.

What a policy sets depends on what it serves from: (memory, processes, B, T) in front of functions, which is the law
`infinite_timer` and what most of them do; how many instances of each type for a fleet. A policy keeps what it needs
between two questions; it sees no arrival that has not come yet, and no clock but `now_s`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from controller.performance_model.prediction import TimerSetting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SettingT = TypeVar("SettingT")
Counts = tuple[int, ...]
"""Instances of each type of a fleet, those that boot included."""


# No slots: Python 3.11 cannot make a frozen generic with slots through its alias (`Past`).
@dataclass(frozen=True, eq=False)
class PastOf(Generic[SettingT]):
    """What is known at the moment of a question.

    Attributes:
        now_s: the moment.
        arrival_s: shape (n,), ascending, all before `now_s`; from the beginning of the trace.
        present: setting in force.
        answered_s: latencies of what was answered since the last question, where the platform tells; infinite for what
            never will be.
    """

    now_s: float
    arrival_s: NDArray[np.float64]
    present: SettingT
    answered_s: NDArray[np.float64] | None = None


class PolicyOf(Protocol[SettingT]):
    """One system that chooses settings."""

    @property
    def period_s(self) -> float:
        """Seconds between two questions; infinite where the first answer is the only one."""
        ...

    def decide(self, past: PastOf[SettingT]) -> SettingT | None:
        """Return the setting that holds from now on, or None where it is not time to decide.

        None keeps the present setting and is not counted as a decision; a decision may end with the present one too.
        """
        ...


Past = PastOf[TimerSetting]
Policy = PolicyOf[TimerSetting]
"""A setting of the buffer in front of functions holds for the batches that are opened from now on."""
FleetPast = PastOf[Counts]
FleetPolicy = PolicyOf[Counts]
