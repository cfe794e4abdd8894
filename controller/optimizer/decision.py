"""DECIDE: whether to leave the present setting for the best one found, and why, in one sentence with numbers.

"Keep" is a decision like any other. A change must be worth its price over the time that the conditions are expected to
last, and more than the noise of the prediction; a setting that is predicted to miss the objective has no such defence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from controller.domain.serving_config import PRICE_OF_CHANGE, PriceOfChange
from controller.optimizer.study import SAME_EXCESS, worth

if TYPE_CHECKING:
    from controller.domain.serving_config import InstanceShape, ServingConfig
    from controller.optimizer.objective import Evaluation
    from controller.optimizer.study import SearchResult

Trigger = Literal["start", "alarm", "regime", "periodic"]
Changes = dict[str, tuple[int | float | None, int | float | None]]

NOISE = 0.03
"""Predictions that differ by less say nothing."""
INSTANCE_SECONDS: dict[PriceOfChange, float] = {"hot": 0.0, "warm": 5.0, "slow": 120.0}
"""What a change costs, in seconds of one instance: a warm one moves the number of instances for some seconds, a slow
one starts a second set of them."""
RISEN = 4.0
FALLEN = 8.0
"""A search is not obeyed when the rate has risen or fallen by more than this factor before its end. What it found was
tried on a burst of three times its rate, so it stands a rise; and little is lost by being too well prepared."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a search was asked for, and what is true now that it has ended.

    Attributes:
        at_s: now.
        trigger: what started the search.
        cause: the trigger in words, with its numbers.
        searched_rps: rate at which the search was made.
        rate_rps: rate now.
        fano: variance over mean of counts a second.
        law: kind of the arrivals' law.
        dwell_s: how long conditions are expected to last.
        shape: of an instance.
    """

    at_s: float
    trigger: Trigger
    cause: str
    searched_rps: float
    rate_rps: float
    fano: float
    law: str
    dwell_s: float
    shape: InstanceShape


@dataclass(frozen=True, slots=True)
class Decision:
    """A value: what to do, why, and what is expected of it."""

    conditions: Conditions
    action: Literal["apply", "keep"]
    reason: str
    setting: ServingConfig
    changes: Changes
    prediction: Evaluation | None
    runners_up: tuple[Evaluation, ...] = ()
    is_outdated: bool = False
    """Whether the search should be made again at once."""

    def to_document(self, *, is_only_advice: bool = False) -> dict[str, object]:
        """Return the line of decisions.jsonl; advice that nobody follows keeps the present setting."""
        seen = self.conditions
        reason = self.reason.replace("apply: ", "keep: recommended, ", 1) if is_only_advice else self.reason
        return {
            "at_s": round(seen.at_s, 3),
            "kind": seen.trigger,
            "action": "keep" if is_only_advice else self.action,
            "reason": reason,
            "setting": self.setting.to_document(),
            "changes": {name: list(pair) for name, pair in self.changes.items()},
            "prediction": None if self.prediction is None else _prediction(self.prediction),
            "arrivals": {"rate_rps": round(seen.rate_rps, 2), "fano": round(seen.fano, 2), "law": seen.law},
            "runners_up": [
                {"changes": _pairs(each.config.changes_from(self.setting)), **_prediction(each)}
                for each in self.runners_up
            ],
        }


def decide(result: SearchResult, conditions: Conditions, *, present: ServingConfig) -> Decision:
    """Return the decision that a search leads to.

    Args:
        result: of the search.
        conditions: now.
        present: setting in force now; the search may have been made for another one.
    """
    allowed: set[PriceOfChange] = {"hot", "warm", "slow"} if conditions.trigger == "regime" else {"hot", "warm"}
    wanted = present.with_prices(result.best.config, allowed)
    changes = wanted.changes_from(present)
    ratio = max(conditions.rate_rps, 0.1) / max(conditions.searched_rps, 0.1)
    if not 1 / FALLEN <= ratio <= RISEN:
        moved = f"{_rate(conditions.searched_rps)} → {_rate(conditions.rate_rps)}"
        return _keep(
            result,
            conditions,
            present,
            f"traffic moved {moved} while it was searched; searching again",
            is_outdated=True,
        )
    if not changes or result.best == result.present:
        return _keep(result, conditions, present, f"no setting of {result.evaluated} is predicted to do better")
    against = _objection(result, conditions, changes)
    if against:
        return _keep(result, conditions, present, f"{written(changes)} {against}")
    reason = f"apply: {conditions.cause}; {written(changes)}{_why(changes, conditions)}: {_effect(result)}"
    return Decision(conditions, "apply", reason, wanted, changes, result.best, result.runners_up)


def decide_silence(conditions: Conditions, *, present: ServingConfig, least: int) -> Decision:
    """Return the decision of a service that nobody calls: keep no instance for it (or the user's least), wake none."""
    wanted = replace(present, min_scale=least)
    changes = wanted.changes_from(present)
    reason = f"apply: {conditions.cause}; {written(changes)}: an instance that nobody calls costs money"
    return Decision(conditions, "apply", reason, wanted, changes, None)


def as_applied(decision: Decision, applied: Changes) -> Decision:
    """Return what came of a decision: what the platform did not change, for its limits say so, waits."""
    waiting = {name: old for name, (old, _) in decision.changes.items() if name not in applied}
    if not waiting:
        return decision
    done = {name: pair for name, pair in decision.changes.items() if name in applied}
    reason = f"{decision.reason}; not now: {', '.join(waiting)}"
    if not done:
        reason = reason.replace("apply: ", "keep: ", 1)
    setting = replace(decision.setting, **waiting)
    return replace(decision, action="apply" if done else "keep", reason=reason, setting=setting, changes=done)


def _keep(
    result: SearchResult, conditions: Conditions, present: ServingConfig, why: str, *, is_outdated: bool = False
) -> Decision:
    shown = "" if result.present.is_feasible else f"; {_missed(result.present)}"
    reason = f"keep: {conditions.cause}; {why}{shown}"
    return Decision(conditions, "keep", reason, present, {}, result.present, result.runners_up, is_outdated)


def _objection(result: SearchResult, conditions: Conditions, changes: Changes) -> str:
    """Return why the best setting found is not worth its change, or nothing."""
    best, now = result.best, result.present
    if best.is_feasible > now.is_feasible or (not now.is_feasible and best.excess < now.excess - SAME_EXCESS):
        return ""
    # Where prices are 0 there is no money to gain.
    gain = 1 - worth(best) / worth(now) if worth(now) else 0.0
    if gain <= NOISE:
        return f"would gain {100 * max(0.0, gain):.1f} %, less than the {100 * NOISE:.0f} % noise of the prediction"
    # What the present setting pays in a second is what its instances cost; of those one is moved.
    price_usd = now.cost_per_s_usd * max(INSTANCE_SECONDS[PRICE_OF_CHANGE[name]] for name in changes)
    saved_usd = (worth(now) - worth(best)) * conditions.dwell_s
    if saved_usd <= price_usd:
        return (
            f"would gain USD {saved_usd:.2g} in the {conditions.dwell_s:.0f} s that this is expected to last, "
            f"less than the USD {price_usd:.2g} of the change"
        )
    return ""


def _effect(result: SearchResult) -> str:
    """Return what the change is predicted to do, the figures that move first."""
    before, after = result.present, result.best
    parts: list[str] = []
    if after.is_feasible and not before.is_feasible:
        parts.append(f"{_missed(before)}, then met")
    elif not before.is_feasible:
        shares = f"{_percent(1 - before.attainment)} → {_percent(1 - after.attainment)} of windows"
        parts.append(f"the objective is predicted to be missed either way ({shares})")
    elif not after.is_feasible:
        parts.append(f"the objective is then predicted to be missed ({_percent(1 - after.attainment)} of windows)")
    if abs(before.burst_late - after.burst_late) > 0.01:
        parts.append(f"late in a burst {_percent(before.burst_late)} → {_percent(after.burst_late)}")
    cheaper = 1 - after.cost_per_s_usd / before.cost_per_s_usd if before.cost_per_s_usd else 0.0
    burst_cheaper = 1 - after.burst_cost_usd / before.burst_cost_usd if before.burst_cost_usd else 0.0
    if abs(burst_cheaper) > 0.01:
        parts.append(f"{abs(burst_cheaper):.0%} {'fewer' if burst_cheaper > 0 else 'more'} instance seconds in a burst")
    if abs(cheaper) > 0.005:
        parts.append(f"cost {before.cost_per_million_usd:.2f} → {after.cost_per_million_usd:.2f} USD per million")
    parts.append(f"p95 {_seconds(before.p95_s)} → {_seconds(after.p95_s)}")
    return ", ".join(parts)


def _why(changes: Changes, conditions: Conditions) -> str:
    """Return the reason that the machine itself gives, where there is one."""
    before, after = changes.get("max_scale", (1, 1))
    lowered = (after or math.inf) < (before or math.inf)
    if lowered and conditions.shape.cores < conditions.shape.max_instances:
        cores = conditions.shape.cores
        return f" because all instances share {'one core' if cores == 1 else f'{cores:g} cores'}"
    return ""


def _missed(evaluation: Evaluation) -> str:
    return f"the objective is predicted to be missed ({_percent(1 - evaluation.attainment)} of windows)"


def written(changes: Changes) -> str:
    """Return changes in words."""
    return ", ".join(f"{name} {_value(name, old)} → {_value(name, new)}" for name, (old, new) in changes.items())


def _value(name: str, value: float | None) -> str:
    return "unbounded" if name == "max_scale" and value == 0 else f"{value:g}" if value is not None else "none"


def _rate(rate_rps: float) -> str:
    return f"{rate_rps:.3g}/s"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f} s" if math.isfinite(seconds) else "none"


def _pairs(changes: Changes) -> dict[str, list[int | float | None]]:
    return {name: list(pair) for name, pair in changes.items()}


def _prediction(evaluation: Evaluation) -> dict[str, float | None]:
    return {
        "p95_s": round(evaluation.p95_s, 4) if math.isfinite(evaluation.p95_s) else None,
        "attainment": round(evaluation.attainment, 4),
        "cost_per_million_usd": round(evaluation.cost_per_million_usd, 4),
        "late_in_burst": round(evaluation.burst_late, 4),
    }
