"""The Map that makes observations likeliest, from a start: expectation steps, then a quasi-Newton search.

An expectation step gives for each phase the expected time in it, and for each pair the expected changes; the next rate
is changes over time (Asmussen, Nerman and Olsson 1996; Breuer 2002). It is safe far from the optimum and slow near it,
and the same expectations are the slopes in the logarithms of the rates (Fisher's identity), so L-BFGS goes the rest of
the way (Jamshidian and Jennrich 1997). A rate of 0 in the start stays 0: that is how an MMPP remains one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.optimize import minimize

from controller.domain.arrival_map import Map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.arrivals.gap_likelihood import Slopes

EXPECTATION_STEPS = 4
MOST_EVALUATIONS = 50
TOLERANCE = 3e-7
"""Gain of the log-likelihood per arrival below which the search ends; of 30,000 arrivals that is a hundredth."""
SLOWEST, FASTEST = 1e-7, 1e4
"""Bounds of a rate, as multiples of the arrival rate; one at the lower bound is as good as 0."""


class Likelihood(Protocol):
    """Observations, as a function of a Map."""

    @property
    def n(self) -> int:
        """Arrivals."""
        ...

    def start_law(self, process: Map) -> NDArray[np.float64]:
        """Return the law of the phase where a stretch begins, shape (m,)."""
        ...

    def __call__(self, D0: NDArray[np.float64], D1: NDArray[np.float64], start: NDArray[np.float64]) -> Slopes:
        """Return the log-likelihood and its slopes."""
        ...


def maximise(
    likelihood: Likelihood,
    start: Map,
    *,
    expectation_steps: int = EXPECTATION_STEPS,
    most_evaluations: int = MOST_EVALUATIONS,
) -> tuple[Map, float]:
    """Return the likeliest Map near the start, and its log-likelihood."""
    process, law = start, likelihood.start_law(start)
    for _ in range(expectation_steps):
        process = _expectation_step(likelihood, process, law)
        law = likelihood.start_law(process)
    return _search(likelihood, process, law, most_evaluations)


def with_rates(hidden: NDArray[np.float64], D1: NDArray[np.float64]) -> Map:
    """Return the Map with these rates; the diagonal of `hidden` is ignored, that of D0 follows from the rest."""
    return Map(_balanced(hidden, D1), D1)


def _expectation_step(likelihood: Likelihood, process: Map, law: NDArray[np.float64]) -> Map:
    slopes = likelihood(process.D0, process.D1, law)
    times = np.maximum(np.diag(slopes.hidden), np.finfo(float).tiny)[:, None]
    least, most = SLOWEST * process.rate_rps, FASTEST * process.rate_rps
    hidden, arriving = (
        np.where(rates > 0, np.clip(rates * slope / times, least, most), 0.0)
        for rates, slope in ((process.D0, slopes.hidden), (process.D1, slopes.arriving))
    )
    return with_rates(hidden, arriving)


def _search(likelihood: Likelihood, start: Map, law: NDArray[np.float64], most_evaluations: int) -> tuple[Map, float]:
    """Return the likeliest Map near the start and its log-likelihood, by L-BFGS on the logarithms of its rates.

    The law of phases at the beginning of stretches stays while rates move, so that the slopes are exact.
    """
    m, n, rate = len(start.D0), max(likelihood.n, 1), start.rate_rps
    rates = np.concatenate([(start.D0 * (1 - np.eye(m))).ravel(), start.D1.ravel()])
    is_free = rates > 0

    def matrices(logs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values = np.zeros(2 * m * m)
        values[is_free] = np.exp(logs)
        hidden, D1 = values.reshape(2, m, m)
        return _balanced(hidden, D1), D1

    def loss(logs: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        D0, D1 = matrices(logs)
        slopes = likelihood(D0, D1, law)
        times = np.diag(slopes.hidden)[:, None]
        gains = np.concatenate([(D0 * (slopes.hidden - times)).ravel(), (D1 * (slopes.arriving - times)).ravel()])
        return -slopes.log_likelihood / n, -gains[is_free] / n

    found = minimize(
        loss,
        np.log(rates[is_free]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(np.log(SLOWEST * rate), np.log(FASTEST * rate))] * int(is_free.sum()),
        options={"maxfun": most_evaluations, "ftol": TOLERANCE, "gtol": 1e-7},
    )
    return Map(*matrices(np.asarray(found.x, dtype=np.float64))), -float(found.fun) * n


def _balanced(hidden: NDArray[np.float64], D1: NDArray[np.float64]) -> NDArray[np.float64]:
    off = hidden * (1 - np.eye(len(hidden)))
    return off - np.diag(off.sum(axis=1) + D1.sum(axis=1))
