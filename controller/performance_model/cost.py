"""Expected cost of a setting where every call has a price (Lambda): mean price of a batch over mean batch size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.domain.cost import call_cost_usd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.prices import LambdaPrices
    from controller.performance_model.service_law import ServiceLaw


def request_cost_usd(
    batch_size_pmf: NDArray[np.float64], service: ServiceLaw, *, memory_mb: float, prices: LambdaPrices
) -> float:
    """Return the mean price of a request; E[price of a call] is taken before it is divided by E[batch size].

    Args:
        batch_size_pmf: shape (B,); entry i is the share of batches with i + 1 requests.
        service: law of the service times of batches of 1..B.
        memory_mb: of the function.
        prices: of its architecture.
    """
    calls = (call_cost_usd(service.seconds, memory_mb=memory_mb, prices=prices) * service.weights).sum(axis=1)
    return float(batch_size_pmf @ calls / (batch_size_pmf @ np.arange(1, batch_size_pmf.size + 1)))
