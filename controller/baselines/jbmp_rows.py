"""The table "published, reproduced, ours" of JBMP's saving, as rows that a command can print.

The paper claims to save up to 62 % against serving without batching and several processes. What it replaces matters
more than what it does, so its saving is shown against a function that loads its model for each request, as its own
does, and against one that keeps it; both unbatched, at the memory that is cheapest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from controller.baselines.jbmp_regret import Contest
from controller.baselines.jbmp_surfaces import SurfaceKind, draw_surface
from controller.domain.function_grid import FunctionGrid
from controller.errors import NothingFeasibleError
from controller.performance_model.poisson_calls import CallLoad, PricedCalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.baselines.jbmp_surfaces import FunctionSurface, Network
    from controller.domain.prices import LambdaPrices

PUBLISHED_SAVING = (0.0, 0.62)
"""'Up to 62 %' (abstract); no single figure is known."""
DRIVER_LOAD = CallLoad(rate_rps=10.0, bound_s=2.0)
"""What the public code is started with: ResNet-50, 2 s, and tunings for 10 requests a second."""


@dataclass(frozen=True, slots=True)
class JbmpRow:
    """One saving: as published (a range, or None), of JBMP repaired, and ours against the same."""

    quantity: str
    unit: str
    design: str
    batch_size: int | None
    published: tuple[float, float] | None
    reproduced: float
    ours: float
    kind: Literal["simulated", "executed"] = "simulated"

    def to_document(self) -> dict[str, object]:
        """Return the row as JSON."""
        return asdict(self)


def unbatched_usd(surface: FunctionSurface, load: CallLoad, prices: LambdaPrices) -> float:
    """Return what a request costs one by one on one process, at the cheapest memory that answers 95 % in time.

    Raises:
        NothingFeasibleError: no memory does.
    """
    calls = surface.calls
    timed = PricedCalls(calls.grid, calls.seconds, prices).under(load, np.zeros(calls.seconds.size))
    places = np.arange(len(calls.grid.memories_mb))
    on_time = places[timed.late_share(calls.noise, places) <= 0.05]
    cost = timed.cost_usd[on_time]
    if not cost.size:
        raise NothingFeasibleError(f"{surface.name}: one by one, no memory answers 95 % within {load.bound_s:g} s")
    return float(cost.min())


def jbmp_rows(
    prices: LambdaPrices, *, seeds: Sequence[int], network: Network = "resnet", load: CallLoad = DRIVER_LOAD
) -> list[JbmpRow]:
    """Return medians over functions drawn with these seeds.

    Args:
        prices: of a call.
        seeds: of functions and of the noise that tuners see.
        network: family of the functions.
        load: arrivals and bound.

    Raises:
        NothingFeasibleError: for a function of these, nothing keeps the objective.
    """
    grid, found = FunctionGrid(), []
    for seed in seeds:
        loading, warm = (
            draw_surface(SurfaceKind(network, loads_model=loads), grid, np.random.default_rng(seed))
            for loads in (True, False)
        )
        jbmp = [_cost_usd("jbmp repaired", Contest(surface, load, prices, seed)) for surface in (loading, warm)]
        ours = _cost_usd("ours", Contest(warm, load, prices, seed))
        found.append([*jbmp, ours, *(unbatched_usd(surface, load, prices) for surface in (loading, warm))])
    reloading, kept, ours, naive, competent = np.array(found).T
    rows = (
        ("saving over a model loaded for each request", "model loaded for each call", reloading, naive),
        ("saving over a model loaded for each request", "warm workers", kept, naive),
        ("saving over a warm function, unbatched", "model loaded for each call", reloading, competent),
        ("saving over a warm function, unbatched", "warm workers", kept, competent),
    )
    return [
        JbmpRow(
            quantity=quantity,
            unit="share",
            design=design,
            batch_size=None,
            published=PUBLISHED_SAVING if design != "warm workers" and against is naive else None,
            reproduced=float(np.median(1 - costs / against)),
            ours=float(np.median(1 - ours / against)),
        )
        for quantity, design, costs, against in rows
    ]


def _cost_usd(tuner: Literal["ours", "jbmp repaired"], contest: Contest) -> float:
    (verdict,) = contest.judge([tuner])
    return contest.find_optimum().cost_usd * (1 + verdict.regret)
