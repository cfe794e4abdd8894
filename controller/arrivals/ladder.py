"""Fits of rising complexity, each judged on arrivals that it has not seen; the simplest that is not clearly worse.

Time is in mean gaps, so that every rate is a multiple of the arrival rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy.special import stdtrit

from controller.arrivals.expectation_maximisation import maximise
from controller.arrivals.fit_diagnosis import Candidate
from controller.arrivals.map_starts import in_turn, split_mmpp, splits, stirred
from controller.domain.arrival_map import Map, mmpp
from controller.domain.arrival_statistics import scv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.arrivals.halves import Halves

SIGNIFICANCE = 0.05
"""Probability, one-sided, of calling a candidate worse that is as good."""
TASTE = 8
"""Evaluations given to each of several starts before the best goes on alone."""
QUIET = 1e-3
"""Least rate of a phase in a start, as a share of the mean rate: one of 0 would stay silent."""

EVEN = 0.8
"""Squared coefficient of variation below which phases in turn are a start."""

Kind = Literal["any", "poisson", "mmpp", "map"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Among:
    """Which processes are tried: of one kind or any, with so many phases at most."""

    kind: Kind = "any"
    most_phases: int = 4

    def has(self, kind: Kind) -> bool:
        """Say whether this kind is tried."""
        return self.kind in ("any", kind)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is fitted and judged.

    Attributes:
        fine: gaps, or counts where there are no gaps; candidates are judged by these.
        slow: counts in bins, for modulation that is slow; `fine` where it is quick.
        modulated: a Markov-modulated Poisson process by moments; None where counts are no more dispersed than Poisson.
        two_phases: a Map by moments of gaps; None without gaps.
    """

    fine: Halves
    slow: Halves
    modulated: Map | None
    two_phases: Map | None


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A candidate, fitted to one half; `scores` are its log-likelihoods of the segments of the other, (n_segments,)."""

    name: str
    process: Map
    data: Halves
    scores: NDArray[np.float64]

    def refitted(self) -> Map:
        """Return the candidate fitted to both halves, from where it is."""
        return (
            self.process
            if len(self.process.D0) == 1
            else maximise(self.data.both, self.process, expectation_steps=1)[0]
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The chosen candidate, all of them, and the reason."""

    chosen: Tried
    candidates: tuple[Candidate, ...]
    why: str


def climb(evidence: Evidence, among: Among) -> Verdict:
    """Return the simplest candidate that is not significantly worse than the best.

    Candidates with one phase more are tried while the last ones were significantly better than all simpler ones.
    """
    tried = [_try("poisson", Map(-np.ones((1, 1)), np.ones((1, 1))), evidence, evidence.fine)]
    named = list(tried) if among.has("poisson") else []
    modulated, general = evidence.modulated, evidence.two_phases
    for m in range(2, 1 + (1 if among.kind == "poisson" else among.most_phases)):
        level: list[Tried] = []
        if among.has("mmpp") and modulated is not None:
            start = _audible(modulated) if m == 2 else split_mmpp(modulated)
            modulated = maximise(evidence.slow.fitted, start)[0]
            level.append(_try(f"mmpp({m})", modulated, evidence, evidence.slow))
        if among.has("map"):
            general = _likeliest(evidence, _starts(m, modulated, general))
            level.append(_try(f"map({m})", general, evidence, evidence.fine))
        if not level:
            break
        is_better = not named or _behind(_best(named), level) > _bound(tried[0])
        named += level
        if not is_better:
            break
    return _judge(named or tried, evidence)


def _starts(m: int, modulated: Map | None, general: Map | None) -> list[Map]:
    if m == 2:
        starts = [] if general is None else [general]
        if modulated is not None:
            starts.append(stirred(modulated.D0, modulated.D1))
        return starts or [in_turn(2, 1.0)]
    # Splitting never finds the evenest process, which goes round its phases.
    if general is not None and scv(general) > EVEN:
        return splits(general)
    return [*([] if general is None else splits(general)), in_turn(m, 1.0)]


def _likeliest(evidence: Evidence, starts: list[Map]) -> Map:
    likelihood = evidence.fine.fitted
    tastes = [maximise(likelihood, start, most_evaluations=TASTE) for start in starts]
    return maximise(likelihood, max(tastes, key=lambda taste: taste[1])[0], expectation_steps=0)[0]


def _audible(process: Map) -> Map:
    return mmpp(np.maximum(np.diag(process.D1), QUIET), process.D0 * (1 - np.eye(2)))


def _try(name: str, process: Map, evidence: Evidence, data: Halves) -> Tried:
    judging = evidence.fine.judging
    scores = judging(process.D0, process.D1, judging.start_law(process)).log_likelihoods
    return Tried(name, process, data, scores)


def _best(tried: list[Tried]) -> Tried:
    return max(tried, key=lambda each: float(each.scores.sum()))


def _behind(tried: Tried, others: list[Tried]) -> float:
    """Return by how many standard errors a candidate is behind the best of others; negative if it is ahead."""
    differences = _best(others).scores - tried.scores
    error = float(differences.std(ddof=1)) / math.sqrt(differences.size)
    mean = float(differences.mean())
    return mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0


def _bound(tried: Tried) -> float:
    return float(stdtrit(tried.scores.size - 1, 1 - SIGNIFICANCE))


def _judge(tried: list[Tried], evidence: Evidence) -> Verdict:
    best, n = _best(tried), evidence.fine.judging.n
    behind = [_behind(each, tried) for each in tried]
    chosen = next(each for each, by in zip(tried, behind, strict=True) if by <= _bound(best))
    candidates = tuple(
        Candidate(each.name, float(each.scores.sum()) / n, by if each is not best and math.isfinite(by) else None)
        for each, by in zip(tried, behind, strict=True)
    )
    simpler = [(each, by) for each, by in zip(tried, behind, strict=True) if each is not chosen and by > _bound(best)]
    why = f"{chosen.name}: "
    if len(tried) == 1:
        return Verdict(chosen, candidates, f"{why}the only one that was asked for")
    why += "likeliest" if chosen is best else f"simplest not significantly less likely than {best.name}"
    why += f" on {n} held-out arrivals"
    if simpler:
        why += "; " + ", ".join(f"{each.name} is {by:.3g} standard errors behind" for each, by in simpler)
    return Verdict(chosen, candidates, why)
