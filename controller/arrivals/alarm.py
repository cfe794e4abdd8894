"""What a detector says when the law of arrivals has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AlarmKind = Literal["rate", "dispersion"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A change that was noticed; it asks for fast settings, not for a new regime."""

    alarm_bin: int
    """Bin after which it was raised, counted from 0; only bins up to it were used."""
    change_bin: int
    """First bin of the new law, the most likely one."""
    kind: AlarmKind
    before: float
    """Arrivals per second, or Fano factor, before the change."""
    after: float
    """The same after it."""
