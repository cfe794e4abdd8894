"""What is predicted of a setting: batch sizes, latency and cost, by the exact model or from a simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from controller.domain.cost import call_cost_usd, instances_cost_usd
from controller.errors import BadInputError
from controller.performance_model.batch_queue import BatchQueue
from controller.performance_model.cost import request_cost_usd
from controller.performance_model.latency import LatencyLaw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.domain.arrival_map import Map
    from controller.domain.arrival_process import PoissonProcess
    from controller.domain.prices import Prices
    from controller.domain.serving_config import ServerLaw
    from controller.performance_model.service_law import ServiceLaw
    from controller.performance_model.simulation_result import SimulationResult

Method = Literal["exact", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A setting as `predict` reports it; quantiles keep the caller's text, unanswered requests make them infinite."""

    mean_batch_size: float
    batch_size_pmf: tuple[float, ...]
    mean_latency_s: float
    latency_quantiles_s: dict[str, float]
    cost_per_request_usd: float
    batches_per_s: float
    method: Method
    server_law: ServerLaw
    quantile_intervals_s: dict[str, tuple[float, float] | None] | None = None
    """95 % confidence intervals of a simulation's quantiles; None for a quantile it does not give one of."""

    def to_document(self) -> dict[str, object]:
        """Return the JSON document; an infinite latency is null."""
        latency_s: dict[str, object] = {
            "mean": _finite(self.mean_latency_s),
            "quantiles": {text: _finite(value) for text, value in self.latency_quantiles_s.items()},
        }
        if self.quantile_intervals_s is not None:
            latency_s["intervals_95"] = {
                text: interval and [_finite(end) for end in interval]
                for text, interval in self.quantile_intervals_s.items()
            }
        return {
            "mean_batch_size": self.mean_batch_size,
            "batch_size_pmf": list(self.batch_size_pmf),
            "latency_s": latency_s,
            "cost_per_request_usd": self.cost_per_request_usd,
            "batches_per_s": self.batches_per_s,
            "method": self.method,
            "server_law": self.server_law,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerSetting:
    """The knobs of a buffer in front of servers without queue; all processes of a call share its memory."""

    max_batch_size: int
    max_queue_delay_s: float
    memory_mb: int
    processes: int = 1


def predict_exact(
    process: PoissonProcess | Map,
    service: ServiceLaw,
    setting: TimerSetting,
    *,
    quantiles: Sequence[str],
    prices: Prices,
) -> Prediction:
    """Return the exact prediction for the server law `infinite_timer`.

    Args:
        process: arrivals.
        service: law of the service time for batches of 1..B at the setting's memory.
        setting: B, T and memory.
        quantiles: as the caller wrote them, such as "0.95".
        prices: the Lambda x86 price is used.
    """
    law = BatchQueue.solve(process, max_batch_size=setting.max_batch_size, max_queue_delay_s=setting.max_queue_delay_s)
    latency = LatencyLaw(law, service)
    cost = request_cost_usd(law.batch_size_pmf, service, memory_mb=setting.memory_mb, prices=prices.lambda_x86)
    return Prediction(
        mean_batch_size=law.mean_batch_size,
        batch_size_pmf=tuple(law.batch_size_pmf.tolist()),
        mean_latency_s=latency.mean_s,
        latency_quantiles_s={text: latency.quantile(float(text)) for text in quantiles},
        cost_per_request_usd=cost,
        batches_per_s=law.batches_per_s,
        method="exact",
        server_law="infinite_timer",
    )


def predict_from_simulation(
    result: SimulationResult, *, max_batch_size: int, quantiles: Sequence[str], prices: Prices, memory_mb: int | None
) -> Prediction:
    """Return what a simulation showed.

    Calls are priced for `infinite_timer`, instances (from start to stop, idle time too) for the other server laws.

    Raises:
        BadInputError: nothing was served, or calls are to be priced and no memory is known.
    """
    requests, batches = result.arrival_s.size, result.batch_size.size
    if not requests or not batches:
        raise BadInputError("simulation: no request was served; give arrivals that reach the service")
    if result.server_law == "infinite_timer":
        if memory_mb is None:
            raise BadInputError("memory: cost needs it; give --memory-mb")
        total_usd = float(call_cost_usd(result.batch_s, memory_mb=memory_mb, prices=prices.lambda_x86).sum())
    else:
        total_usd = instances_cost_usd(result.instances, prices.cluster, 0.0, result.until_s)
    counts = np.bincount(result.batch_size, minlength=max_batch_size + 1)[1:]
    return Prediction(
        mean_batch_size=float(result.batch_size.mean()),
        batch_size_pmf=tuple((counts / batches).tolist()),
        mean_latency_s=float(result.latency_s.mean()),
        latency_quantiles_s={text: result.quantile_s(float(text)) for text in quantiles},
        cost_per_request_usd=total_usd / requests,
        batches_per_s=batches / result.until_s,
        method="simulate",
        server_law=result.server_law,
        quantile_intervals_s={text: result.quantile_interval_s(float(text)) for text in quantiles},
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
