"""Ours on the law of BATCH's buffer, without the margin, on a trace of its contest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.baselines.attainment import AttainmentTable
from controller.baselines.batch_search import DELAY_STEP_S, MAX_BATCH_SIZE, N_DELAYS
from controller.baselines.call_table import tabulate_calls
from controller.baselines.judge import Trial, judge
from controller.baselines.tidegate import LADDER, Tidegate
from controller.domain.prices import load_prices
from controller.performance_model.grid_search import Grid
from controller.reproduce.ablation_scenes import FULL, MARGIN
from controller.reproduce.batch_facts import LIGHT
from controller.reproduce.streams import Purpose, stream
from controller.reproduce.traces import HOUR_S, TRACES

if TYPE_CHECKING:
    from controller.baselines.judge import Verdict

TRACE = "W21"
SCENE = f"{TRACE}, buffer"
HISTORY_S = 600.0
MEMORIES_MB = (1024, 1792, 3008)
"""The light service takes the same time at any memory, so that few do."""
TRIED = (FULL, MARGIN)


class BufferScene:
    """An hour of one trace with the light service; the first ten minutes are history."""

    def __init__(self, seed: int) -> None:
        prices = load_prices().lambda_x86
        grid = Grid(max_batch_size=MAX_BATCH_SIZE, max_queue_delay_s=N_DELAYS * DELAY_STEP_S, delay_step_s=DELAY_STEP_S)
        calls = tabulate_calls(LIGHT.times, MEMORIES_MB, max_batch_size=MAX_BATCH_SIZE, prices=prices)
        self._table = AttainmentTable(calls, LIGHT.slo, prices, grid)
        arrival_s = TRACES[TRACE](stream(seed, Purpose.ABLATION_TRAFFIC, 0), 1).arrival_s
        self._trial = Trial(arrival_s, HISTORY_S, HOUR_S, calls, LIGHT.slo)
        self._seed = seed

    def verdict(self, design: str) -> Verdict:
        """Return what comes of one of `TRIED`."""
        policy = Tidegate(
            self._table,
            stream(self._seed, Purpose.ABLATION_SIMULATION),
            # One planning quantile, the least, whatever simulation and arrivals just seen say of it.
            ladder=LADDER[:1] if design == MARGIN else LADDER,
        )
        return judge(policy, self._trial)
