"""Run a policy of rented instances over a trace, by the same rule of windows as every other design.

All is paid: boots, idle time, instances on their way out, and the functions that take what overflows. The first answer
stands ready when judging begins, as if it had been given in the history.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.fixed import cherry_picked
from controller.baselines.judge import FORGIVEN_S, Answer, Verdict, times_of
from controller.baselines.protocol import FleetPast
from controller.domain.slo import window_violation_ratio
from controller.performance_model.instance_fleet import InstanceFleet
from controller.performance_model.instance_group import Overflow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from controller.baselines.judge import Trial
    from controller.baselines.protocol import Counts, FleetPolicy
    from controller.performance_model.instance_group import InstanceType


def judge_fleet(
    policy: FleetPolicy,
    trial: Trial,
    types: Sequence[InstanceType],
    *,
    overflow: Overflow | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Verdict:
    """Ask a policy from `from_s` on, serve with the instances it wants, and look at every request.

    Args:
        policy: says how many instances of each type there should be.
        trial: arrivals and the objective; its calls are the functions' and do not matter here.
        types: of instances.
        overflow: None where every request waits for an instance.
        clock: that decisions are timed by.

    Raises:
        BadInputError: a policy without a positive period, or with counts below 0.
    """
    times = times_of(policy.period_s, trial)
    ends = np.searchsorted(trial.arrival_s, times, side="left").tolist()
    answers: list[Answer[Counts]] = []

    def ask(present: Counts, fleet: InstanceFleet | None) -> Counts:
        at_s = times[len(answers)]
        answered_s = None if fleet is None else fleet.answered_s()
        began_s = clock()
        decided = policy.decide(FleetPast(at_s, trial.arrival_s[: ends[len(answers)]], present, answered_s))
        wanted = present if decided is None else decided
        answers.append(Answer(at_s, wanted, clock() - began_s, decided is not None))
        return wanted

    judged = trial.judged
    fleet = InstanceFleet(types, ask((0,) * len(types), None), judged, now_s=trial.from_s, overflow=overflow)
    for at_s in times[1:]:
        fleet.advance(at_s)
        fleet.resize(ask(fleet.counts, fleet))
    fleet.advance(trial.until_s)
    run = fleet.close()
    return Verdict(
        latency_s=run.latency_s,
        cost_per_request_usd=(run.instances_usd + run.overflow_usd) / judged.size,
        mean_batch_size=judged.size / max(run.batches, 1),
        window_violation_ratio=window_violation_ratio(
            ~(run.latency_s <= trial.slo.bound_s + FORGIVEN_S), trial.slo.quantile
        ),
        answers=tuple(answers),
    )


def overflow_of(trial: Trial) -> Overflow:
    """Return functions without batching at the memory that is cheapest inside the bound."""
    calls, setting = trial.calls, cherry_picked(trial.calls, trial.slo)
    row = calls.row(setting)
    return Overflow(trial.slo.bound_s, float(calls.seconds[row, 0]), float(calls.usd[row, 0]))
