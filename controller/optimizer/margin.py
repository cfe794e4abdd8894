"""The margin between simulation and reality, learned while a setting is in force.

What servers measured of their requests (wait in the queue plus service) is compared with a simulation of the same
arrivals under the same setting, both by the mean of the slow stretches: those break the objective. Where they come near
the bound and the simulation says less, the ratio becomes a factor on every predicted latency. Waits in front of a
server that is full are in the simulation alone, so behind a bound on concurrency less is learned than is true.
"""

from __future__ import annotations

from typing import Protocol

LARGEST = 3.0
"""A larger factor would hide a broken model behind idle instances."""
UP, DOWN = 0.8, 0.1
"""Weight of the newest comparison; no measurement is compared twice. A margin that is forgotten soon lets the same
mistake happen again."""
NEGLIGIBLE = 0.05
"""Share of the bound that is added to both sides: a millisecond too much says nothing about a bound of a second."""
NEAR = 0.5
"""Share of the bound. Where the mean of a stretch comes so near, some of its requests are late; what is slower than
predicted and still far from the bound needs no margin, which would cost instances."""
SURPRISING = 1.1
"""A margin that rises by this factor makes what was searched with the old one worth little."""


class Lesson(Protocol):
    """What a comparison of the measured with the simulated makes of a margin."""

    def __call__(self, margin: float, *, observed_s: float, simulated_s: float, bound_s: float) -> float:
        """See `learn_margin`."""
        ...


def learn_margin(margin: float, *, observed_s: float, simulated_s: float, bound_s: float) -> float:
    """Return the margin after one more comparison, between 1 and 3.

    Args:
        margin: before.
        observed_s: time in the servers, of the slow stretches.
        simulated_s: the same, simulated.
        bound_s: of the objective.
    """
    floor_s = NEGLIGIBLE * bound_s
    ratio = min(LARGEST, max(1.0, (observed_s + floor_s) / (simulated_s + floor_s)))
    if ratio <= margin:
        return margin + DOWN * (ratio - margin)
    return margin + UP * (ratio - margin) if is_near(observed_s, bound_s) else margin


def is_near(observed_s: float, bound_s: float) -> bool:
    """Return whether slow stretches come near the bound."""
    return observed_s > NEAR * bound_s
