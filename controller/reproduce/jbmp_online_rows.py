"""JBMP online as rows, and what is required of ours beside it: all that is paid, windows, and tenfold steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.domain.slo import ALLOWED_VIOLATION_RATIO
from controller.reproduce.jbmp_contest import KEPT, RELOADING, TIDEGATE
from controller.reproduce.jbmp_online import DESIGNS, NAIVE, WARM
from controller.reproduce.jbmp_rows import MOST_OF_KEPT, MOST_OF_NAIVE, MOST_OF_RELOADING, MOST_OF_WARM
from controller.reproduce.online_traffic import STEPS
from controller.reproduce.rows import Requirement, Row, at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from controller.reproduce.jbmp_online import OnlineOutcome

LONGEST_REACTION_S, SHORTEST_OF_JBMP_S = 30.0, 150.0
"""From a tenfold step: ours at most, and what polls every 300 s make of JBMP in the mean (check B6)."""


def online_rows(outcomes: Sequence[OnlineOutcome]) -> Iterator[Row]:
    """Yield each design beside ours: means over the functions of a family under each traffic."""
    for traffic, network in dict.fromkeys((each.traffic, each.network) for each in outcomes):
        served = [each for each in outcomes if (each.traffic, each.network) == (traffic, network)]
        mine = [each for each in served if each.design == TIDEGATE]
        for design in DESIGNS:
            theirs = [each for each in served if each.design == design]
            if design == TIDEGATE or not theirs:
                continue
            for quantity, unit, value in _quantities(design, traffic):
                yield Row(
                    quantity=quantity,
                    unit=unit,
                    design=design,
                    reproduced=float(np.mean([value(each) for each in theirs])),
                    ours=float(np.mean([value(each) for each in mine])),
                    trace=traffic,
                    service=network,
                )


def _quantities(design: str, traffic: str) -> Iterator[tuple[str, str, Callable[[OnlineOutcome], float]]]:
    yield "cost, all included", "USD a million", lambda each: each.usd_per_million
    yield "windows violated", "%", lambda each: 100 * each.window_violation_ratio
    yield "p95", "s", lambda each: each.p95_s
    if design in (NAIVE, WARM):
        return
    yield "of the cost, measuring and warming", "USD a million", lambda each: each.overhead_usd_per_million
    yield "requests a call", "1", lambda each: each.mean_batch_size
    yield "changes of setting", "1", lambda each: each.changes
    if traffic == STEPS:
        yield "tenfold step followed after, mean", "s", lambda each: float(np.mean(each.followed_s))
        yield "tenfold step followed after, longest", "s", lambda each: max(each.followed_s)
        yield "p95 outside after a step, until", "s", lambda each: each.back_s


def online_requirements(outcomes: Sequence[OnlineOutcome]) -> list[Requirement]:
    """Return what is required of ours under every traffic, with every function."""
    by_design = {(_name(each), each.design): each for each in outcomes}
    ours = {_name(each): each for each in outcomes if each.design == TIDEGATE}

    def over(design: str) -> dict[str, float]:
        other = {name: by_design[name, design] for name in ours}
        return {name: each.usd_per_million / other[name].usd_per_million for name, each in ours.items()}

    steps = {name: each for name, each in ours.items() if each.followed_s}
    early = {
        f"{_name(each)}, {each.design}": SHORTEST_OF_JBMP_S - float(np.mean(each.followed_s))
        for each in outcomes
        if each.design in (RELOADING, KEPT) and each.followed_s
    }
    candidates = (
        (
            "online: windows violated, share",
            ALLOWED_VIOLATION_RATIO,
            {n: o.window_violation_ratio for n, o in ours.items()},
        ),
        ("online: cost over loading for each request", MOST_OF_NAIVE, over(NAIVE)),
        ("online: cost over warm, unbatched", MOST_OF_WARM, over(WARM)),
        ("online: cost over JBMP, model loaded", MOST_OF_RELOADING, over(RELOADING)),
        ("online: cost over JBMP, warm workers", MOST_OF_KEPT, over(KEPT)),
        (
            "online: s to follow a tenfold step, longest",
            LONGEST_REACTION_S,
            {n: max(o.followed_s) for n, o in steps.items()},
        ),
        ("online: s until p95 is back inside after it", LONGEST_REACTION_S, {n: o.back_s for n, o in steps.items()}),
        ("reproduced: s by which JBMP's mean is below 150", 0.0, early),
    )
    return [at_most(text, bound, values) for text, bound, values in candidates if values]


def _name(each: OnlineOutcome) -> str:
    return f"{each.traffic}, {each.network} {each.function}"
