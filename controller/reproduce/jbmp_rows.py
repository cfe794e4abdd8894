"""JBMP's saving and regret as rows, and what is required of ours.

The paper claims to save up to 62 % against serving without batching and several processes. What it replaces matters
more than what it does, so its saving is shown against a function that loads its model for each request, as its own
does, and against one that keeps it; both unbatched, at the memory that is cheapest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.reproduce.jbmp_contest import KEPT, OURS, PUBLISHED, RELOADING, REPAIRED, TIDEGATE
from controller.reproduce.rows import Requirement, Row, at_most

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from controller.reproduce.jbmp_contest import Costs, Judged

PUBLISHED_SAVING_PERCENT = (0.0, 62.0)
"""'Up to 62 %' (abstract); no single figure is known."""
MOST_OF_NAIVE = 1 - PUBLISHED_SAVING_PERCENT[1] / 100
MOST_OF_WARM, MOST_OF_WARM_LONG, MOST_OF_RELOADING, MOST_OF_KEPT = 0.75, 1.01, 0.85, 1.0
"""What ours may cost over each of the others: a warm function where a call has a fixed cost and on long texts, JBMP."""
MOST_LOST = 0.10
"""Of the saving that the exhaustive optimum attains."""
ROUNDING = 1e-9
"""The optimum may be the unbatched function itself."""
MEDIAN_REGRET, WORST_REGRET = 0.05, 0.15
FIXED_COST = frozenset({"distilbert short", "resnet", "stepped", "cliff"})
"""Short texts, and families where a call of one pays a fixed part of at least half of what an item adds."""
LONG_TEXTS = "distilbert long"
OPTIMUM = "exhaustive optimum, warm"
DESIGNS: dict[str, Callable[[Costs], float]] = {
    RELOADING: lambda each: each.reloading,
    KEPT: lambda each: each.kept,
    OPTIMUM: lambda each: each.optimum,
    TIDEGATE: lambda each: each.ours,
}
OTHERS = (RELOADING, KEPT, OPTIMUM)
AGAINST: dict[str, Callable[[Costs], float]] = {
    "loading for each request": lambda each: each.naive,
    "a warm function, unbatched": lambda each: each.warm,
}
_naive, _warm = AGAINST.values()
STATISTICS: dict[str, Callable[[list[float]], np.floating]] = {"median": np.median, "worst": np.max}
"""Over the functions of a family."""
TUNER_NAMES = {REPAIRED: "JBMP repaired", PUBLISHED: "JBMP as published"}
HOSTS_USD_A_DAY = {"t2.nano": 0.14, "t3.medium": 24 * 0.0416}
"""Of a packager's own host: the smallest there is, which BATCH's optimiser ran on, and one whose memory holds the
matrix of JBMP's published detector at 50 requests a second (1.8 GB). Ours needs a host for its buffer as well."""
DAY_S = 86_400.0


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
        for design in OTHERS:
            for name, against in AGAINST.items():
                is_claimed = design == RELOADING and name == "loading for each request"
                yield Row(
                    quantity=f"saving over {name}",
                    unit="%",
                    design=design,
                    published=PUBLISHED_SAVING_PERCENT if is_claimed else None,
                    reproduced=100 * median_saving(functions, DESIGNS[design], against),
                    ours=100 * median_saving(functions, DESIGNS[TIDEGATE], against),
                    service=network,
                )


