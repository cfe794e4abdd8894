"""Service times of simulated batches: the mean of a law, remembered, times lognormal noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.domain.service_time import TokenServiceTimes

if TYPE_CHECKING:
    import numpy as np

    from controller.domain.service_time import ServiceTimes

_BLOCK = 4096


class BatchDurations:
    """Draws the CPU seconds of one batch after the other. The noise has mean 1 and the law's `cv`."""

    __slots__ = ("_means", "_memory_mb", "_noise", "_rng", "_service", "_sigma")

    def __init__(self, service: ServiceTimes, *, memory_mb: int | None, rng: np.random.Generator) -> None:
        self._service = service
        self._memory_mb = memory_mb
        self._rng = rng
        cv = service.cv if isinstance(service, TokenServiceTimes) else 0.0
        self._sigma = math.sqrt(math.log1p(cv * cv))
        self._noise: list[float] = []
        self._means: dict[tuple[int, int], float] = {}

    def draw_s(self, batch_size: int, padded_length: int) -> float:
        """Return the seconds of the next batch of this size and padded length."""
        key = (batch_size, padded_length)
        mean_s = self._means.get(key)
        if mean_s is None:
            mean_s = self._service.seconds(batch_size, memory_mb=self._memory_mb, padded_length=padded_length)
            self._means[key] = mean_s
        if not self._sigma:
            return mean_s
        if not self._noise:
            # Drawn in blocks: one numpy call per batch would cost more than the rest of the event.
            self._noise = self._rng.lognormal(-(self._sigma**2) / 2, self._sigma, _BLOCK).tolist()
        return mean_s * self._noise.pop()
