"""Cost and lateness of every setting of a batching function under Poisson arrivals, in closed form.

A call leaves with its N-th request, or T after its first, whichever comes first (`batch_queue.py` has the same law for
every Markovian process, one setting at a time; tests compare the two). With K ~ Poisson(R T) arrivals after the first:

- fewer than N - 1: the call leaves after T with K + 1 requests; the first waited T, the others a uniform part of it;
- else it leaves full, after a time tau ~ Erlang(N - 1, R), tau <= T; the first waited tau, the last nothing, the N - 2
  between a uniform part of tau. For those E[(1 - x / tau)+] needs Erlang(N - 2) only, as E[1 / tau] lowers the order.
"""

from __future__ import annotations

import math
from copy import copy
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
        grid: of settings.
        seconds: mean time of a full call, shape (b, c, memory); infinite where it fails.
        prices: of a call.
        cautious_s: what lateness is reckoned by where means are not known for sure: times of full calls, by which
            timeouts go as well, and of those that leave with fewer requests, which take no longer.
        places: of the n settings that are looked at, on the flattened grid; all by default.
    """

    def __init__(
        self,
        grid: FunctionGrid,
        seconds: NDArray[np.float64],
        prices: LambdaPrices,
        *,
        cautious_s: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        places: NDArray[np.int64] | None = None,
    ) -> None:
        self.places = np.arange(seconds.size) if places is None else places
        b, c, memory = np.unravel_index(self.places, grid.shape)
        self.full = (b + 1) * (c + 1)
        self.fills = np.arange(1, grid.most_per_process * grid.most_processes + 1)
        slots = grid.places_by_fill[:, self.places]
        self.times, self.full_s = seconds.ravel()[slots], seconds.ravel()[self.places]
        memory_mb = np.array(grid.memories_mb, dtype=np.float64)[memory]
        self.calls_usd = call_cost_usd(self.times, memory_mb=memory_mb, prices=prices)
        self.request_usd = prices.request_usd
        if cautious_s is not None:
            full_s, fewer_s = (each.ravel() for each in cautious_s)
            self.full_s = full_s[self.places]
            is_fewer = self.fills[:, None] < self.full
            self.times = np.minimum(np.where(is_fewer, fewer_s[slots], np.inf), self.full_s)

    def narrowed(self, at: NDArray[np.int64]) -> PricedCalls:
        """Return the same for some of the settings only."""
        narrow = copy(self)
        narrow.places, narrow.full, narrow.full_s = self.places[at], self.full[at], self.full_s[at]
        narrow.times, narrow.calls_usd = self.times[:, at], self.calls_usd[:, at]
        return narrow

    def scaled(self, factors: NDArray[np.float64]) -> PricedCalls:
        """Return the same with all times of each setting multiplied, shape (n,); what is billed is not rounded anew."""
        scaled = copy(self)
        scaled.full_s, scaled.times = self.full_s * factors, self.times * factors
        scaled.calls_usd = (self.calls_usd - self.request_usd) * factors + self.request_usd
        return scaled

    @property
    def least_usd(self) -> NDArray[np.float64]:
        """What a request costs at least, however many come."""
        fills = self.fills[:, None]
        return np.where(fills <= self.full, self.calls_usd / fills, np.inf).min(axis=0)

    def under(self, load: CallLoad, delay_s: NDArray[np.float64]) -> TimedCalls:
        """Return what leaves under a load with these delays, one for each setting."""
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
    """Calls of n settings under one load; arrays have shape (n,), those by requests (fills, n).

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

    def late_share(self, noise: NDArray[np.float64], at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of requests beyond the bound at some of the n settings, shape (k,).

        Args:
            noise: factors on the times, each as likely as the others, shape (m,).
            at: which of the settings, shape (k,).
        """
        return self.late_by_factor(noise, at).mean(axis=-1)

    def late_by_factor(self, noise: NDArray[np.float64], at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the same under each factor, over the mean size of a call, shape (k, m)."""
        weights, times, delay = self.weights[:, at].T, self.table.times[:, at].T, self.delay[at]
        full, late = self.table.full[at], np.zeros((at.size, noise.size))
        # What cannot be late, even with the most noise, is not looked at in detail.
        is_open = (weights > 0) & (times * noise.max() + delay[:, None] > self.load.bound_s)
        is_full = full[:, None] == self.table.fills
        for is_kind, count in ((~is_full, _late_after_timeout), (is_full, _late_when_full)):
            place, index = np.nonzero(is_open & is_kind)
            if place.size:
                fill = self.table.fills[index][:, None]
                slack = self.load.bound_s - times[place, index][:, None] * noise
                found = np.where(slack < 0, fill, count(fill, slack, delay[place][:, None], self.load))
                first = np.flatnonzero(np.diff(place, prepend=-1))
                late[place[first]] += np.add.reduceat(weights[place, index][:, None] * found, first)
        return late / (weights @ self.table.fills)[:, None]


def _late_after_timeout(
    fill: NDArray[np.int64], slack: NDArray[np.float64], delay_s: NDArray[np.float64], load: CallLoad
) -> NDArray[np.float64]:
    """Return expected late requests of calls that left after T, shape (n, m); fill and delay have shape (n, 1)."""
    del load
    part = slack / np.maximum(delay_s, 1e-12)
    # The margin keeps T + S = bound on time, whatever the last digit of the sum.
    return (slack < delay_s - 1e-12) * (1 + (fill - 1) * np.clip(1 - part, 0.0, 1.0))


def _late_when_full(
    fill: NDArray[np.int64], slack: NDArray[np.float64], delay_s: NDArray[np.float64], load: CallLoad
) -> NDArray[np.float64]:
    """Return expected late requests of calls that left full, shapes as above."""
    on_time_s = np.clip(slack, 0.0, delay_s)
    low, high = load.rate_rps * on_time_s, load.rate_rps * delay_s

    def left_between(order: NDArray[np.int64]) -> NDArray[np.float64]:
        return gammainc(np.maximum(order, 1), high) - gammainc(np.maximum(order, 1), low)

    within = np.maximum(gammainc(np.maximum(fill - 1, 1), high), 1e-300)
    first = left_between(fill - 1)
    inverse = load.rate_rps / np.maximum(fill - 2, 1) * left_between(fill - 2)
    others = np.where(fill > 2, (fill - 2) * np.maximum(0.0, first - on_time_s * inverse), 0.0)
    return np.where(fill > 1, (first + others) / within, 0.0)
