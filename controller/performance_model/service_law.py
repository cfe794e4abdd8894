"""From service times to the law of a batch's service time by its size, discrete for the exact model.

Under a plain timer requests leave in order of arrival, so a batch of n is padded to the longest of n independent
lengths: P(longest <= l) = F(l)^n. Equal batches vary by a lognormal factor where the service times state a `cv`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.service_table import check_service_times
from controller.domain.service_time import TokenServiceTimes
from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.service_time import ServiceTimes
    from controller.domain.token_lengths import TokenLengths

LENGTH_CLASSES = 64
"""Most padded lengths told apart; longer lists are cut into classes of equal probability, each at its longest."""
VARIATION_POINTS = 24
"""Equally likely points that stand for the lognormal factor."""
MOST_TIMES = 500_000
"""Service times looked at for one delay of an exact search; each look at all of them takes some 50 ms."""


@dataclass(frozen=True, slots=True, eq=False)
class ServiceLaw:
    """Service times that a batch of n may take.

    Attributes:
        seconds: shape (B, k); row n - 1 holds the possible times of a batch of n.
        weights: same shape; their probabilities, rows sum to 1.
    """

    seconds: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def mean_s(self) -> NDArray[np.float64]:
        """Mean service time by batch size, shape (B,)."""
        return (self.seconds * self.weights).sum(axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class ServiceLaws:
    """The same for several memories, which do not change the probabilities.

    Attributes:
        seconds: shape (n_memories, k, B).
        weights: shape (k, B); columns sum to 1.
    """

    seconds: NDArray[np.float64]
    weights: NDArray[np.float64]


def service_law(
    service: ServiceTimes, max_batch_size: int, *, memory_mb: int | None = None, lengths: TokenLengths | None = None
) -> ServiceLaw:
    """Return the law for batch sizes 1..max_batch_size.

    Raises:
        BadInputError: a batch size, memory or length is missing or was not measured, a time is not positive, or a
            larger batch takes less time.
    """
    sizes = range(1, max_batch_size + 1)
    padded, weights = (np.zeros(1, dtype=np.int64), np.ones((max_batch_size, 1)))
    known: list[int | None] = [None]
    if lengths is not None and isinstance(service, TokenServiceTimes):
        padded, weights = _longest(lengths, max_batch_size)
        known = [int(length) for length in padded]
    seconds = np.array(
        [[service.seconds(n, memory_mb=memory_mb, padded_length=length) for length in known] for n in sizes]
    )
    check_service_times(seconds.T)
    cv = service.cv if isinstance(service, TokenServiceTimes) else 0.0
    if cv == 0:
        return ServiceLaw(seconds, weights)
    factors = _lognormal_factors(cv)
    spread = (seconds[:, :, None] * factors).reshape(max_batch_size, -1)
    return ServiceLaw(spread, np.repeat(weights / factors.size, factors.size, axis=1))


def service_laws(
    service: ServiceTimes,
    max_batch_size: int,
    memories_mb: tuple[int, ...],
    lengths: TokenLengths | None = None,
) -> ServiceLaws:
    """Return the laws for several memories.

    Raises:
        BadInputError: as `service_law`, or more memories than can be searched with so many possible times.
    """
    laws = [service_law(service, max_batch_size, memory_mb=memory, lengths=lengths) for memory in memories_mb]
    n_times = laws[0].seconds.size
    if n_times * len(laws) > MOST_TIMES:
        raise BadInputError(
            f"memory: {len(laws)} memories with {n_times} possible service times each are too many to search exactly; "
            "give fewer memories, lengths or batch sizes, or set cv to 0"
        )
    return ServiceLaws(np.stack([law.seconds.T for law in laws]), laws[0].weights.T)


def _longest(lengths: TokenLengths, max_batch_size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return lengths (k,) and the probability (max_batch_size, k) that the longest of n falls on each."""
    values, counts = np.unique(lengths.tokens, return_counts=True)
    at_most = np.cumsum(counts) / counts.sum()
    if values.size > LENGTH_CLASSES:
        # Classes narrow toward the longest lengths, which decide the latency of large batches.
        edges = 1 - np.geomspace(1, 1 / counts.sum(), LENGTH_CLASSES)
        kept = np.unique(np.append(np.searchsorted(at_most, edges[1:]), values.size - 1))
        values, at_most = values[kept], at_most[kept]
    powers = at_most[None, :] ** np.arange(1, max_batch_size + 1)[:, None]
    return values, np.diff(powers, axis=1, prepend=0.0)


def _lognormal_factors(cv: float) -> NDArray[np.float64]:
    """Return equally likely factors of mean 1 and about this coefficient of variation, shape (VARIATION_POINTS,)."""
    sigma = math.sqrt(math.log1p(cv**2))
    normal = NormalDist()
    points = np.array([normal.inv_cdf((i + 0.5) / VARIATION_POINTS) for i in range(VARIATION_POINTS)])
    factors = np.exp(sigma * points)
    return factors / factors.mean()
