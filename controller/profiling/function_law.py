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
COEFFICIENTS = 1.0
"""Standard deviation of the law's coefficients around the fitted ones, relative."""
UNSEEN = 0.1
"""The same for a term that the fit left out, as a share of the law at the settings measured."""
PRIOR_CV, PRIOR_FREEDOM = 0.05, 4.0
"""Noise of equal calls before any were compared, and the weight of that guess."""
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
    places = np.array([grid.place(each.setting) for each in answered])
    measured_s = np.array([each.mean_s for each in answered])
    cv = _noise(answered)
    errors = cv / np.sqrt([len(each.seconds) for each in answered])
    terms = _terms(grid)
    seen = terms[places]
    scale = seen.mean(axis=0)
    factors, _ = nnls(seen / scale / measured_s[:, None], np.ones(len(answered)))
    law_s = terms @ (factors / scale)
    relative, spread = _correct(grid, terms / scale / law_s[:, None], places, measured_s / law_s[places] - 1, errors)
    # A correction may halve the law but not turn it round: beyond, it is extrapolating.
    seconds = law_s * np.maximum(1 + relative, 0.5)
    fits = _memory_suffices(samples, grid)
    noise = [time_s / seconds[place] for each, place in zip(answered, places, strict=True) for time_s in each.seconds]
    return FunctionBelief(seconds.reshape(grid.shape), spread.reshape(grid.shape), cv, np.array(noise), fits)


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
    at = np.column_stack([np.log(b), np.log(memory_mb / c), c]) / LENGTHS
    distance = ((at[:, None, :] - at[None, places, :]) ** 2).sum(axis=2)
    loose = slopes * np.maximum(COEFFICIENTS, UNSEEN)
    across = MISFIT**2 * np.exp(-0.5 * distance) + loose @ loose[places].T
    own = MISFIT**2 + (loose**2).sum(axis=1)
    root = np.linalg.cholesky(across[places] + np.diag(errors**2))
    whitened = np.linalg.solve(root, across.T)
    mean = whitened.T @ np.linalg.solve(root, residuals)
    return mean, np.sqrt(np.maximum(own - (whitened**2).sum(axis=0), 0.0))


def _noise(answered: Sequence[FunctionSample]) -> float:
    """Return the coefficient of variation of equal calls, pooled with a guess."""
    spread, freedom = PRIOR_FREEDOM * PRIOR_CV**2, PRIOR_FREEDOM
    for each in answered:
        spread += sum((seconds / each.mean_s - 1) ** 2 for seconds in each.seconds)
        freedom += len(each.seconds) - 1
    return math.sqrt(spread / freedom)


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