def rate_rows(costs: Sequence[Costs]) -> Iterator[Row]:
    """Yield what a million requests cost at each rate, median over functions, and beside it the packager's own host.

    A host costs the same whatever the rate, so its share of a request falls with it; JBMP and ours pay the same.
    """
    rates = sorted({each.rate_rps for each in costs})
    for design in OTHERS:
        for rate_rps in rates:
            functions = [each for each in costs if each.rate_rps == rate_rps]
            theirs, ours = (np.median([DESIGNS[name](each) for each in functions]) for name in (design, TIDEGATE))
            yield Row(
                quantity=f"calls at {rate_rps:g}/s",
                unit="USD a million",
                design=design,
                reproduced=1e6 * float(theirs),
                ours=1e6 * float(ours),
                service=functions[0].network,
            )
    for host, usd_a_day in HOSTS_USD_A_DAY.items():
        for rate_rps in rates:
            usd = 1e6 * usd_a_day / (rate_rps * DAY_S)
            yield Row(
                quantity=f"host at {rate_rps:g}/s",
                unit="USD a million",
                design=f"packager on {host}",
                reproduced=usd,
                ours=usd,
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
    """Return what is required of ours: of each family's median, and of its worst function."""
    families = by_network(costs)
    candidates = [
        *(each for name, over in STATISTICS.items() for each in _cost_candidates(families, name, over)),
        ("functions on which ours breaks the objective", 0.0, _broken(families)),
        *_regret_candidates(found),
    ]
    return [at_most(text, bound, values) for text, bound, values in candidates if values]


def _cost_candidates(
    families: dict[str, list[Costs]], name: str, over: Callable[[list[float]], np.floating]
) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Yield ratios of cost over the functions of a family, and what ours leaves of the optimum's saving."""
    fixed = {network: functions for network, functions in families.items() if network in FIXED_COST}
    long = {network: functions for network, functions in families.items() if network == LONG_TEXTS}
    yield f"cost over loading for each request, {name}", MOST_OF_NAIVE, _ratios(families, _naive, over)
    yield f"cost over warm, a fixed cost, {name}", MOST_OF_WARM, _ratios(fixed, _warm, over)
    yield f"cost over warm, long texts, {name}", MOST_OF_WARM_LONG, _ratios(long, _warm, over)
    yield f"cost over JBMP, model loaded, {name}", MOST_OF_RELOADING, _ratios(families, DESIGNS[RELOADING], over)
    yield f"cost over JBMP, warm workers, {name}", MOST_OF_KEPT, _ratios(families, DESIGNS[KEPT], over)
    yield f"lost of the saving over loading, {name}", MOST_LOST, _lost(families, _naive, over)
    yield f"lost of the saving over warm, {name}", MOST_LOST, _lost(families, _warm, over)


def _regret_candidates(found: dict[str, dict[str, Regret]]) -> Iterator[tuple[str, float, dict[str, float]]]:
    ours = {family: tuners[OURS] for family, tuners in found.items()}
    lead = {family: each.median - found[family][REPAIRED].median for family, each in ours.items()}
    yield "regret in 12 evaluations, median", MEDIAN_REGRET, {family: each.median for family, each in ours.items()}
    yield "regret in 12 evaluations, worst", WORST_REGRET, {family: each.worst for family, each in ours.items()}
    broken = {family: float(each.broken) for family, each in ours.items()}
    yield "settings of a family that break the objective", 0.0, broken
    yield "median regret, less that of JBMP in 90", 0.0, lead


def _ratios(
    families: dict[str, list[Costs]],
    against: Callable[[Costs], float],
    over: Callable[[list[float]], np.floating],
) -> dict[str, float]:
    return {
        network: float(over([each.ours / against(each) for each in functions]))
        for network, functions in families.items()
    }


def _lost(
    families: dict[str, list[Costs]],
    against: Callable[[Costs], float],
    over: Callable[[list[float]], np.floating],
) -> dict[str, float]:
    """Return the share of the optimum's saving that ours leaves, over the functions on which the optimum saves at all.

    Where it saves a thousandth, being a thousandth dearer is to lose all of it.
    """
    lost: dict[str, float] = {}
    for network, functions in families.items():
        shares = [
            (each.ours - each.optimum) / (against(each) - each.optimum)
            for each in functions
            if each.optimum < against(each) * (1 - ROUNDING)
        ]
        if shares:
            lost[network] = float(over(shares))
    return lost


def _broken(families: dict[str, list[Costs]]) -> dict[str, float]:
    """Return how many of our settings answer more than 5 % late: what they save is no saving."""
    return {network: float(sum(each.is_broken for each in functions)) for network, functions in families.items()}
