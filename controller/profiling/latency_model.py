"""Fits the law of service times to sums of batches, with error bars.

The mean time of n requests padded to t tokens together is f + w t + w2 t²/n (see `TokenServiceTimes`, with t = n L).
Noise is multiplicative, so relative errors are minimised, by least squares whose coefficients cannot be negative.
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
TOKENS_ROUNDED_UP = 7.5
"""Keys round padded tokens up to a multiple of 16, so on average they say this much too many."""


@dataclass(frozen=True, slots=True)
class LatencyFit:
    """A fitted law.

    Attributes:
        service: the law, its `cv` included.
        standard_errors: of per_batch_s, per_token_s and per_token_pair_s, shape (3,).
        relative_error: standard error over value, averaged over the kinds of batch that were seen.
        batches: how many batches it rests on.
    """

    service: TokenServiceTimes
    standard_errors: NDArray[np.float64]
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
        return LatencyFit(prior, np.full(3, math.inf), math.inf, 0.0)
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
    factors, _ = nnls(weighted, values / errors)
    covariance = np.linalg.pinv(weighted.T @ weighted) * np.outer(law, law)
    coefficients = factors * law
    spread = np.sqrt(np.einsum("ij,jk,ik->i", design, covariance, design)) / (design @ coefficients)
    service = TokenServiceTimes(
        per_batch_s=float(coefficients[0]),
        per_token_s=float(coefficients[1]),
        per_token_pair_s=float(coefficients[2]),
        cv=cv,
    )
    return LatencyFit(
        service=service,
        standard_errors=np.sqrt(np.diag(covariance)),
        relative_error=float(counts @ spread / counts.sum()),
        batches=float(counts.sum()),
    )


def _design(kinds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1, tokens and pairs of tokens for each kind of batch, shape (n_kinds, 3)."""
    tokens = np.maximum(kinds[:, 1] - TOKENS_ROUNDED_UP, 1.0)
    return np.column_stack([np.ones(len(kinds)), tokens, tokens**2 / kinds[:, 0]])


def _noise(sums: Mapping[BatchKey, BatchSums], otherwise: float) -> float:
    """Return the coefficient of variation inside kinds of batch, pooled; `otherwise` stands for ten batches."""
    spread, freedom = 10 * otherwise**2, 10.0
    for each in sums.values():
        if each.count > 1:
            mean = each.sum_s / each.count
            spread += each.count * max(0.0, each.sum_sq_s / each.count / mean**2 - 1)
            freedom += each.count - 1
    return min(1.0, math.sqrt(spread / freedom))
