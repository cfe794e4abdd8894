"""JBMP's saving and regret as rows, and what is required of ours.

The paper claims to save up to 62 % against serving without batching and several processes. What it replaces matters
more than what it does, so its saving is shown against a function that loads its model for each request, as its own
does, and against one that keeps it; both unbatched, at the memory that is cheapest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.reproduce.jbmp_contest import OURS, PUBLISHED, REPAIRED
from controller.reproduce.rows import Requirement, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from controller.reproduce.jbmp_contest import Costs, Judged

PUBLISHED_SAVING_PERCENT = (0.0, 62.0)
"""'Up to 62 %' (abstract); no single figure is known."""
FIXED_COST = frozenset({"distilbert short", "resnet", "stepped", "cliff"})
"""Short texts, and families where a call of one pays a fixed part of at least half of what an item adds."""
LONG_TEXTS = "distilbert long"
RELOADING, KEPT, OPTIMUM = (
    "JBMP repaired, model loaded for each call",
    "JBMP repaired, warm workers",
    "exhaustive optimum, warm",
)
DESIGNS: dict[str, Callable[[Costs], float]] = {
    RELOADING: lambda each: each.reloading,
    KEPT: lambda each: each.kept,
    OPTIMUM: lambda each: each.optimum,
}
AGAINST: dict[str, Callable[[Costs], float]] = {
    "loading for each request": lambda each: each.naive,
    "a warm function, unbatched": lambda each: each.warm,
}
TUNER_NAMES = {REPAIRED: "JBMP repaired", PUBLISHED: "JBMP as published"}
MEDIAN_REGRET, WORST_REGRET = 0.05, 0.15


def by_network(costs: Sequence[Costs]) -> dict[str, list[Costs]]:
    """Return the functions of each family, in the order they come in."""
    found: dict[str, list[Costs]] = {}
    for each in costs:
        found.setdefault(each.network, []).append(each)
    return found


def median_saving(costs: Sequence[Costs], design: Callable[[Costs], float], against: Callable[[Costs], float]) -> float:
    """Return the median share saved by a design over functions."""
    return float(np.median([1 - design(each) / against(each) for each in costs]))


def saving_rows(costs: Sequence[Costs]) -> Iterator[Row]:
    """Yield medians over the functions of each family: JBMP's saving, the optimum's, and ours against the same."""
    for network, functions in by_network(costs).items():
        for design, cost in DESIGNS.items():
            for name, against in AGAINST.items():
                is_claimed = design == RELOADING and name == "loading for each request"
                yield Row(
                    quantity=f"saving over {name}",
                    unit="%",
                    design=design,
                    published=PUBLISHED_SAVING_PERCENT if is_claimed else None,
                    reproduced=100 * median_saving(functions, cost, against),
                    ours=100 * median_saving(functions, _ours, against),
                    service=network,
                )


@dataclass(frozen=True, slots=True)
class Regret:
    """How one tuner did on a family: regrets, and how many settings broke the objective."""

    median: float
    worst: float
    broken: int
    cases: int


def regrets(judged: Sequence[Judged]) -> dict[str, dict[str, Regret]]:
    """Return the regret of each tuner by family."""
    found: dict[str, dict[str, list[Judged]]] = {}
    for each in judged:
        found.setdefault(each.family, {}).setdefault(each.tuner, []).append(each)
    return {family: {tuner: _regret(cases) for tuner, cases in tuners.items()} for family, tuners in found.items()}


def _regret(cases: Sequence[Judged]) -> Regret:
    values: NDArray[np.float64] = np.array([each.regret for each in cases])
    broken = sum(each.is_broken for each in cases)
    return Regret(float(np.median(values)), float(values.max()), broken, len(cases))


def regret_rows(found: dict[str, dict[str, Regret]]) -> Iterator[Row]:
    """Yield regret over the true optimum by family, JBMP's beside ours."""
    for family, tuners in found.items():
        ours = tuners[OURS]
        for tuner, design in TUNER_NAMES.items():
            theirs = tuners[tuner]
            for quantity, unit, reproduced, our in (
                ("regret, median", "%", 100 * theirs.median, 100 * ours.median),
                ("regret, worst", "%", 100 * theirs.worst, 100 * ours.worst),
                ("settings that break the objective", "1", theirs.broken, ours.broken),
            ):
                yield Row(quantity=quantity, unit=unit, design=design, reproduced=reproduced, ours=our, service=family)


def requirements(costs: Sequence[Costs], found: dict[str, dict[str, Regret]]) -> list[Requirement]:
    """Return what is required of ours: ratios are medians over the functions of a family, but for long texts."""
    families = by_network(costs)
    fixed = {network: functions for network, functions in families.items() if network in FIXED_COST}
    long = {network: functions for network, functions in families.items() if network == LONG_TEXTS}
    medians = {family: tuners[OURS].median for family, tuners in found.items()}
    lead = {family: tuners[OURS].median - tuners[REPAIRED].median for family, tuners in found.items()}
    candidates = (
        ("cost over loading for each request", 0.38, _ratios(families, lambda each: each.naive)),
        ("cost over warm, unbatched: a fixed cost", 0.75, _ratios(fixed, lambda each: each.warm)),
        ("cost over warm, unbatched: long texts, worst", 1.01, _ratios(long, lambda each: each.warm, np.max)),
        ("cost over JBMP, model loaded for each call", 0.85, _ratios(families, lambda each: each.reloading)),
        ("cost over JBMP, warm workers", 1.0, _ratios(families, lambda each: each.kept)),
        ("share lost of the optimum's saving over loading", 0.10, _lost(families, lambda each: each.naive)),
        ("share lost of the optimum's saving over warm", 0.10, _lost(families, lambda each: each.warm)),
        ("functions on which ours breaks the objective", 0.0, _broken(families)),
        ("regret in 12 evaluations, median", MEDIAN_REGRET, medians),
        ("regret in 12 evaluations, worst", WORST_REGRET, {name: each[OURS].worst for name, each in found.items()}),
        (
            "settings of a family that break the objective",
            0.0,
            {name: float(each[OURS].broken) for name, each in found.items()},
        ),
        ("median regret, less that of JBMP in 90", 0.0, lead),
    )
    return [_at_most(text, bound, values) for text, bound, values in candidates if values]


def _ours(each: Costs) -> float:
    return each.ours


def _ratios(
    families: dict[str, list[Costs]],
    against: Callable[[Costs], float],
    over: Callable[[list[float]], np.floating] = np.median,
) -> dict[str, float]:
    return {
        network: float(over([each.ours / against(each) for each in functions]))
        for network, functions in families.items()
    }


def _lost(families: dict[str, list[Costs]], against: Callable[[Costs], float]) -> dict[str, float]:
    """Return the share of the optimum's median saving that ours leaves; nothing where the optimum saves nothing."""
    lost: dict[str, float] = {}
    for network, functions in families.items():
        attainable = median_saving(functions, lambda each: each.optimum, against)
        if attainable > 0:
            lost[network] = 1 - median_saving(functions, _ours, against) / attainable
    return lost


def _broken(families: dict[str, list[Costs]]) -> dict[str, float]:
    """Return how many of our settings answer more than 5 % late: what they save is no saving."""
    return {network: float(sum(each.is_broken for each in functions)) for network, functions in families.items()}


def _at_most(text: str, bound: float, values: dict[str, float]) -> Requirement:
    missed = sorted((name for name, value in values.items() if value > bound), key=lambda name: -values[name])
    worst = max(values, key=lambda name: values[name])
    where = "; ".join(missed) if missed else worst
    return Requirement(text, values[worst], bound, where, holds=not missed)
