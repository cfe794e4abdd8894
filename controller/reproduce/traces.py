"""Traces drawn from a seed, each with the laws behind it, which oracles may know.

The 48 hourly MAPs that were published with BATCH carry no licence, so none is shipped. Re-created is what is known of
them: their range of rates, and that they are nearly Poisson with phases that change at arrivals (squared coefficient of
variation 0.99 to 1.20, lag-1 correlation below 0.01). The synthetic ones are four numbers each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from controller.baselines.oracles import Stretch
from controller.domain.arrival_map import Map
from controller.domain.arrival_process import PoissonProcess, sample_arrivals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

HOUR_S = 3600.0
Kind = Literal["slow", "bursty", "stationary"]


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """One trace; the first hour is history.

    Attributes:
        name: of the trace.
        kind: "slow" changes regime once an hour, "bursty" within minutes, "stationary" never.
        arrival_s: shape (n,), ascending, from 0.
        until_s: its end.
        stretches: the laws behind it, from 0 on.
    """

    name: str
    kind: Kind
    arrival_s: NDArray[np.float64]
    until_s: float
    stretches: tuple[Stretch, ...]


def nearly_poisson(rate_rps: float) -> Map:
    """Return a MAP of this rate with the shape of the published hours: D0 diagonal, SCV about 1.03, hardly correlated.

    Two kinds of gap, the longer one mean a third longer, chosen at every arrival almost without memory.
    """
    rates = np.array([0.87, 1.16])
    to = np.array([[0.44, 0.56], [0.42, 0.58]])
    shape = Map(-np.diag(rates), rates[:, None] * to)
    factor = rate_rps / shape.rate_rps
    return Map(shape.D0 * factor, shape.D1 * factor)


def hourly(name: str, rates_rps: Sequence[float], rng: np.random.Generator) -> Traffic:
    """Return a trace of one nearly Poisson law an hour."""
    pieces: list[NDArray[np.float64]] = []
    stretches: list[Stretch] = []
    for hour, rate in enumerate(rates_rps):
        law = nearly_poisson(rate)
        pieces.append(hour * HOUR_S + sample_arrivals(law, duration_s=HOUR_S, rng=rng))
        stretches.append(Stretch(hour * HOUR_S, law))
    return Traffic(name, "slow", np.concatenate(pieces), len(rates_rps) * HOUR_S, tuple(stretches))


def nys(rng: np.random.Generator, n_hours: int) -> Traffic:
    """Return the Thruway's day as published: 9.6 a second at night, up to 168 by day, two rush hours.

    A smooth day with 5 % of noise an hour; the first hour is midnight's.
    """
    hour = np.arange(n_hours)
    day = np.interp(hour % 24, (0, 3, 5, 8, 12, 16, 17, 20, 23.99), (22, 9.6, 25, 144, 125, 168, 165, 75, 24))
    return hourly("NYS-like", np.clip(day * rng.lognormal(0, 0.05, n_hours), 9.6, 168).tolist(), rng)


def twitter(rng: np.random.Generator, n_hours: int) -> Traffic:
    """Return Twitter's day as published: 35 to 78 a second."""
    hour = np.arange(n_hours)
    day = 56.5 - 20 * np.cos((hour - 5) / 24 * 2 * np.pi)
    return hourly("Twitter-like", np.clip(day * rng.lognormal(0, 0.05, n_hours), 35, 78).tolist(), rng)


def modulated(
    name: str, rates_rps: tuple[float, float], switching_per_s: float, rng: np.random.Generator, n_hours: int
) -> Traffic:
    """Return an MMPP with two phases that are left at the same rate, its phases known."""
    laws = [PoissonProcess(rate) for rate in rates_rps]
    until_s, now_s, place = n_hours * HOUR_S, 0.0, int(rng.integers(2))
    pieces: list[NDArray[np.float64]] = []
    stretches: list[Stretch] = []
    while now_s < until_s:
        length_s = min(float(rng.exponential(1 / switching_per_s)), until_s - now_s)
        stretches.append(Stretch(now_s, laws[place]))
        pieces.append(now_s + sample_arrivals(laws[place], duration_s=length_s, rng=rng))
        now_s, place = now_s + length_s, 1 - place
    return Traffic(name, "bursty", np.concatenate(pieces), until_s, tuple(stretches))


def stationary(name: str, law: Map, rng: np.random.Generator, n_hours: int) -> Traffic:
    """Return one law throughout."""
    until_s = n_hours * HOUR_S
    arrival_s = sample_arrivals(law, duration_s=until_s, rng=rng)
    return Traffic(name, "stationary", arrival_s, until_s, (Stretch(0.0, law),))


W21 = Map(np.diag([-10.1, -202.0]), np.array([[0.1, 10.0], [200.0, 2.0]]))
"""Long and short gaps in turn: 19.2 a second, SCV 2.64, lag-1 correlation -0.30."""

TRACES: dict[str, Callable[[np.random.Generator, int], Traffic]] = {
    "NYS-like": nys,
    "Twitter-like": twitter,
    "W14": lambda rng, n_hours: modulated("W14", (10.0, 120.0), 0.05, rng, n_hours),
    "W16": lambda rng, n_hours: modulated("W16", (10.0, 200.0), 0.01, rng, n_hours),
    "W21": lambda rng, n_hours: stationary("W21", W21, rng, n_hours),
}
DAYS = frozenset({"NYS-like", "Twitter-like"})
"""Those with a time of day."""
