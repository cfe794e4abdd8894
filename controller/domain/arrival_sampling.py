"""Draw arrival instants of Poisson and Markovian arrival processes, reproducibly from a generator's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_EVENTS = 2e7
"""Largest expected number of arrivals or changes of phase; more would not fit into memory."""
EVENTS_PER_DRAW = 4096
"""Random numbers drawn at once while walking through the events of a Map."""


def sample_poisson(rate_rps: float, *, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return sorted instants in [0, duration_s), shape (n,): a Poisson number of uniform points.

    Raises:
        BadInputError: more than `MOST_EVENTS` are expected.
    """
    _check_number(rate_rps, duration_s)
    return np.sort(rng.random(rng.poisson(rate_rps * duration_s)) * duration_s)


def sample_map(
    D0: NDArray[np.float64],
    D1: NDArray[np.float64],
    start: NDArray[np.float64],
    *,
    duration_s: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return sorted instants in [0, duration_s), shape (n,), the first phase drawn from `start`.

    Raises:
        BadInputError: more than `MOST_EVENTS` arrivals and changes of phase are expected.
    """
    _check_number(float(start @ -np.diag(D0)), duration_s)
    phase = int(rng.choice(len(D0), p=start / start.sum()))
    rates = np.diag(D1)
    if (np.diag(rates) == D1).all():
        return _sample_modulated(D0, rates, phase, duration_s, rng)
    return _sample_events(D0, D1, phase, duration_s, rng)


def _check_number(events_per_s: float, duration_s: float) -> None:
    if not events_per_s * duration_s <= MOST_EVENTS:
        raise BadInputError(
            f"arrivals: {events_per_s * duration_s:.3g} events in {duration_s:.3g} s are too many to draw (at most "
            f"{MOST_EVENTS:g}); lower the rates or the duration"
        )


def _sample_modulated(
    D0: NDArray[np.float64], rates: NDArray[np.float64], phase: int, duration_s: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Walk through the sojourns of the phase only; inside one, arrivals are Poisson."""
    switching = D0 - np.diag(np.diag(D0))
    leave = switching.sum(axis=1)
    starts, phases, now = [0.0], [phase], 0.0
    while leave[phase] > 0:
        now += rng.exponential(1 / leave[phase])
        if now >= duration_s:
            break
        phase = int(rng.choice(len(D0), p=switching[phase] / leave[phase]))
        starts.append(now)
        phases.append(phase)
    lengths = np.diff(np.array([*starts, duration_s]))
    counts = rng.poisson(rates[phases] * lengths)
    return np.sort(np.repeat(starts, counts) + rng.random(counts.sum()) * np.repeat(lengths, counts))


def _sample_events(
    D0: NDArray[np.float64], D1: NDArray[np.float64], phase: int, duration_s: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Walk through every event: column j < n of `jumps` is a hidden change to phase j, column n + j an arrival."""
    n = len(D0)
    jumps = np.hstack([D0 - np.diag(np.diag(D0)), D1])
    total = jumps.sum(axis=1)
    mean_s = (1 / total).tolist()
    cumulative = np.cumsum(jumps / total[:, None], axis=1)
    cumulative[:, -1] = 1.0
    arrivals, now = [], 0.0
    while now < duration_s:
        gaps = rng.exponential(size=EVENTS_PER_DRAW)
        # All phases' next events at once; the walk then only looks up the row of the phase it is in.
        events = _next_events(cumulative, rng.random(EVENTS_PER_DRAW))
        for gap, following in zip(gaps.tolist(), events.tolist(), strict=True):
            now += gap * mean_s[phase]
            if now >= duration_s:
                break
            phase = following[phase]
            if phase >= n:
                phase -= n
                arrivals.append(now)
    return np.array(arrivals)


def _next_events(cumulative: NDArray[np.float64], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each uniform number and each phase the event that follows, shape (n_uniforms, n_phases)."""
    return np.stack([np.searchsorted(row, uniforms, side="right") for row in cumulative], axis=1)
