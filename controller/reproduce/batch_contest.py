"""BATCH, ours and their yardsticks on the same traces, judged alike; and whether ours keeps what is required of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.baselines.attainment import AttainmentTable
from controller.baselines.batch import Batch
from controller.baselines.batch_search import DELAY_STEP_S, MAX_BATCH_SIZE, MEMORIES_MB, N_DELAYS
from controller.baselines.call_table import reloading, tabulate_calls
from controller.baselines.fixed import Fixed, Frozen, cherry_picked
from controller.baselines.judge import Trial, judge
from controller.baselines.oracles import every_hour, every_second
from controller.baselines.tidegate import Tidegate
from controller.domain.prices import load_prices
from controller.domain.slo import ALLOWED_VIOLATION_RATIO
from controller.performance_model.grid_search import Grid
from controller.reproduce.batch_facts import LIGHT, RESNET
from controller.reproduce.batch_instances import FLEETS, fleet_verdicts
from controller.reproduce.rows import Requirement, Row, at_most
from controller.reproduce.streams import Purpose, stream
from controller.reproduce.traces import DAYS, HOUR_S, TRACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controller.baselines.judge import Verdict
    from controller.baselines.protocol import Policy
    from controller.reproduce.batch_facts import Service
    from controller.reproduce.traces import Kind, Traffic

SERVICES = (RESNET, LIGHT)
OURS, FROZEN, PUBLISHED, RELEASED = "tidegate", "tidegate frozen", "BATCH", "BATCH released"
SECOND, HOUR = "oracle each second", "oracle each hour"
PICKED, LARGEST = "unbatched, best memory", "unbatched, most memory"
RELOAD = "naive reload"
DESIGNS = (HOUR, SECOND, OURS, FROZEN, PUBLISHED, RELEASED, PICKED, LARGEST, RELOAD, *FLEETS)
LONGEST_BURSTY_HOURS = 6
"""Judged hours of a trace that has no time of day; W14 changes phase a thousand times in them."""
NEAR_THE_ORACLE = 1.03
OVER_RELOAD, OVER_UNBATCHED, MOST_LOST = 0.38, 0.75, 0.10
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one design did on one trace with one service."""

    trace: str
    kind: Kind
    service: str
    design: str
    usd_per_million: float
    window_violation_ratio: float
    p50_s: float
    p95_s: float
    p99_s: float
    changes: int
    compute_s: float
    """Mean time of one decision, measured."""
    compute_s_a_day: float
    """Time that a day of deciding takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Bout:
    """One trace with one service."""

    traffic: Traffic
    service: Service
    trial: Trial
    table: AttainmentTable
    seed: int

    def verdicts(self, tell: Callable[[str], None]) -> Iterator[tuple[str, Verdict]]:
        """Yield every design with what comes of it; `tell` is called with its name before it runs."""
        trial, stretches, table = self.trial, self.traffic.stretches, self.table
        tell(HOUR)
        hourly = every_hour(trial, stretches, table)
        yield HOUR, hourly
        tell(SECOND)
        yield SECOND, every_second(trial, stretches, table, hourly=hourly)
        for design, policy in self._policies():
            tell(design)
            yield design, judge(policy, trial)
        tell(RELOAD)
        calls = reloading(trial.calls, load_prices().lambda_x86)
        yield RELOAD, judge(Fixed(cherry_picked(calls, trial.slo)), replace(trial, calls=calls))
        yield from fleet_verdicts(trial, tell)

    def outcome(self, design: str, verdict: Verdict) -> Outcome:
        """Return the figures of a verdict."""
        judged_s = self.trial.until_s - self.trial.from_s
        thought_s = sum(answer.compute_s for answer in verdict.answers)
        return Outcome(
            trace=self.traffic.name,
            kind=self.traffic.kind,
            service=self.service.name,
            design=design,
            usd_per_million=verdict.cost_per_request_usd * 1e6,
            window_violation_ratio=verdict.window_violation_ratio,
            p50_s=verdict.quantile_s(0.5),
            p95_s=verdict.quantile_s(0.95),
            p99_s=verdict.quantile_s(0.99),
            changes=len(verdict.changes) - 1,
            compute_s=verdict.compute_s,
            compute_s_a_day=thought_s * DAY_S / judged_s,
        )

    def _policies(self) -> Iterator[tuple[str, Policy]]:
        calls, slo = self.trial.calls, self.trial.slo
        yield OURS, Tidegate(self.table, stream(self.seed, Purpose.BATCH_SIMULATION))
        yield FROZEN, Frozen(Tidegate(self.table, stream(self.seed, Purpose.BATCH_SIMULATION)))
        yield PUBLISHED, Batch(calls, slo)
        yield RELEASED, Batch(calls, slo, "released")
        yield PICKED, Fixed(cherry_picked(calls, slo))
        yield LARGEST, Fixed(calls.unbatched)


def bouts(seed: int, hours: int) -> Iterator[Bout]:
    """Yield every trace with every service; the first hour of a trace is history, as BATCH needs it.

    Args:
        seed: of the traces and of our simulations.
        hours: judged of a trace with a time of day; the others are shorter.
    """
    prices = load_prices().lambda_x86
    grid = Grid(max_batch_size=MAX_BATCH_SIZE, max_queue_delay_s=N_DELAYS * DELAY_STEP_S, delay_step_s=DELAY_STEP_S)
    tables: list[AttainmentTable] = []
    for service in SERVICES:
        calls = tabulate_calls(service.times, MEMORIES_MB, max_batch_size=MAX_BATCH_SIZE, prices=prices)
        tables.append(AttainmentTable(calls, service.slo, prices, grid))
    for place, trace in enumerate(TRACES):
        judged = hours if trace in DAYS else min(hours, LONGEST_BURSTY_HOURS)
        traffic = TRACES[trace](stream(seed, Purpose.BATCH_TRAFFIC, place), judged + 1)
        for service, table in zip(SERVICES, tables, strict=True):
            until_s = traffic.until_s
            trial = Trial(traffic.arrival_s, HOUR_S, until_s, table.calls, service.slo)
            yield Bout(traffic, service, trial, table, seed)


def outcome_rows(outcomes: list[Outcome], *, stretch: str = "") -> Iterator[Row]:
    """Yield each design beside ours: cost, violating windows, p95; `stretch` says which part of the traces."""
    ours = {(each.trace, each.service): each for each in outcomes if each.design == OURS}
    for each in outcomes:
        if each.design == OURS:
            continue
        mine = ours[each.trace, each.service]
        pairs = (
            ("cost", "USD a million", each.usd_per_million, mine.usd_per_million),
            ("windows violated", "%", 100 * each.window_violation_ratio, 100 * mine.window_violation_ratio),
            ("p50", "s", each.p50_s, mine.p50_s),
            ("p95", "s", each.p95_s, mine.p95_s),
            ("p99", "s", each.p99_s, mine.p99_s),
            ("changes of setting", "1", each.changes, mine.changes),
        )
        for quantity, unit, reproduced, our in pairs:
            yield Row(
                quantity=quantity,
                unit=unit,
                design=each.design,
                # JSON has no infinity: null where so many requests were never answered.
                reproduced=reproduced if math.isfinite(reproduced) else None,
                ours=our,
                trace=each.trace + stretch,
                service=each.service,
            )


def requirements(outcomes: list[Outcome]) -> list[Requirement]:
    """Return what is required of ours, with the worst that was seen."""
    by_design = {(each.trace, each.service, each.design): each for each in outcomes}
    ours = [each for each in outcomes if each.design == OURS]

    def pairs(design: str, *kinds: Kind) -> list[tuple[Outcome, Outcome]]:
        chosen = [mine for mine in ours if not kinds or mine.kind in kinds]
        return [(mine, by_design[mine.trace, mine.service, design]) for mine in chosen]

    def excess(design: str) -> list[tuple[float, Outcome]]:
        return [(m.window_violation_ratio - o.window_violation_ratio, m) for m, o in pairs(design)]

    ratios = [(mine.window_violation_ratio, mine) for mine in ours]
    slow = [(mine.usd_per_million / oracle.usd_per_million, mine) for mine, oracle in pairs(SECOND, "slow")]
    bursty = [(_lead_of_frozen(mine, frozen), mine) for mine, frozen in pairs(FROZEN, "bursty")]
    lost = [
        (_lost(mine, oracle, unbatched), mine)
        for (mine, unbatched), (_, oracle) in zip(pairs(PICKED), pairs(SECOND), strict=True)
    ]
    return [
        _at_most("windows violated, share", ALLOWED_VIOLATION_RATIO, ratios),
        _below("windows violated, less those of BATCH", excess(PUBLISHED)),
        _below("windows violated, less those of BATCH released", excess(RELEASED)),
        _at_most("slow changes: cost over the oracle each second", NEAR_THE_ORACLE, slow),
        _below("bursts: where frozen leads in cost and in windows", bursty),
        _at_most("cost over loading for each request", OVER_RELOAD, _ratios(pairs(RELOAD))),
        _at_most("cost over unbatched, best memory", OVER_UNBATCHED, _ratios(pairs(PICKED))),
        _at_most("share lost of the oracle's saving over it", MOST_LOST, lost),
    ]


def _ratios(pairs: list[tuple[Outcome, Outcome]]) -> list[tuple[float, Outcome]]:
    return [(ours.usd_per_million / other.usd_per_million, ours) for ours, other in pairs]


def _lost(ours: Outcome, oracle: Outcome, unbatched: Outcome) -> float:
    """Return the share that ours loses of what an oracle saves over unbatched calls; none or all if it saves none."""
    saved = unbatched.usd_per_million - oracle.usd_per_million
    dearer = ours.usd_per_million - oracle.usd_per_million
    if saved <= 0:
        return 0.0 if dearer <= 0 else 1.0
    return dearer / saved


def _lead_of_frozen(ours: Outcome, frozen: Outcome) -> float:
    """Return the smaller of frozen's leads in relative cost and in windows: below 0 where ours leads in one of them."""
    cost = ours.usd_per_million / frozen.usd_per_million - 1
    return min(cost, ours.window_violation_ratio - frozen.window_violation_ratio)


def _at_most(text: str, bound: float, values: list[tuple[float, Outcome]]) -> Requirement:
    return at_most(text, bound, {f"{where.trace}, {where.service}": value for value, where in values})


def _below(text: str, values: list[tuple[float, Outcome]]) -> Requirement:
    value, where = max(values, key=lambda each: each[0])
    return Requirement(text, value, 0.0, f"{where.trace}, {where.service}", holds=value < 0)
