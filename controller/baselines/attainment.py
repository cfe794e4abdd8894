"""What every setting of the grid attains and costs under a law, exactly, remembered by rate.

One look at the distribution function at the objective's bound answers every planning quantile at once, so a decision is
a comparison of arrays. Poisson laws are remembered on a geometric grid of rates.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.arrival_process import PoissonProcess
from controller.performance_model.exact_optimum import BOUND_TOLERANCE
from controller.performance_model.grid_search import tabulate_grid
from controller.performance_model.prediction import TimerSetting
from controller.performance_model.service_law import ServiceLaws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.baselines.call_table import CallTable
    from controller.domain.arrival_map import Map
    from controller.domain.prices import LambdaPrices
    from controller.domain.slo import LatencySlo
    from controller.performance_model.grid_search import Grid

RATE_STEP = 1.02
"""Ratio of neighbouring rates: an hour's rate is known to about one per cent, a minute's worse."""
ROUNDING = 1e-6
"""Shares are kept in single precision."""
NEARLY = 1e-3
"""Settings whose cost is this close, relatively, are equal; the one that attains most is then the better one."""


@dataclass(frozen=True, slots=True, eq=False)
class Attainment:
    """One law; arrays have shape (n_settings,), in the order of the table that made it.

    Attributes:
        share: of requests answered within the bound.
        cost_usd: of a request, mean.
    """

    share: NDArray[np.float32]
    cost_usd: NDArray[np.float64]


class AttainmentTable:
    """The whole grid of memories, B and T, for one service and one objective.

    Args:
        calls: time and price of a call; its memories are searched.
        slo: the objective whose bound is looked at.
        prices: of a call.
        grid: B and T.
    """

    def __init__(self, calls: CallTable, slo: LatencySlo, prices: LambdaPrices, grid: Grid) -> None:
        self.calls, self.slo, self.grid = calls, slo, grid
        self._prices = prices
        self._exists = grid.exists(len(calls.memories_mb))
        self._places: list[list[int]] = np.argwhere(self._exists).tolist()
        self._known: dict[PoissonProcess | Map, Attainment] = {}

    def of(self, law: PoissonProcess | Map) -> Attainment:
        """Return what every setting attains under a law, computed once."""
        if law not in self._known:
            self._known[law] = self._tabulate(law)
        return self._known[law]

    def _tabulate(self, law: PoissonProcess | Map) -> Attainment:
        n = self.grid.max_batch_size
        service = ServiceLaws(self.calls.seconds[:, None, :n], np.ones((1, n)))
        surface = tabulate_grid(law, service, self.calls.memories_mb, self.grid, self._prices)
        # An atom may sit exactly on the bound.
        share = surface.attained(self.slo.bound_s * (1 + BOUND_TOLERANCE))
        return Attainment(share[self._exists].astype(np.float32), surface.cost_usd[self._exists])

    @property
    def n_settings(self) -> int:
        """Settings of the grid."""
        return len(self._places)

    def at_rate(self, rate_rps: float) -> Attainment:
        """Return the same for Poisson arrivals at about this rate."""
        return self.of(PoissonProcess(on_grid(rate_rps)))

    def setting(self, index: int) -> TimerSetting:
        """Return the setting behind an index of an `Attainment`'s arrays."""
        delay, memory, size = self._places[index]
        return TimerSetting(
            max_batch_size=size + 1,
            max_queue_delay_s=self.grid.delay_s(delay),
            memory_mb=self.calls.memories_mb[memory],
        )

    def index(self, setting: TimerSetting) -> int | None:
        """Return the index of a setting, None where it is not on the grid."""
        delay = round(setting.max_queue_delay_s / self.grid.delay_step_s)
        place = [delay, self.calls.row(setting), setting.max_batch_size - 1]
        found = bisect_left(self._places, place)
        is_known = found < len(self._places) and self._places[found] == place
        return found if is_known and self.grid.delay_s(delay) == setting.max_queue_delay_s else None


def on_grid(rate_rps: float) -> float:
    """Return the nearest rate of the geometric grid, a power of `RATE_STEP`; one that is on it is returned as it is."""
    return RATE_STEP ** round(math.log(rate_rps) / math.log(RATE_STEP))


def cheapest(
    cost_usd: NDArray[np.float64],
    share: NDArray[np.float32],
    quantile: float,
    *,
    present: int | None = None,
    nearly: float = NEARLY,
) -> int:
    """Return the setting to take: inside the objective, nearly the cheapest, and of those the one that attains most.

    Args:
        cost_usd: shape (n_settings,).
        share: same shape; attained at worst.
        quantile: planned for. Where nothing reaches it, the setting that attains most is taken.
        present: is kept while it is inside the objective and nearly the cheapest.
        nearly: how much dearer than the cheapest, relatively, is still equal.
    """
    feasible = share >= quantile - ROUNDING
    if not feasible.any():
        return int(np.argmax(share))
    least = float(cost_usd[feasible].min()) * (1 + nearly)
    if present is not None and feasible[present] and cost_usd[present] <= least:
        return present
    near = feasible & (cost_usd <= least)
    return int(np.argmax(np.where(near, share, -1.0)))


def worst(laws: Sequence[Attainment]) -> NDArray[np.float32]:
    """Return the least share that each setting attains under any of the laws, shape (n_settings,)."""
    return np.minimum.reduce([law.share for law in laws])
