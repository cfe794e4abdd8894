"""The margin between simulation and reality, learned while a setting is in force.

What servers measured of their requests (wait in the queue plus service) is compared with a simulation of the same
arrivals under the same setting. A ratio above 1 becomes a factor on every predicted latency.
"""

from __future__ import annotations

from typing import Protocol

LARGEST = 1.5
"""A larger factor would hide a broken model behind idle instances."""
RATE = 0.3
"""Weight of the newest comparison."""
NEGLIGIBLE = 0.05
"""Share of the bound that is added to both sides: a millisecond too much says nothing about a bound of a second."""


class Lesson(Protocol):
    """What a comparison of the measured with the simulated makes of a margin."""

    def __call__(self, margin: float, *, observed_s: float, simulated_s: float, bound_s: float) -> float:
        """See `learn_margin`."""
        ...


def learn_margin(margin: float, *, observed_s: float, simulated_s: float, bound_s: float) -> float:
    """Return the margin after one more comparison, between 1 and 1.5.

    Args:
        margin: before.
        observed_s: mean time in the servers.
        simulated_s: the same, simulated.
        bound_s: of the objective.
    """
    floor_s = NEGLIGIBLE * bound_s
    ratio = (observed_s + floor_s) / (simulated_s + floor_s)
    return margin + RATE * (min(LARGEST, max(1.0, ratio)) - margin)
