"""How changes are found and laws fitted, put together from the rooms that do it (`controller.arrivals`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.detector import Detector
from controller.domain.arrival_process import Map, PoissonProcess
from controller.monitor.traffic import Detection

if TYPE_CHECKING:
    from numpy.typing import NDArray


def default_detection() -> Detection:
    """Return the detectors, the confirmation of a regime and the fit that the loop uses."""
    return Detection(detector=Detector, confirm=_confirm, fit=_fit)


def _fit(counts: NDArray[np.int64]) -> PoissonProcess | Map:
    return PoissonProcess(float(counts.mean()))


def _confirm(counts: NDArray[np.int64], law: PoissonProcess | Map) -> int | None:
    return None
