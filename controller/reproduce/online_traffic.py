"""Traffic for policies of a batching function, drawn from a seed: tenfold steps, bursts, and a day like Twitter's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.oracles import Stretch
from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.reproduce.traces import HOUR_S, TRACES, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

STEPS = "tenfold steps"
LOW_RPS = 6.25
"""The middle of one of JBMP's levels, and ten times it of another: at the edge of two it would tune again by chance."""
SHORTEST_PHASE_S, LONGEST_PHASE_S = 1200.0, 2400.0
"""Even the longest reaction of JBMP, a whole period and a tuning, ends within a phase."""


def tenfold(rng: np.random.Generator, n_hours: int) -> Traffic:
    """Return Poisson arrivals at 6.25 and 62.5 a second in turn, for 20 to 40 minutes each."""
    laws = (PoissonProcess(LOW_RPS), PoissonProcess(10 * LOW_RPS))
    until_s, now_s, place = n_hours * HOUR_S, 0.0, int(rng.integers(2))
    pieces: list[NDArray[np.float64]] = []
    stretches: list[Stretch] = []
    while now_s < until_s:
        length_s = min(float(rng.uniform(SHORTEST_PHASE_S, LONGEST_PHASE_S)), until_s - now_s)
        stretches.append(Stretch(now_s, laws[place]))
        pieces.append(now_s + sample_arrivals(laws[place], duration_s=length_s, rng=rng))
        now_s, place = now_s + length_s, 1 - place
    return Traffic(STEPS, "bursty", np.concatenate(pieces), until_s, tuple(stretches))


ONLINE_TRAFFIC: dict[str, Callable[[np.random.Generator, int], Traffic]] = {
    STEPS: tenfold,
    **{name: TRACES[name] for name in ("W16", "Twitter-like")},
}
"""The last is of the family that JBMP's code replays."""
