"""What a simulation saw: the columns of a request log, batches and instances, as a live platform reports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from controller.domain.request_log import RequestClass
from controller.domain.slo import window_violation_ratio
from controller.performance_model.quantile_interval import quantile_interval_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.instance_log import InstanceRow
    from controller.domain.serving_config import ServerLaw
    from controller.domain.slo import LatencySlo

CLASSES: tuple[RequestClass, ...] = get_args(RequestClass)


@dataclass(frozen=True, slots=True, eq=False)
class SimulationResult:
    """Requests are in order of arrival, batches in order of their end; times in seconds since the start.

    Attributes:
        arrival_s: shape (n_requests,).
        latency_s: shape (n_requests,); infinite without a right answer, NaN while a request is still inside.
        request_class: shape (n_requests,), values of `RequestClass`; "error" while a request is still inside.
        batch_size: shape (n_batches,).
        padded_tokens: shape (n_batches,); size times the longest request.
        batch_s: shape (n_batches,); as the worker measures it, contention for the cores included.
        instances: oldest first; empty for `infinite_timer`, where calls are paid and not instances.
        until_s: how far the simulation went.
    """

    server_law: ServerLaw
    arrival_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    request_class: NDArray[np.str_]
    batch_size: NDArray[np.int64]
    padded_tokens: NDArray[np.int64]
    batch_s: NDArray[np.float64]
    instances: Sequence[InstanceRow]
    until_s: float

    def quantile_s(self, quantile: float) -> float:
        """Return the smallest latency that this share of the requests does not exceed; NaN without requests."""
        if not self.latency_s.size:
            return float("nan")
        # Not interpolated: between an answer and none (infinite) there is no number.
        return float(np.quantile(self.latency_s, quantile, method="inverted_cdf"))

    def quantile_interval_s(self, quantile: float) -> tuple[float, float] | None:
        """Return a 95 % confidence interval of the stationary quantile, None where the requests do not give one."""
        return quantile_interval_s(self.latency_s, quantile)

    def late(self, bound_s: float) -> NDArray[np.bool_]:
        """Return which requests were not answered rightly within the bound."""
        return ~(self.latency_s <= bound_s)

    def window_violation_ratio(self, slo: LatencySlo) -> float:
        """Return the share of 256-arrival windows that violate the objective."""
        return window_violation_ratio(self.late(slo.bound_s), slo.quantile)

    def count(self, request_class: RequestClass) -> int:
        """Return how many requests are of this class."""
        return int(np.count_nonzero(self.request_class == request_class))

    @property
    def instance_seconds(self) -> float:
        """Seconds that instances were paid for."""
        return sum(row.billed_s(0.0, self.until_s) for row in self.instances)

    def instance_counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return ready and starting instances at each whole second, both of shape (ceil(until_s),)."""
        at_s = np.arange(np.ceil(self.until_s))
        ready, starting = np.zeros(at_s.size, dtype=np.int64), np.zeros(at_s.size, dtype=np.int64)
        for row in self.instances:
            stop_s = self.until_s if np.isnan(row.stopped_s) else row.stopped_s
            ready_s = stop_s if np.isnan(row.ready_s) else row.ready_s
            starting += (at_s >= row.started_s) & (at_s < ready_s)
            ready += (at_s >= ready_s) & (at_s < stop_s)
        return ready, starting
