"""Fits how long calls of a batching function take, from a handful of settings that were measured, with error bars.

White box first: with x vCPUs per process, a full call of b requests per process takes

    L(b, c, m) = o + f / min(1, x) + w b / min(1, x) + v b / x,    x = m / 1769 / c,

all coefficients at least 0: what CPU does not speed up, loading and hand-over, requests on one core, and requests on
all that the function has. A Gaussian process then corrects the relative error of that law: its covariance holds the
law's own coefficients as uncertain and a smooth part for what the law does not say, so that error bars grow away from
what was measured.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls
from scipy.special import ndtri

from controller.domain.function_times import FunctionBelief
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.function_grid import FunctionGrid
    from controller.domain.function_times import FunctionSample

MB_PER_VCPU = 1769.0
"""Memory of a Lambda function that buys one vCPU (AWS, configuration-memory)."""
MISFIT = 0.08
"""Standard deviation of what the white box leaves out, relative."""
LENGTHS = (1.0, 0.5, 1.5)
"""Over which it changes: in ln b, ln x and c."""
STEP_MISFIT, STEP_LENGTHS = 0.05, (0.12, 0.5, 0.5)
"""The same for what changes from one batch size to the next, such as batches padded to a multiple."""
COEFFICIENTS = 1.0
"""Standard deviation of the law's coefficients around the fitted ones, relative."""
UNSEEN = 0.1
"""The same for a term that the fit left out, as a share of the law at the settings measured."""
PRIOR_CV, PRIOR_FREEDOM = 0.05, 4.0
"""Noise of equal calls before any were compared, and the weight of that guess in calls."""
PASSES = 2
"""Times that noise and fit learn of each other."""
MEMORY_RESERVE = 1.03
"""Memory that is taken to suffice, over what calls were seen to use."""


def fit_function(samples: Sequence[FunctionSample], grid: FunctionGrid) -> FunctionBelief:
    """Return what samples tell about every setting of a grid.

    Raises:
        BadInputError: no sample was answered.
    """
    answered = [each for each in samples if not each.is_failed]
    if not answered:
        raise BadInputError("function: every call failed; give it more memory than was tried")
    places = np.array([grid.place(each.setting) for each in answered], dtype=np.int64)
    terms = _terms(grid)
    usual_s, relative_error = _usual_seconds(grid, terms, places, answered, PRIOR_CV)
    noise = _noise(usual_s, places, answered)
    for _ in range(PASSES):
        core_cv = _pooled(1.4826 * float(np.median(np.abs(noise - np.median(noise)))), noise.size)
        usual_s, relative_error = _usual_seconds(grid, terms, places, answered, core_cv)
        noise = _noise(usual_s, places, answered)
    cv = _pooled(float(noise.std()), noise.size)
    seconds = usual_s * noise.mean()
    fits = _memory_suffices(samples, grid)
    return FunctionBelief(
        seconds.reshape(grid.shape), relative_error.reshape(grid.shape), cv, noise / noise.mean(), fits
    )


