"""Fits the law of service times to sums of batches, with error bars.

The mean time of n requests padded to t tokens together is f + w t + w2 t²/n (see `TokenServiceTimes`, with t = n L).
Noise is multiplicative, so relative errors are minimised, by least squares whose coefficients cannot be negative.
Where batches of some size are found more than 10 % off the law (padding to a multiple, say, steps where the law is
straight), a Gaussian process over the size corrects it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls

from controller.domain.service_time import TokenServiceTimes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from controller.telemetry.heartbeat import BatchKey, BatchSums

SHIPPED_SERVICE_TIMES = TokenServiceTimes(per_batch_s=0.0025, per_token_s=0.00019, per_token_pair_s=1.7e-7, cv=0.1)
"""DistilBERT (66 M) in int8 on one core, as measured in research/perf.md. Only its shape serves as prior: how the time
splits between batch, tokens and pairs as long as too few kinds of batch were seen to tell them apart."""
PRIOR_KINDS: tuple[BatchKey, ...] = ((1, 16), (1, 128), (8, 256), (16, 512), (1, 512))
PRIOR_RELATIVE_ERROR = 0.3
"""How far the prior's shape is believed: about ±30 % at each of its kinds of batch."""
MISFIT = 0.02
"""Relative error of the law itself; keeps a kind seen 10,000 times from overruling all others."""
MISFIT_CORRECTED = 0.1
"""Relative error of some batch size from which on the law is corrected."""
SURE_DEVIATIONS = 3.0
"""Standard errors that such an error must exceed to be no chance."""
SIZE_LENGTH = 1.0
"""In ln n, over which the error of the law changes; by independent increments, so that it may step."""
TOKENS_ROUNDED_UP = 7.5
"""Keys round padded tokens up to a multiple of 16, so on average they say this much too many."""


@dataclass(frozen=True, slots=True)
class LatencyFit:
    """A fitted law.

    Attributes:
        service: the law, its `cv` and correction included.
        standard_errors: of per_batch_s, per_token_s and per_token_pair_s, shape (3,).
        size_errors: of the law's `size_factors`, relative, same shape; none where the law fits.
        relative_error: standard error over value, averaged over the kinds of batch that were seen.
        batches: how many batches it rests on.
    """

    service: TokenServiceTimes
    standard_errors: NDArray[np.float64]
    size_errors: NDArray[np.float64]
    relative_error: float
    batches: float


def fit_service_times(
    sums: Mapping[BatchKey, BatchSums], *, prior: TokenServiceTimes = SHIPPED_SERVICE_TIMES
) -> LatencyFit:
    """Fit the law to sums of batches; without any batch it is the prior.

    Args:
        sums: service times by batch size and padded tokens (rounded up to 16).
        prior: whose shape fills in what the batches do not tell.
    """
    seen = {key: each for key, each in sums.items() if each.count > 0 and each.sum_s > 0}
    if not seen:
        return LatencyFit(prior, np.full(3, math.inf), np.zeros(0), math.inf, 0.0)
    counts = np.array([each.count for each in seen.values()])
    means = np.array([each.sum_s / each.count for each in seen.values()])
    design = _design(np.array(list(seen), dtype=np.float64))
    cv = _noise(seen, prior.cv)
    relative = np.sqrt(cv**2 / counts + MISFIT**2)
    prior_design = _design(np.array(PRIOR_KINDS, dtype=np.float64))
    law = np.array([prior.per_batch_s, prior.per_token_s, prior.per_token_pair_s])
    weights = 1 / relative**2
    scale = math.exp(float(weights @ np.log(means / (design @ law)) / weights.sum()))
    rows = np.vstack([design, prior_design])
    values = np.concatenate([means, scale * (prior_design @ law)])
    errors = np.concatenate([relative, np.full(len(PRIOR_KINDS), PRIOR_RELATIVE_ERROR)]) * values
    # Columns are scaled by the prior so that seconds per batch and per pair of tokens weigh alike in the solver.
    weighted = rows * law / errors[:, None]
    shares, _ = nnls(weighted, values / errors)
    covariance = np.linalg.pinv(weighted.T @ weighted) * np.outer(law, law)
    coefficients = shares * law
    spread = np.sqrt(np.einsum("ij,jk,ik->i", design, covariance, design)) / (design @ coefficients)
    kinds = np.array(list(seen), dtype=np.int64)
    factors, size_errors = _correct(kinds[:, 0], means / (design @ coefficients) - 1, cv / np.sqrt(counts))
    if size_errors.size:
        spread = np.hypot(spread, size_errors[kinds[:, 0] - 1])
    service = TokenServiceTimes(
        per_batch_s=float(coefficients[0]),
        per_token_s=float(coefficients[1]),
        per_token_pair_s=float(coefficients[2]),
        cv=cv,
        size_factors=factors,
    )
    return LatencyFit(
        service=service,
        standard_errors=np.sqrt(np.diag(covariance)),
        size_errors=size_errors,
        relative_error=float(counts @ spread / counts.sum()),
        batches=float(counts.sum()),
    )


def _design(kinds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1, tokens and pairs of tokens for each kind of batch, shape (n_kinds, 3)."""
    tokens = np.maximum(kinds[:, 1] - TOKENS_ROUNDED_UP, 1.0)
    return np.column_stack([np.ones(len(kinds)), tokens, tokens**2 / kinds[:, 0]])


def _correct(
    sizes: NDArray[np.int64], residuals: NDArray[np.float64], errors: NDArray[np.float64]
) -> tuple[tuple[float, ...], NDArray[np.float64]]:
    """Return factors on the law for batches of 1, 2, … requests and their errors; none of either where the law fits.

    Args:
        sizes: of the kinds of batch, shape (k,).
        residuals: relative errors of the law, same shape.
        errors: their standard errors, same shape.
    """
    known = np.unique(sizes)
    weights = (sizes == known[:, None]) / errors**2
    error = 1 / np.sqrt(weights.sum(axis=1))
    off = weights @ residuals * error**2
    if not (np.abs(off) > np.maximum(MISFIT_CORRECTED, SURE_DEVIATIONS * error)).any():
        return (), np.zeros(0)
    variance = float(off @ off) / off.size
    at = np.log(np.arange(1, known[-1] + 1))
    across = variance * np.exp(-np.abs(at[:, None] - at[known - 1]) / SIZE_LENGTH)
    gain = np.linalg.solve(across[known - 1] + np.diag(error**2), across.T).T
    left = np.sqrt(np.maximum(variance - (gain * across).sum(axis=1), 0.0))
    # Half the law and less is extrapolation gone wrong.
    return tuple(np.maximum(1 + gain @ off, 0.5).tolist()), left


def _noise(sums: Mapping[BatchKey, BatchSums], otherwise: float) -> float:
    """Return the coefficient of variation inside kinds of batch, pooled; `otherwise` stands for ten batches."""
    spread, freedom = 10 * otherwise**2, 10.0
    for each in sums.values():
        if each.count > 1:
            mean = each.sum_s / each.count
            spread += each.count * max(0.0, each.sum_sq_s / each.count / mean**2 - 1)
            freedom += each.count - 1
    return min(1.0, math.sqrt(spread / freedom))
