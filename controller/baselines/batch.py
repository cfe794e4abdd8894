"""BATCH (Ali et al., SC 2020) as a policy: every hour, fit the last hour and search the grid.

Deviation: the paper fits two phases with KPC-Toolbox, from moments and autocorrelation of gaps; here the project's own
fit is used, Poisson or two modulated phases from the dispersion of counts. BATCH's formulas are made for those; on what
KPC returns they are 0/0, and the released solver's way out forgets up to half of the arrivals. Where gaps are
correlated but counts are no more dispersed than Poisson's, KPC would know more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.selection import fit_times
from controller.baselines.batch_search import search_batch

if TYPE_CHECKING:
    from controller.baselines.batch_law import Variant
    from controller.baselines.call_table import CallTable
    from controller.baselines.protocol import Past
    from controller.domain.slo import LatencySlo
    from controller.performance_model.prediction import TimerSetting

WINDOW_S = 3600.0
"""Of the past that is fitted, and between two decisions."""
LEAST_ARRIVALS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Decides hourly from the past hour; keeps the setting in force when it finds nothing feasible."""

    calls: CallTable
    slo: LatencySlo
    variant: Variant = "published"

    @property
    def period_s(self) -> float:
        """An hour, as published."""
        return WINDOW_S

    def decide(self, past: Past) -> TimerSetting | None:
        """Return the setting that its law finds cheapest for an hour like the last one; None after an empty hour."""
        from_s = max(0.0, past.now_s - WINDOW_S)
        hour = past.arrival_s[np.searchsorted(past.arrival_s, from_s) :]
        if hour.size < LEAST_ARRIVALS:
            return None
        process = fit_times(hour, from_s=from_s, until_s=past.now_s).process
        choice = search_batch(process, self.calls, self.slo, self.variant)
        return past.present if choice is None else choice.setting
