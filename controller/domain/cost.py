"""What requests and instances cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from controller.domain.instance_log import InstanceRow
    from controller.domain.prices import ClusterPrices, LambdaPrices

MB_PER_GB = 1024.0
"""On the bills."""
MB_PER_VCPU = 1769.0
"""Memory of a Lambda function that buys one vCPU (AWS, configuration-memory)."""


def call_cost_usd(
    service_s: NDArray[np.float64], *, memory_mb: float | NDArray[np.float64], prices: LambdaPrices
) -> NDArray[np.float64]:
    """Return the price of one Lambda call for each service time, shape of both, broadcast.

    The billed time is rounded up to the granularity; 1e-6 of a step is forgiven first, so that 0.1 + 0.2 s is 300 ms.
    """
    if prices.granularity_s > 0:
        service_s = np.ceil(np.round(service_s / prices.granularity_s, 6)) * prices.granularity_s
    return service_s * (memory_mb / MB_PER_GB) * prices.gb_second_usd + prices.request_usd


def cost_per_request_usd(
    batch_size_pmf: NDArray[np.float64], service_s: NDArray[np.float64], *, memory_mb: float, prices: LambdaPrices
) -> float:
    """Return the mean price of a request: E[price of a batch] / E[requests in a batch].

    Args:
        batch_size_pmf: shape (B,); entry i is the share of batches with i + 1 requests.
        service_s: shape (B,); service time of a batch with i + 1 requests.
        memory_mb: of the function.
        prices: of the architecture.
    """
    sizes = np.arange(1, batch_size_pmf.size + 1)
    calls = call_cost_usd(service_s, memory_mb=memory_mb, prices=prices)
    return float(batch_size_pmf @ calls / (batch_size_pmf @ sizes))


def instance_second_usd(prices: ClusterPrices, *, vcpu: float, memory_mb: float) -> float:
    """Return what a second of an instance of this size costs."""
    return vcpu * prices.vcpu_second_usd + memory_mb / MB_PER_GB * prices.gb_second_usd


def instances_cost_usd(rows: Iterable[InstanceRow], prices: ClusterPrices, from_s: float, until_s: float) -> float:
    """Return what instances cost inside [from_s, until_s]; starting, idle and stopping time are paid as well."""
    return sum(
        row.billed_s(from_s, until_s) * instance_second_usd(prices, vcpu=row.vcpu, memory_mb=row.memory_mb)
        for row in rows
    )
