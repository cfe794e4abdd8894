"""Fits how long calls of a batching function take, from a handful of settings that were measured, with error bars.

White box first: with x vCPUs per process, a full call of b requests per process takes

    L(b, c, m) = o + f / min(1, x) + w b / min(1, x) + v b / x,    x = m / 1769 / c,

all coefficients at least 0: what CPU does not speed up, loading and hand-over, requests on one core, and requests on
all that the function has. In place of b the law may count what a runtime pads it to: a multiple of something, or a
power of two. A Gaussian process then corrects the relative error of that law. Its covariance holds the law's own
coefficients as uncertain, and adds up what the law may leave out: something of the batch size at every memory (which
may step where no such padding does), something of the CPU at every batch size, something of the processes, and a
little of all of them together. Which padding there is, and how much of the first two, the samples say (Bayesian model
averaging).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from controller.domain.cost import MB_PER_VCPU
from controller.domain.function_times import FunctionBelief
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.function_grid import FunctionGrid
    from controller.domain.function_times import FunctionSample

BATCH_MISFITS, CPU_MISFITS = (0.02, 0.06, 0.18, 0.5), (0.03, 0.1)
"""Standard deviations, relative, of what the law leaves out of the batch size and of the CPU; each pair is weighed."""
LITTLE_MISFIT = 0.03
"""The same of the processes, and of all together."""
BATCH_LENGTH, CPU_LENGTH = 1.5, 1.0
"""Over which it changes: in ln b and ln x."""
MULTIPLES = range(1, 9)
"""To which a process may pad its requests; to 1 is not at all. Beyond half of the largest batch, padding hardly
differs from a constant."""
UNLIKELY = 0.01
"""Probability over that of the likeliest guess below which one is dropped: most are, and each costs time."""
COEFFICIENTS = 0.5
"""Standard deviation of each coefficient, as a share of the mean time of what was measured."""
PRIOR_CV, PRIOR_FREEDOM = 0.05, 4.0
"""Noise of equal calls before any were compared, and the weight of that guess in calls."""
FAR_OFF = 3.0
"""Deviations beyond which a call tells of a neighbour and not of its setting."""
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
    cv = _usual_cv(answered)
    measured = _usual_seconds(answered, cv)
    laws = [_fit_law(_terms(grid, padded), places, measured[0]) for padded in _paddings(grid)]
    usual_s, spread = _weigh(laws, _kernels(grid, places), places, measured)
    noise = np.concatenate([np.array(each.seconds) / usual_s[at] for each, at in zip(answered, places, strict=True)])
    return FunctionBelief(
        seconds=(usual_s * noise.mean()).reshape(grid.shape),
        relative_error=(spread / usual_s).reshape(grid.shape),
        sample_error=float(np.median(measured[1])),
        noise=noise / noise.mean(),
        fits=_memory_suffices(samples, grid),
    )


def _usual_cv(answered: Sequence[FunctionSample]) -> float:
    """Return the coefficient of variation of equal calls but for those far off, pooled with the guess."""
    apart = [np.array(each.seconds) / np.median(each.seconds) - 1 for each in answered]
    freedom = sum(each.size - 1 for each in apart)
    if not freedom:
        return PRIOR_CV
    # The median absolute deviation, corrected for the centres that were fitted.
    deviation = 1.4826 * float(np.median(np.abs(np.concatenate(apart))))
    deviation *= math.sqrt(sum(each.size for each in apart) / freedom)
    return math.sqrt((PRIOR_FREEDOM * PRIOR_CV**2 + freedom * deviation**2) / (PRIOR_FREEDOM + freedom))


def _usual_seconds(answered: Sequence[FunctionSample], cv: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean time of each sample's calls but for those far off, and its relative error, shapes (k,)."""
    seconds, errors = [], []
    for each in answered:
        calls = np.array(each.seconds)
        # Two calls have no majority: a neighbour slows, and nothing speeds up.
        middle = np.median(calls) if calls.size > 2 else calls.min()
        near = calls[np.abs(calls / middle - 1) <= FAR_OFF * cv]
        seconds.append(near.mean() if near.size else middle)
        errors.append(cv / math.sqrt(max(1, near.size)))
    return np.array(seconds), np.array(errors)


def _paddings(grid: FunctionGrid) -> list[NDArray[np.float64]]:
    """Return how many requests a process may answer in place of each number: filled up to a multiple, or doubled."""
    b = grid.axes[0]
    return [*(multiple * np.ceil(b / multiple) for multiple in MULTIPLES), 2 ** np.ceil(np.log2(b))]


