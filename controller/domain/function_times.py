"""What was measured of a batching function, and what is believed of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from controller.domain.function_grid import FunctionSetting


@dataclass(frozen=True, slots=True)
class FunctionSample:
    """Times of full calls at one setting.

    Attributes:
        setting: that was called.
        seconds: of each call; empty where calls failed, as they do when memory does not suffice.
        memory_used_mb: the most that a call used, which Lambda reports after each; None where not known.
    """

    setting: FunctionSetting
    seconds: tuple[float, ...]
    memory_used_mb: float | None = None

    @property
    def is_failed(self) -> bool:
        """Whether no call was answered."""
        return not self.seconds

    @property
    def mean_s(self) -> float:
        """Mean time of a call; not to be asked of a failed sample."""
        return fmean(self.seconds)


@dataclass(frozen=True, slots=True, eq=False)
class FunctionBelief:
    """What is believed of a function.

    Attributes:
        seconds: mean time of a full call, shape (b, c, memory).
        relative_error: its standard error over itself, same shape.
        sample_error: standard error, over itself, of the time that one more sample would tell.
        noise: time of each call that was measured over what is believed of its setting, shape (n,).
        fits: whether memory is taken to suffice, same shape.
    """

    seconds: NDArray[np.float64]
    relative_error: NDArray[np.float64]
    sample_error: float
    noise: NDArray[np.float64]
    fits: NDArray[np.bool_]
