"""Cost and lateness of every setting of a batching function under Poisson arrivals, in closed form.

A call leaves with its N-th request, or T after its first, whichever comes first (`batch_queue.py` has the same law for
every Markovian process, one setting at a time; tests compare the two). With K ~ Poisson(R T) arrivals after the first:

- fewer than N - 1: the call leaves after T with K + 1 requests; the first waited T, the others a uniform part of it;
- else it leaves full, after a time tau ~ Erlang(N - 1, R), tau <= T; the first waited tau, the last nothing, the N - 2
  between a uniform part of tau. For those E[(1 - x / tau)+] needs Erlang(N - 2) only, as E[1 / tau] lowers the order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammainc

from controller.domain.cost import call_cost_usd
from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.function_grid import FunctionGrid
    from controller.domain.prices import LambdaPrices


@dataclass(frozen=True, slots=True)
class CallLoad:
    """What the function is asked for: requests a second, and within how many seconds."""

    rate_rps: float
    bound_s: float

    def __post_init__(self) -> None:
        if not (0 < self.rate_rps < math.inf and 0 < self.bound_s < math.inf):
            raise BadInputError(f"load: rate and bound must be positive numbers, got {self}")


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
    timed = PricedCalls(calls.grid, calls.seconds, prices).under(load, delay_s)
    late = timed.late_share(calls.noise, np.arange(calls.seconds.size))
    shape = calls.grid.shape
    return CallOutcomes(*(each.reshape(shape) for each in (timed.cost_usd, late, timed.mean_batch_size)))


class PricedCalls:
    """Times and prices of calls by their requests, made once for many loads and delays.

    Args:
        grid: of settings; n in all.
        seconds: mean time of a full call, shape (b, c, memory); infinite where it fails.
        prices: of a call.
    """

    def __init__(self, grid: FunctionGrid, seconds: NDArray[np.float64], prices: LambdaPrices) -> None:
        b, c, memory_mb = (np.broadcast_to(axis, grid.shape).ravel() for axis in grid.axes)
        self.full = b * c
        self.fills = np.arange(1, grid.most_per_process * grid.most_processes + 1)
        self.full_s = seconds.ravel()
        self.times = np.stack([grid.by_fill(seconds, fill).ravel() for fill in self.fills.tolist()])
        gb_usd = call_cost_usd(self.times, memory_mb=1024.0, prices=prices) - prices.request_usd
        self.calls_usd = gb_usd * memory_mb / 1024 + prices.request_usd

    def under(self, load: CallLoad, delay_s: NDArray[np.float64]) -> TimedCalls:
        """Return what leaves under a load with these delays, shape (b, c, memory) or (n,)."""
        delay = delay_s.ravel()
        expected = load.rate_rps * delay
        # Shares of calls that T ends, by the recurrence of the Poisson law; what they leave of 1 are full.
        ratios = np.vstack([np.exp(-expected), expected / self.fills[:-1, None]])
        shares = np.multiply.accumulate(ratios, axis=0)
        fewer = np.vstack([np.zeros_like(expected), np.add.accumulate(shares[:-1], axis=0)])
        fills = self.fills[:, None]
        weights = np.where(self.full > fills, shares, np.where(self.full == fills, np.maximum(1 - fewer, 0.0), 0.0))
        return TimedCalls(self, load, delay, weights)


@dataclass(frozen=True, slots=True, eq=False)
class TimedCalls:
    """Calls of every setting under one load; arrays have shape (n,), those by requests (fills, n).

    Attributes:
        table: times and prices.
        load: arrivals and bound.
        delay: T.
        weights: share of calls by their requests.
    """

    table: PricedCalls
    load: CallLoad
    delay: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def mean_batch_size(self) -> NDArray[np.float64]:
        """Requests in a call."""
        return self.table.fills @ self.weights

    @property
    def cost_usd(self) -> NDArray[np.float64]:
        """Cost of a request; infinite where a call that may occur fails."""
        paid = np.multiply(self.table.calls_usd, self.weights, where=self.weights > 0, out=np.zeros_like(self.weights))
        return paid.sum(axis=0) / self.mean_batch_size

    def late_share(self, noise: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of requests beyond the bound at some settings, shape (k,).

        Args:
            noise: factors on the times, each as likely as the others, shape (m,).
            places: of the settings on the flattened grid, shape (k,).
        """
        weights, times, delay = self.weights[:, places], self.table.times[:, places], self.delay[places]
        full, bound_s, late = self.table.full[places], self.load.bound_s, np.zeros(places.size)
        # What cannot be late, even with the most noise, is not looked at in detail.
        is_open = (weights > 0) & (times * noise.max() + delay > bound_s)
        for fill in self.table.fills.tolist():
            for is_kind, count in ((full > fill, _late_after_timeout), (full == fill, _late_when_full)):
                at = np.flatnonzero(is_open[fill - 1] & is_kind)
                if at.size:
                    slack = bound_s - times[fill - 1, at, None] * noise
                    found = count(fill, slack, delay[at, None], self.load)
                    late[at] += weights[fill - 1, at] * np.where(slack < 0, fill, found).mean(axis=-1)
        return late / (self.table.fills @ weights)


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
