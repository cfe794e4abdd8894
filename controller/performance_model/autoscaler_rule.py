"""The rule of Knative's autoscaler on plain rows: concurrency in, wished number of instances out.

`knative_autoscaler` wraps it for the activator, the event simulator calls it as it is, compiled where numba is there.
Hence only what both understand: numbers, rows with named fields, no None. Source and deviations: see there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIGITS = 1e6
"""Averages are rounded, so that an error of the last binary digit does not ask for one more instance."""


@dataclass(slots=True)
class Bucket:
    """Average concurrency of a stretch of time."""

    from_s: float = 0.0
    until_s: float = 0.0
    concurrency: float = 0.0


@dataclass(slots=True)
class Wish:
    """What was wished for at a tick."""

    at_s: float = 0.0
    instances: int = 0


@dataclass(slots=True)
class Scaler:
    """The parameters of the rule, then what it remembers; buckets and wishes are rings beside it."""

    window_s: float = 60.0
    panic_window_s: float = 6.0
    panic_threshold: float = 2.0
    target: float = 70.0
    capacity: float = 100.0
    """Requests in parallel per instance: the target before the utilisation factor."""
    burst_capacity: float = 211.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    scale_down_delay_s: float = 0.0
    grace_period_s: float = 30.0
    retention_period_s: float = 0.0
    min_scale: int = 0
    max_scale: int = 0
    activation_scale: int = 0
    initial_scale: int = 1
    start_s: float = 0.0
    observed_s: float = 0.0
    first_s: float = math.nan
    """When the first bucket began."""
    longest_window_s: float = 0.0
    """Buckets are kept so long: the longest window so far."""
    first_bucket: int = 0
    n_buckets: int = 0
    first_wish: int = 0
    n_wishes: int = 0
    was_initial_scale_reached: int = 0
    panic_s: float = math.nan
    panic_peak: int = 0
    proxied_since_s: float = 0.0
    """When the activator came into the path of requests, where it is from the start; NaN while it is not."""
    zero_since_s: float = math.nan
    """Since when zero is wished for; NaN while it is not."""
    stable: float = math.nan
    """Averages over both windows at the last decision; NaN before anything was observed."""
    panic: float = math.nan


def observe(scaler: Scaler, buckets: Sequence[Bucket], now_s: float, concurrency: float) -> None:
    """Record the average number of requests in parallel since the last observation; the ring must have a free place."""
    if now_s <= scaler.observed_s:
        return
    if math.isnan(scaler.first_s):
        scaler.first_s = scaler.observed_s
    scaler.longest_window_s = max(scaler.longest_window_s, scaler.window_s)
    bucket = buckets[(scaler.first_bucket + scaler.n_buckets) % len(buckets)]
    bucket.from_s = scaler.observed_s
    bucket.until_s = now_s
    bucket.concurrency = concurrency
    scaler.n_buckets += 1
    while scaler.n_buckets > 0 and buckets[scaler.first_bucket].until_s <= now_s - scaler.longest_window_s:
        scaler.first_bucket = (scaler.first_bucket + 1) % len(buckets)
        scaler.n_buckets -= 1
    scaler.observed_s = now_s


def average(scaler: Scaler, buckets: Sequence[Bucket], now_s: float, length_s: float) -> float:
    """Return the average over the last `length_s` seconds, as far as they were observed; NaN if they were not."""
    start_s = now_s - length_s
    start_s = max(start_s, scaler.first_s)
    total = 0.0
    covered_s = 0.0
    for back in range(scaler.n_buckets - 1, -1, -1):
        bucket = buckets[(scaler.first_bucket + back) % len(buckets)]
        if bucket.until_s <= start_s:
            break
        overlap_s = bucket.until_s - max(bucket.from_s, start_s)
        total += bucket.concurrency * overlap_s
        covered_s += overlap_s
    if covered_s <= 0:
        return math.nan
    # Not `round`, whose last digit differs between Python and compiled code.
    return math.floor(total / covered_s * _DIGITS + 0.5) / _DIGITS


def decide(scaler: Scaler, buckets: Sequence[Bucket], wishes: Sequence[Wish], now_s: float, ready: int) -> int:
    """Return the wish at this tick; the ring of wishes must have a free place.

    Args:
        scaler: parameters and memory.
        buckets: what was observed.
        wishes: of earlier ticks.
        now_s: time of the tick.
        ready: instances that answer now.
    """
    scaler.stable = average(scaler, buckets, now_s, scaler.window_s)
    scaler.panic = average(scaler, buckets, now_s, scaler.panic_window_s)
    if math.isnan(scaler.stable) or math.isnan(scaler.panic):
        return bounded(scaler, max(ready, scaler.initial_scale))
    base = max(1, ready)
    highest = math.ceil(scaler.max_scale_up_rate * base)
    lowest = math.floor(base / scaler.max_scale_down_rate)
    wanted = math.ceil(scaler.stable / scaler.target)
    wanted_now = math.ceil(scaler.panic / scaler.target)
    wish = _activated(scaler, wanted, min(max(wanted, lowest), highest))
    if _is_panicking(scaler, now_s, wanted_now / base):
        wish_now = _activated(scaler, wanted_now, min(max(wanted_now, lowest), highest))
        scaler.panic_peak = max(scaler.panic_peak, wish, wish_now)
        wish = scaler.panic_peak
    wish = _begun(scaler, now_s, _delayed(scaler, wishes, now_s, wish), ready)
    wish = bounded(scaler, wish)
    _watch_activator(scaler, now_s, wish, ready)
    return _kept_before_zero(scaler, now_s, wish, ready)


def poke(scaler: Scaler, buckets: Sequence[Bucket], wishes: Sequence[Wish], now_s: float, ready: int) -> int:
    """Return the wish when a request meets zero instances: at least one, without waiting for a tick."""
    wish = decide(scaler, buckets, wishes, now_s, ready)
    scaler.zero_since_s = math.nan
    return max(wish, bounded(scaler, max(1, scaler.activation_scale)))


def excess_burst_capacity(scaler: Scaler, ready: int) -> float:
    """Return ready x capacity - burst capacity - requests in parallel; 0 and -1 are fixed answers, as in Knative."""
    if scaler.burst_capacity <= 0:
        return 0.0 if scaler.burst_capacity == 0 else -1.0
    return float(math.floor(ready * scaler.capacity - scaler.burst_capacity - scaler.panic))


def bounded(scaler: Scaler, wish: int) -> int:
    """Return the wish inside the bounds of scale."""
    wish = max(wish, scaler.min_scale)
    return min(wish, scaler.max_scale) if scaler.max_scale > 0 else wish


def _activated(scaler: Scaler, wanted: int, wish: int) -> int:
    """Return at least what starts from zero: to Knative that is the least whenever there is any load at all."""
    return max(wish, scaler.activation_scale) if wanted > 0 else wish


def _is_panicking(scaler: Scaler, now_s: float, share: float) -> bool:
    if share >= scaler.panic_threshold:
        scaler.panic_s = now_s
    elif not math.isnan(scaler.panic_s) and scaler.panic_s + scaler.window_s < now_s:
        scaler.panic_s = math.nan
        scaler.panic_peak = 0
    return not math.isnan(scaler.panic_s)


def _delayed(scaler: Scaler, wishes: Sequence[Wish], now_s: float, wish: int) -> int:
    """Return the highest wish of the last `scale_down_delay_s`."""
    if scaler.scale_down_delay_s <= 0:
        return wish
    newest = wishes[(scaler.first_wish + scaler.n_wishes) % len(wishes)]
    newest.at_s = now_s
    newest.instances = wish
    scaler.n_wishes += 1
    while wishes[scaler.first_wish].at_s <= now_s - scaler.scale_down_delay_s:
        scaler.first_wish = (scaler.first_wish + 1) % len(wishes)
        scaler.n_wishes -= 1
    for place in range(scaler.n_wishes):
        wish = max(wish, wishes[(scaler.first_wish + place) % len(wishes)].instances)
    return wish


def _begun(scaler: Scaler, now_s: float, wish: int, ready: int) -> int:
    """Return at least the initial scale until it was reached, and one of it until a whole window was seen."""
    if ready >= scaler.initial_scale:
        scaler.was_initial_scale_reached = 1
    if scaler.was_initial_scale_reached == 0:
        return max(wish, scaler.initial_scale)
    if now_s - scaler.start_s < scaler.window_s:
        return max(wish, min(scaler.initial_scale, 1))
    return wish


def _watch_activator(scaler: Scaler, now_s: float, wish: int, ready: int) -> None:
    """Note since when the activator is in the path: no instance answers or is wanted, or a burst would find no room."""
    if wish > 0 and ready > 0 and excess_burst_capacity(scaler, ready) >= 0:
        scaler.proxied_since_s = math.nan
    elif math.isnan(scaler.proxied_since_s):
        scaler.proxied_since_s = now_s


def _kept_before_zero(scaler: Scaler, now_s: float, wish: int, ready: int) -> int:
    """Keep the last instance until the activator was in the path for the grace period: no request may miss both.

    The retention period counts from the wish for zero.
    """
    if wish > 0:
        scaler.zero_since_s = math.nan
        return wish
    if math.isnan(scaler.zero_since_s):
        scaler.zero_since_s = now_s
    is_due = now_s - scaler.proxied_since_s >= scaler.grace_period_s
    is_due = is_due and now_s - scaler.zero_since_s >= scaler.retention_period_s
    return 0 if ready == 0 or is_due else 1
