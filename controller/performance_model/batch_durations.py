"""Service times of simulated batches: the mean of a law times lognormal noise of mean 1 and the law's `cv`.

The mean is written as seconds by size plus a part by tokens, so that compiled code needs no call of ours:
only `tokens` knows lengths, and every other kind of service times is a table by size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from controller.domain.service_time import TokenServiceTimes
from controller.errors import BadInputError
from controller.performance_model.pod_state import Limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.service_time import ServiceTimes

_BLOCK = 4096
Number = TypeVar("Number", float, "NDArray[Any]")


def mean_batch_s(limits: Limits, by_size_s: Number, work_factor: Number, size: Number, longest: Number) -> Number:
    """Return the mean seconds of batches on a whole core: S(n, L) of `TokenServiceTimes`. Called plain or compiled."""
    tokens = size * longest
    work = limits.per_batch_s + limits.per_token_s * tokens + limits.per_token_pair_s * tokens * longest
    return by_size_s + work_factor * work / limits.cpu_share


def set_durations(
    limits: Limits, service: ServiceTimes, *, max_batch_size: int, memory_mb: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Write the law into the row and return what it has by size: the columns of `SizeLaw`, shape (max_batch_size,)."""
    sizes = range(1, max_batch_size + 1)
    if isinstance(service, TokenServiceTimes):
        limits.per_batch_s = service.per_batch_s
        limits.per_token_s = service.per_token_s
        limits.per_token_pair_s = service.per_token_pair_s
        limits.cpu_share = service.cpu_share(memory_mb)
        limits.is_noisy = int(service.cv > 0)
        return np.full(max_batch_size, service.fixed_s), np.array([service.size_factor(size) for size in sizes])

    def seconds(size: int) -> float:
        try:
            return service.seconds(size, memory_mb=memory_mb)
        except BadInputError:  # told when a batch of this size is formed, and not before
            return math.nan

    return np.array([seconds(size) for size in sizes]), np.ones(max_batch_size)


def raise_unmeasured(service: ServiceTimes, size: int, *, memory_mb: int | None) -> None:
    """Say why there is no service time for a batch of this size.

    Raises:
        BadInputError: always, if there is none.
    """
    service.seconds(size, memory_mb=memory_mb)


class Noise:
    """Factors of service times, drawn in blocks: the k-th batch gets the same one however many are asked for."""

    __slots__ = ("_drawn", "_rng", "_sigma")

    def __init__(self, service: ServiceTimes, rng: np.random.Generator) -> None:
        cv = service.cv if isinstance(service, TokenServiceTimes) else 0.0
        self._sigma = math.sqrt(math.log1p(cv * cv))
        self._rng = rng
        self._drawn = 0

    def up_to(self, count: int) -> NDArray[np.float64]:
        """Return further factors, so that at least `count` have been drawn; none for a law without noise."""
        if not self._sigma or count <= self._drawn:
            return np.zeros(0)
        blocks = -(-(count - self._drawn) // _BLOCK)
        self._drawn += blocks * _BLOCK
        drawn = self._rng.lognormal(-(self._sigma**2) / 2, self._sigma, (blocks, _BLOCK))
        return drawn[:, ::-1].ravel()


def draw_batches_s(
    service: ServiceTimes,
    sizes: NDArray[np.int64],
    longest: NDArray[np.int64],
    *,
    memory_mb: int | None,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the seconds of batches that are all known beforehand, shape as `sizes`.

    Raises:
        BadInputError: there is no service time for one of them.
    """
    if not sizes.size:
        return np.zeros(0)
    limits = Limits()
    law = set_durations(limits, service, max_batch_size=int(sizes.max()), memory_mb=memory_mb)
    by_size_s, work_factor = (column[sizes - 1] for column in law)
    mean_s = mean_batch_s(limits, by_size_s, work_factor, sizes, longest)
    if np.isnan(mean_s).any():
        raise_unmeasured(service, int(sizes[np.isnan(mean_s)][0]), memory_mb=memory_mb)
    return mean_s * Noise(service, rng).up_to(sizes.size)[: sizes.size] if limits.is_noisy else mean_s
