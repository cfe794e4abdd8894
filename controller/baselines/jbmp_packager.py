"""JBMP's packager: collects up to b x c requests, or waits for the timeout after the first, then sends one call.

The published one replays a trace and knows the next gap, so it sends as soon as the next request would come too late;
live, nobody knows that, and a call that does not fill leaves when its timeout ends. This one is live.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.cost import call_cost_usd
from controller.performance_model.timer_batches import cut_timer_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.baselines.jbmp import JbmpChange
    from controller.domain.prices import LambdaPrices
    from controller.performance_model.poisson_calls import CallTimes


@dataclass(frozen=True, slots=True, eq=False)
class PackagedRun:
    """What became of a stream of requests.

    Attributes:
        latency_s: of each request, shape (n,); infinite where its call failed.
        batch_sizes: of each call, shape (n_calls,).
        calls_usd: of all calls; those that fail are not priced.
        warming_usd: of the dummy calls before each change of setting.
    """

    latency_s: NDArray[np.float64]
    batch_sizes: NDArray[np.int64]
    calls_usd: float
    warming_usd: float

    @property
    def cost_per_request_usd(self) -> float:
        """All that was paid over the requests; tuning and the packager's own host not included."""
        return (self.calls_usd + self.warming_usd) / max(1, self.latency_s.size)


def package(
    arrival_s: NDArray[np.float64],
    changes: Sequence[JbmpChange],
    calls: CallTimes,
    *,
    prices: LambdaPrices,
    rng: np.random.Generator,
) -> PackagedRun:
    """Return latency and cost of requests under settings that change.

    Args:
        arrival_s: instants, ascending, shape (n,).
        changes: settings by the time they come into force, the first at or before the first arrival.
        calls: how long calls of the function take; whether it keeps its model or loads it for each call lies in them.
        prices: of a call.
        rng: noise of the calls.
    """
    latency = np.empty(arrival_s.size)
    sizes: list[NDArray[np.int64]] = []
    paid_usd = warming_usd = 0.0
    edges = [*np.searchsorted(arrival_s, [change.from_s for change in changes]).tolist(), arrival_s.size]
    for (first, end), change in zip(pairwise(edges), changes, strict=True):
        times = _times_by_fill(calls, change)
        memory_mb = change.tuned.setting.memory_mb
        if change.from_s > 0 and np.isfinite(times[0]):
            warming_usd += change.warming_calls * float(call_cost_usd(times[:1], memory_mb=memory_mb, prices=prices)[0])
        if first == end:
            continue
        starts, leaves_s = cut_timer_batches(
            arrival_s[first:end],
            max_batch_size=change.tuned.setting.max_batch_size,
            max_queue_delay_s=change.tuned.timeout_s,
        )
        fill = np.diff(np.append(starts, end - first))
        service_s = times[fill - 1] * rng.choice(calls.noise, fill.size)
        answered = np.isfinite(service_s)
        paid_usd += float(call_cost_usd(service_s[answered], memory_mb=memory_mb, prices=prices).sum())
        latency[first:end] = np.repeat(leaves_s + service_s, fill) - arrival_s[first:end]
        sizes.append(fill)
    return PackagedRun(latency, np.concatenate(sizes) if sizes else np.zeros(0, dtype=np.int64), paid_usd, warming_usd)


def _times_by_fill(calls: CallTimes, change: JbmpChange) -> NDArray[np.float64]:
    """Return the mean time of a call by its requests, shape (b c,)."""
    setting, place = change.tuned.setting, calls.grid.place(change.tuned.setting)
    fills = range(1, setting.max_batch_size + 1)
    return np.array([calls.grid.by_fill(calls.seconds, fill).flat[place] for fill in fills])
