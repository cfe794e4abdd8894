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

MOST_REQUESTS = 1500
"""Requests of one scenario: six windows. The searches of a service are paid like its instances, so they stay short."""
LAW_S = 60.0
PAST_S = 120.0
SHORTEST_S = 10.0


@dataclass(frozen=True, slots=True)
class Burst:
    """A burst that may come.

    Attributes:
        length_s: how long it lasts.
        factor: times the present rate, or the highest rate seen in one second if that is more ...
        load: ... and at least so many times what one instance serves in full batches: below, all settings are alike.
    """

    length_s: float
    factor: float
    load: float


BURSTS = (Burst(3.0, 3.0, 1.0), Burst(8.0, 2.0, 1.5))
"""A short one at the edge of what one instance can serve, where small differences decide, and one that lasts long
enough for further instances to help, where they can."""
MOST_IN_BURST = 1500
"""Requests of one burst; it is shortened to them, ..."""
SHORTEST_BURST_S = 1.0
"""... but not below this, nor is what comes before and after, ..."""
MOST_AT_ALL = 6000
"""... unless the rate is so high that even this would hold more requests: searches must end, however fast a server."""
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
    """Return the scenarios of a search; all settings meet the same arrivals.

    Each has random numbers of its own, so that one request more in one of them moves no other.
    """
    initial = max(1, seen.ready)
    now, before, *bursts = rng.spawn(2 + len(BURSTS))
    built = [_present(seen, now, initial)]
    built += [_burst(seen, each, initial, burst) for each, burst in zip(bursts, BURSTS, strict=True)]
    past = past_scenario(seen.past, seen.lengths, before, initial_scale=initial)
    return (*built, past) if past.arrivals_s.size else tuple(built)


def past_scenario(
    bins: NDArray[np.int64], lengths: TokenLengths, rng: np.random.Generator, *, initial_scale: int
) -> Scenario:
    """Return the recent past: arrivals spread evenly at random inside their bins, the latest first to be kept."""
    bins = bins[-round(PAST_S / BIN_S) :]
    later = np.cumsum(bins[::-1])[::-1]
    return replay_scenario(bins[later <= MOST_REQUESTS], lengths, rng, initial_scale=initial_scale)


def replay_scenario(
    bins: NDArray[np.int64], lengths: TokenLengths, rng: np.random.Generator, *, initial_scale: int
) -> Scenario:
    """Return these arrivals, all of them, spread evenly at random inside their bins."""
    arrivals_s = np.repeat(np.arange(bins.size), bins) * BIN_S + rng.random(int(bins.sum())) * BIN_S
    return _scenario("past", np.sort(arrivals_s), bins.size * BIN_S, lengths, (rng, initial_scale))


def _present(seen: TrafficSeen, rng: np.random.Generator, initial_scale: int) -> Scenario:
    mean_rps = max(seen.law.rate_rps, 1e-9)
    duration_s = min(LAW_S, max(SHORTEST_S, MOST_REQUESTS / mean_rps), MOST_AT_ALL / mean_rps)
    arrivals_s = sample_arrivals(seen.law, duration_s=duration_s, rng=rng)
    return _scenario("present", arrivals_s, duration_s, seen.lengths, (rng, initial_scale))


def _burst(seen: TrafficSeen, rng: np.random.Generator, initial_scale: int, burst: Burst) -> Scenario:
    wanted_rps = max(burst.factor * seen.rate_rps, seen.peak_rps, burst.load * seen.capacity_rps)
    wanted = ((seen.rate_rps, BEFORE_BURST_S), (wanted_rps, burst.length_s), (seen.rate_rps, AFTER_BURST_S))
    stretches = [
        (rate_rps, min(length_s, max(SHORTEST_BURST_S, MOST_IN_BURST / rate_rps), MOST_AT_ALL / rate_rps))
        for rate_rps, length_s in ((max(rate_rps, 1e-9), length_s) for rate_rps, length_s in wanted)
    ]
    parts: list[NDArray[np.float64]] = []
    duration_s = 0.0
    # Not as `Phases`, which refuse a stretch that is shorter than a millisecond.
    for (rate_rps, each_s), stream in zip(stretches, rng.spawn(len(stretches)), strict=True):
        parts.append(duration_s + sample_arrivals(PoissonProcess(rate_rps), duration_s=each_s, rng=stream))
        duration_s += each_s
    return _scenario("burst", np.concatenate(parts), duration_s, seen.lengths, (rng, initial_scale))


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
