"""What may come, as arrivals to simulate: the present law, the recent past as it was, and a burst on top.

Each is as long as it can be within a number of requests, because simulating takes time in proportion to requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.arrival_process import Map, PoissonProcess, sample_arrivals
from controller.optimizer.objective import Scenario

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.token_lengths import TokenLengths

MOST_REQUESTS = 3000
"""Requests of one scenario."""
LAW_S = 60.0
PAST_S = 120.0
SHORTEST_S = 10.0
BURST_FACTOR = 3.0
"""A burst has this many times the present rate, or the highest rate seen in one second if that is more ..."""
BURST_LOADS = (1.0, 1.5)
"""... and at least so many times what one instance serves in full batches: one burst at the edge of what can be served,
where small differences decide, and one beyond it. Below the edge all settings are alike."""
MOST_IN_BURST = 6000
"""Requests of the burst itself."""
BURST_S = 3.0
BEFORE_BURST_S = 2.0
AFTER_BURST_S = 5.0
BIN_S = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class TrafficSeen:
    """What is known of traffic at the time of a search.

    Attributes:
        law: what to draw the present from: the fitted law, or a Poisson process at the upper rate of a young phase.
        rate_rps: of the present phase.
        peak_rps: highest rate seen in one second.
        past: arrivals of the last seconds in bins of 0.1 s, shape (n,), oldest first.
        lengths: of requests.
        ready: instances that are ready now.
        capacity_rps: what one instance can serve in full batches.
    """

    law: PoissonProcess | Map
    rate_rps: float
    peak_rps: float
    past: NDArray[np.int64]
    lengths: TokenLengths
    ready: int
    capacity_rps: float


def build_scenarios(seen: TrafficSeen, rng: np.random.Generator) -> tuple[Scenario, ...]:
    """Return the scenarios of a search; all settings meet the same arrivals."""
    initial = max(1, seen.ready)
    built = [_present(seen, rng, initial), *(_burst(seen, rng, initial, load=load) for load in BURST_LOADS)]
    past = past_scenario(seen.past, seen.lengths, rng, initial_scale=initial)
    return (*built, past) if past.arrivals_s.size else tuple(built)


def past_scenario(
    bins: NDArray[np.int64], lengths: TokenLengths, rng: np.random.Generator, *, initial_scale: int
) -> Scenario:
    """Return the recent past: arrivals spread evenly at random inside their bins, the latest first to be kept."""
    bins = bins[-round(PAST_S / BIN_S) :]
    later = np.cumsum(bins[::-1])[::-1]
    bins = bins[later <= MOST_REQUESTS]
    arrivals_s = np.repeat(np.arange(bins.size), bins) * BIN_S + rng.random(int(bins.sum())) * BIN_S
    return _scenario("past", np.sort(arrivals_s), bins.size * BIN_S, lengths, (rng, initial_scale))


def _present(seen: TrafficSeen, rng: np.random.Generator, initial_scale: int) -> Scenario:
    mean_rps = seen.law.rate_rps
    duration_s = min(LAW_S, max(SHORTEST_S, MOST_REQUESTS / max(mean_rps, 1e-9)))
    arrivals_s = sample_arrivals(seen.law, duration_s=duration_s, rng=rng)
    return _scenario("present", arrivals_s, duration_s, seen.lengths, (rng, initial_scale))


def _burst(seen: TrafficSeen, rng: np.random.Generator, initial_scale: int, *, load: float) -> Scenario:
    wanted_rps = max(BURST_FACTOR * seen.rate_rps, seen.peak_rps, load * seen.capacity_rps)
    peak_rps = min(wanted_rps, MOST_IN_BURST / BURST_S)
    pieces = [
        sample_arrivals(PoissonProcess(rate), duration_s=length_s, rng=rng)
        for rate, length_s in ((seen.rate_rps, BEFORE_BURST_S), (peak_rps, BURST_S), (seen.rate_rps, AFTER_BURST_S))
    ]
    starts = (0.0, BEFORE_BURST_S, BEFORE_BURST_S + BURST_S)
    arrivals_s = np.concatenate([start + piece for start, piece in zip(starts, pieces, strict=True)])
    duration_s = BEFORE_BURST_S + BURST_S + AFTER_BURST_S
    return _scenario("burst", arrivals_s, duration_s, seen.lengths, (rng, initial_scale))


def _scenario(
    name: str,
    arrivals_s: NDArray[np.float64],
    duration_s: float,
    lengths: TokenLengths,
    start: tuple[np.random.Generator, int],
) -> Scenario:
    rng, initial_scale = start
    tokens = lengths.sample(arrivals_s.size, rng)
    return Scenario(name, "burst" if name == "burst" else "steady", arrivals_s, tokens, duration_s, initial_scale)