def _usual_seconds(
    grid: FunctionGrid,
    terms: NDArray[np.float64],
    places: NDArray[np.int64],
    answered: Sequence[FunctionSample],
    cv: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what a call usually takes at every setting, and the standard error over it, shapes (n,).

    The quickest of a few equal calls stands for them, raised by what it is expected to lie below their middle: a
    neighbour that slows some calls then hardly matters.
    """
    number = np.array([len(each.seconds) for each in answered])
    # Expected least of n standard normals by Blom's approximation, and how its deviation falls with n.
    below = np.where(number > 1, ndtri((1 - 0.375) / (number + 0.25)), 0.0)
    measured_s = np.array([min(each.seconds) for each in answered]) / np.maximum(1 + cv * below, 0.5)
    errors = cv * number**-0.27
    seen = terms[places]
    scale = seen.mean(axis=0)
    factors, _ = nnls(seen / scale / measured_s[:, None], np.ones(len(answered)))
    law_s = terms @ (factors / scale)
    relative, spread = _correct(grid, terms / scale / law_s[:, None], places, measured_s / law_s[places] - 1, errors)
    # A correction may halve the law but not turn it round: beyond, it is extrapolating.
    return law_s * np.maximum(1 + relative, 0.5), spread


def _terms(grid: FunctionGrid) -> NDArray[np.float64]:
    """Return the four terms of the law at every setting, shape (n, 4)."""
    b, c, memory_mb = (np.broadcast_to(axis, grid.shape).ravel() for axis in grid.axes)
    vcpus = memory_mb / MB_PER_VCPU / c
    share = np.minimum(1.0, vcpus)
    return np.column_stack([np.ones_like(b), 1 / share, b / share, b / vcpus])


def _correct(
    grid: FunctionGrid,
    slopes: NDArray[np.float64],
    places: NDArray[np.int64],
    residuals: NDArray[np.float64],
    errors: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of the law's relative error at every setting.

    Args:
        grid: of settings.
        slopes: relative change of the law by each coefficient, shape (n, 4); coefficients scaled to be shares of it.
        places: of the samples, shape (k,).
        residuals: relative errors at the samples, shape (k,).
        errors: their standard errors, shape (k,).
    """
    b, c, memory_mb = (np.broadcast_to(axis, grid.shape).ravel() for axis in grid.axes)
    at = np.column_stack([np.log(b), np.log(memory_mb / c), c])
    apart = (at[:, None, :] - at[None, places, :]) ** 2
    loose = slopes * np.maximum(COEFFICIENTS, UNSEEN)
    across, own = loose @ loose[places].T, (loose**2).sum(axis=1)
    for deviation, lengths in ((MISFIT, LENGTHS), (STEP_MISFIT, STEP_LENGTHS)):
        across += deviation**2 * np.exp(-0.5 * (apart / np.square(lengths)).sum(axis=2))
        own += deviation**2
    root = np.linalg.cholesky(across[places] + np.diag(errors**2))
    whitened = np.linalg.solve(root, across.T)
    mean = whitened.T @ np.linalg.solve(root, residuals)
    return mean, np.sqrt(np.maximum(own - (whitened**2).sum(axis=0), 0.0))


def _noise(
    usual_s: NDArray[np.float64], places: NDArray[np.int64], answered: Sequence[FunctionSample]
) -> NDArray[np.float64]:
    """Return the time of each call over what a call usually takes at its setting, shape (n_calls,)."""
    pairs = zip(answered, places.tolist(), strict=True)
    return np.array([seconds / usual_s[place] for each, place in pairs for seconds in each.seconds])


def _pooled(deviation: float, calls: int) -> float:
    """Return a coefficient of variation seen in some calls, pooled with the guess."""
    return math.sqrt((PRIOR_FREEDOM * PRIOR_CV**2 + calls * deviation**2) / (PRIOR_FREEDOM + calls))


def _memory_suffices(samples: Sequence[FunctionSample], grid: FunctionGrid) -> NDArray[np.bool_]:
    """Return where memory is taken to suffice: by what calls used, at most linear in processes and requests.

    Where use is not reported only failures speak: what failed, fails also with less memory or more to hold.
    """
    b, c, memory_mb = grid.axes
    fits = np.ones(grid.shape, dtype=np.bool_)
    for each in samples:
        if each.is_failed:
            setting = each.setting
            worse = (b >= setting.per_process) & (c >= setting.processes) & (memory_mb <= setting.memory_mb)
            fits &= ~worse
    used = [(each.setting, each.memory_used_mb) for each in samples if each.memory_used_mb is not None]
    if used:
        rows = np.array([[1.0, setting.processes, setting.max_batch_size] for setting, _ in used])
        factors, _ = nnls(rows, np.array([mb for _, mb in used]))
        needed = factors[0] + factors[1] * c + factors[2] * b * c
        fits &= memory_mb >= MEMORY_RESERVE * needed
    return fits
