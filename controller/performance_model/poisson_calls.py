"""Cost and lateness of every setting of a batching function under Poisson arrivals, in closed form.

A call leaves with its N-th request, or T after its first, whichever comes first (`batch_queue.py` has the same law for
every Markovian process, one setting at a time; tests compare the two). With K ~ Poisson(R T) arrivals after the first:

- fewer than N - 1: the call leaves after T with K + 1 requests; the first waited T, the others a uniform part of it;
- else it leaves full, after a time tau ~ Erlang(N - 1, R), tau <= T; the first waited tau, the last nothing, the N - 2
  between a uniform part of tau. For those E[(1 - x / tau)+] needs Erlang(N - 2) only, as E[1 / tau] lowers the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammainc

from controller.domain.cost import call_cost_usd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.function_grid import FunctionGrid
    from controller.domain.prices import LambdaPrices


@dataclass(frozen=True, slots=True, eq=False)
class CallOutcomes:
    """What becomes of each setting; arrays have the grid's shape (b, c, memory).

    Attributes:
        cost_usd: of a request: E[price of a call] / E[requests in it].
        late_share: of requests whose wait and service exceed the bound.
        mean_batch_size: requests in a call.
    """

    cost_usd: NDArray[np.float64]
    late_share: NDArray[np.float64]
    mean_batch_size: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CallLoad:
    """What the function is asked for: requests a second, and within how many seconds."""

    rate_rps: float
    bound_s: float


@dataclass(frozen=True, slots=True, eq=False)
class CallTimes:
    """How long calls take.

    Attributes:
        grid: of settings.
        seconds: mean time of a full call, shape (b, c, memory); infinite where it fails.
        noise: factors on it, each as likely as the others, of mean 1, shape (n,).
    """

    grid: FunctionGrid
    seconds: NDArray[np.float64]
    noise: NDArray[np.float64]


def predict_calls(
    calls: CallTimes, load: CallLoad, *, delay_s: NDArray[np.float64], prices: LambdaPrices
) -> CallOutcomes:
    """Return cost and lateness of every setting.

    Args:
        calls: how long they take.
        load: Poisson arrivals and the bound.
        delay_s: T, shape (b, c, memory); at least 0.
        prices: of a call.
    """
    grid, noise = calls.grid, calls.noise
    b, c, memory_mb = (np.broadcast_to(axis, grid.shape).ravel() for axis in grid.axes)
    full, delay, expected = b * c, delay_s.ravel(), load.rate_rps * delay_s.ravel()
    sent, late, paid = np.zeros(full.size), np.zeros(full.size), np.zeros(full.size)
    # Share of calls that T ends with `fill` requests, by the recurrence of the Poisson law, and of those with fewer.
    share, fewer = np.exp(-expected), np.zeros(full.size)
    for fill in range(1, grid.most_per_process * grid.most_processes + 1):
        times = grid.by_fill(calls.seconds, fill).ravel()
        weight = np.where(full > fill, share, np.where(full == fill, 1 - fewer, 0.0))
        calls_usd = call_cost_usd(times, memory_mb=1024.0, prices=prices) - prices.request_usd
        is_sent = weight > 0
        paid[is_sent] += weight[is_sent] * (calls_usd * memory_mb / 1024 + prices.request_usd)[is_sent]
        sent += weight * fill
        # What cannot be late, even with the most noise, is not looked at in detail.
        open_ = is_sent & (times * noise.max() + delay > load.bound_s)
        for places, count in ((open_ & (full > fill), _late_after_timeout), (open_ & (full == fill), _late_when_full)):
            slack = load.bound_s - times[places, None] * noise
            found = count(fill, slack, delay[places, None], load)
            late[places] += weight[places] * np.where(slack < 0, fill, found).mean(axis=-1)
        fewer, share = fewer + share, share * expected / fill
    return CallOutcomes(*(each.reshape(grid.shape) for each in (paid / sent, late / sent, sent)))


def _late_after_timeout(
    fill: int, slack: NDArray[np.float64], delay_s: NDArray[np.float64], load: CallLoad
) -> NDArray[np.float64]:
    """Return expected late requests of a call that left after T."""
    del load
    part = slack / np.maximum(delay_s, 1e-12)
    # The margin keeps T + S = bound on time, whatever the last digit of the sum.
    return (slack < delay_s - 1e-12) * (1 + (fill - 1) * np.clip(1 - part, 0.0, 1.0))


def _late_when_full(
    fill: int, slack: NDArray[np.float64], delay_s: NDArray[np.float64], load: CallLoad
) -> NDArray[np.float64]:
    """Return expected late requests of a call that left full."""
    if fill == 1:
        return np.zeros_like(slack)
    on_time_s = np.clip(slack, 0.0, delay_s)
    low, high = load.rate_rps * on_time_s, load.rate_rps * delay_s
    within = np.maximum(gammainc(fill - 1, high), 1e-300)
    first = gammainc(fill - 1, high) - gammainc(fill - 1, low)
    if fill == 2:
        return first / within
    inverse = load.rate_rps / (fill - 2) * (gammainc(fill - 2, high) - gammainc(fill - 2, low))
    return (first + (fill - 2) * np.maximum(0.0, first - on_time_s * inverse)) / within