def _terms(grid: FunctionGrid, padded: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the four terms of the law at every setting, shape (n, 4), with requests padded, shape (b, 1, 1)."""
    b, c, memory_mb = (np.broadcast_to(axis, grid.shape).ravel() for axis in (padded, *grid.axes[1:]))
    vcpus = memory_mb / MB_PER_VCPU / c
    share = np.minimum(1.0, vcpus)
    return np.column_stack([np.ones_like(b), 1 / share, b / share, b / vcpus])


@dataclass(frozen=True, slots=True, eq=False)
class _Law:
    """The law under one padding.

    Attributes:
        seconds: that it says of every setting, shape (n,).
        slopes: by what share of it a standard deviation of each coefficient changes that, shape (n, 4).
    """

    seconds: NDArray[np.float64]
    slopes: NDArray[np.float64]


def _fit_law(terms: NDArray[np.float64], places: NDArray[np.int64], measured_s: NDArray[np.float64]) -> _Law:
    """Return the law with the coefficients that fit the samples best, each at least 0."""
    scale = terms[places].mean(axis=0)
    factors, _ = nnls(terms[places] / scale / measured_s[:, None], np.ones(places.size))
    law_s = terms @ (factors / scale)
    return _Law(law_s, COEFFICIENTS * measured_s.mean() * terms / scale / law_s[:, None])


def _kernels(grid: FunctionGrid, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return three covariances of every setting with the samples, shape (3, n, k).

    They are of what a law leaves out in any case, of batch sizes and of CPU. Of batch size it is a process whose
    increments are independent, so that it may step; of CPU one that only bends.
    """
    b, c, memory_mb = (np.broadcast_to(axis, grid.shape).ravel() for axis in grid.axes)

    def apart(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.abs(values[:, None] - values[places])

    batch = np.exp(-apart(np.log(b)) / BATCH_LENGTH)
    far = math.sqrt(3) * apart(np.log(memory_mb / c)) / CPU_LENGTH
    cpu = (1 + far) * np.exp(-far)
    return np.stack([LITTLE_MISFIT**2 * (apart(c) == 0) * (1 + batch * cpu), batch, cpu])


def _weigh(
    laws: Sequence[_Law],
    kernels: NDArray[np.float64],
    places: NDArray[np.int64],
    measured: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of the time of every setting, shapes (n,), over all laws and misfits.

    Args:
        laws: one for each padding.
        kernels: see `_kernels`.
        places: of the samples, shape (k,).
        measured: times of the samples and their relative errors, shapes (k,).
    """
    measured_s, errors = measured
    guesses, evidence = [], []
    for law, batch, cpu in product(laws, BATCH_MISFITS, CPU_MISFITS):
        parts, slopes, law_s = np.array([1.0, batch**2, cpu**2]), law.slopes[places], law.seconds[places]
        across = slopes @ slopes.T + np.tensordot(parts, kernels[:, places], axes=1)
        root = np.linalg.cholesky(across + np.diag(errors**2))
        surprise = solve_triangular(root, measured_s / law_s - 1, lower=True)
        guesses.append((law, parts, root, surprise))
        # Errors are relative to the law, so its own size is part of how likely it makes the samples.
        evidence.append(-0.5 * surprise @ surprise - np.log(np.diag(root) * law_s).sum())
    odds = np.exp(np.array(evidence) - max(evidence))
    likely = np.flatnonzero(odds >= UNLIKELY)
    means, variances = [], []
    for law, parts, root, surprise in (guesses[at] for at in likely):
        across = law.slopes @ law.slopes[places].T + np.tensordot(parts, kernels, axes=1)
        seen_by = solve_triangular(root, across.T, lower=True)
        own = (law.slopes**2).sum(axis=1) + np.array([2 * LITTLE_MISFIT**2, 1.0, 1.0]) @ parts
        variances.append(np.maximum(own - (seen_by**2).sum(axis=0), 0.0) * law.seconds**2)
        # A correction may halve the law but not turn it round: beyond, it is extrapolating.
        means.append(law.seconds * np.maximum(1 + surprise @ seen_by, 0.5))
    weights = odds[likely] / odds[likely].sum()
    mean_s = weights @ np.array(means)
    return mean_s, np.sqrt(weights @ (np.array(variances) + (np.array(means) - mean_s) ** 2))


def _memory_suffices(samples: Sequence[FunctionSample], grid: FunctionGrid) -> NDArray[np.bool_]:
    """Return where memory is taken to suffice, by what calls used.

    Use is linear in processes and requests, but no less than that of calls with less to hold, and no more than that of
    calls with more. Where it is not reported only failures speak: what failed, fails with less memory or more to hold.
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
        least, most = np.zeros(needed.shape), np.full(needed.shape, np.inf)
        for setting, mb in used:
            least = np.where((b >= setting.per_process) & (c >= setting.processes), np.maximum(least, mb), least)
            most = np.where((b <= setting.per_process) & (c <= setting.processes), np.minimum(most, mb), most)
        fits &= memory_mb >= MEMORY_RESERVE * np.minimum(np.maximum(needed, least), np.maximum(most, least))
    return fits
