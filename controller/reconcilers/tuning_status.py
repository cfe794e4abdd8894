"""The status of an InferenceTuning from what is known (pure): conditions, target, arrivals, latency, decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controller.monitor.answered import quantile_s, share_within
from controller.reconcilers.conditions import Aspect, present_only, seconds_text, timestamp
from controller.sweeps.parameters import KNOBS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.domain.serving_config import ServingConfig
    from controller.monitor.prometheus import PrometheusArrivals
    from controller.platforms.protocol import PlatformState
    from controller.platforms.watched import PodSeen
    from controller.service_view import ServiceView
    from controller.settings import LoopSettings

HEARD_WITHIN_S = 15.0
KNOB_NAMES = {knob.setting: name for name, knob in KNOBS.items()}
"""How documents spell each of our settings."""
LEAST_ANSWERED = 20
"""Fewer answers say nothing of a quantile."""
LONGEST_HELD = 512


@dataclass(frozen=True, slots=True)
class Known:
    """All that a status is made from.

    Attributes:
        state: of the platform.
        view: of the loop.
        settings: of the loop.
        counted: requests of the last minutes by latency.
        scraped: Prometheus, where it is the source; None where servers are.
        heard_at_s: when a server was heard last; None when none was.
        decision: last line of the journal.
        decided_at_s: wall clock of it.
        held: knobs that belong to others, with the reason.
        resize_refused: why pods cannot be resized; empty where they can, or need not.
        has_warm: whether warm settings can be applied.
        budget_usd: per million requests, where there is one.
        changes: applied so far.
    """

    state: PlatformState
    view: ServiceView
    settings: LoopSettings
    counted: Mapping[float, int]
    scraped: PrometheusArrivals | None
    heard_at_s: float | None
    decision: Mapping[str, Any] | None
    decided_at_s: float
    held: Mapping[str, str]
    resize_refused: str
    has_warm: bool | None
    budget_usd: float | None
    changes: int


def aspects(known: Known) -> list[Aspect]:
    """Return the conditions of a tuning that is at work."""
    return [
        Aspect("Ready", "True", "Watching", f"watching {known.state.revision}"),
        _metrics(known),
        _slo(known),
        *_budget(known),
        _warm(known),
        Aspect("Conflict", "False", "OnlyTuning", "no other InferenceTuning has this target"),
    ]


def _metrics(known: Known) -> Aspect:
    if known.scraped is not None:
        dialect = known.scraped.dialect
        if dialect is None:
            words = "Prometheus has no counter of this service; see docs/prometheus.md for what must be scraped"
            return Aspect("MetricsAvailable", "False", "NotScraped", words)
        words = f"Prometheus counts requests ({dialect}), every {known.scraped.resolution_s:.3g} s"
        return Aspect("MetricsAvailable", "True", "PrometheusCounts", words)
    heard = known.heard_at_s
    if heard is not None and known.state.at_s - heard < HEARD_WITHIN_S:
        return Aspect("MetricsAvailable", "True", "HeartbeatsArrive", "servers report every second")
    if not known.state.ready:
        return Aspect("MetricsAvailable", "True", "NoPods", "the service is at zero; nothing is to be counted")
    return Aspect(
        "MetricsAvailable",
        "False",
        "NoHeartbeats",
        f"{known.state.ready} pods are ready and none reports; give them TIDEGATE_CONTROLLER_URL, token and CA file",
    )


def _slo(known: Known) -> Aspect:
    slo = known.settings.slo
    inside = share_within(known.counted, slo.bound_s)
    answered = sum(known.counted.values())
    if inside is None or answered < LEAST_ANSWERED:
        return Aspect("SLOMet", "Unknown", "TooFewRequests", "too few requests in the last two minutes")
    words = f"{inside:.1%} of {answered} requests inside {seconds_text(slo.bound_s)} in the last two minutes"
    if inside >= slo.quantile:
        return Aspect("SLOMet", "True", "Measured", words)
    return Aspect("SLOMet", "False", "Measured", f"{words}, {slo.quantile:.1%} are wanted")


def _budget(known: Known) -> list[Aspect]:
    if known.budget_usd is None:
        return []
    cost = (known.decision or {}).get("prediction") or {}
    predicted = cost.get("cost_per_million_usd")
    if predicted is None:
        return [Aspect("BudgetMet", "Unknown", "NotPredicted", "no prediction yet")]
    words = f"USD {predicted:.2f} a million requests predicted, {known.budget_usd:.2f} allowed"
    return [Aspect("BudgetMet", "True" if predicted <= known.budget_usd else "False", "Predicted", words)]


def _warm(known: Known) -> Aspect:
    if known.resize_refused:
        return Aspect("WarmSettings", "False", "ResizeRefused", f"pods keep their size: {known.resize_refused}")
    if known.has_warm is None:
        return Aspect("WarmSettings", "Unknown", "NotTried", "no scale setting was changed yet")
    if known.has_warm:
        return Aspect("WarmSettings", "True", "Followed", "the autoscaler follows a Revision's annotations")
    return Aspect("WarmSettings", "False", "KnativeTooOld", "needs Knative 1.21; scale settings are left alone")


def status_of(known: Known, cold_start: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the status but its conditions and generation."""
    state, view = known.state, known.view
    traffic = view.traffic
    return present_only(
        {
            "target": present_only(
                {
                    "revision": state.revision,
                    "readyPods": state.ready,
                    "startingPods": state.starting,
                    "settings": settings_text(state.config),
                    "heldByOthers": _held_text(known.held),
                }
            ),
            "arrivals": {
                "rate": f"{traffic.rate_rps:.0f}/s" if traffic.rate_rps >= 1000 else f"{traffic.rate_rps:.3g}/s",
                "fano": f"{traffic.fano:.2g}",
                "law": "none" if traffic.law is None else type(traffic.law).__name__.removesuffix("Process").lower(),
            },
            "latency": _latency(known),
            "coldStart": cold_start,
            "decision": _decision(known),
            "changes": known.changes,
        }
    )


def _held_text(held: Mapping[str, str]) -> list[str] | None:
    return [f"{KNOB_NAMES.get(knob, knob)}: {why}"[:LONGEST_HELD] for knob, why in sorted(held.items())] or None


def settings_text(config: ServingConfig) -> dict[str, str]:
    """Return a setting as a document writes it: `maxBatchSize: "8"`, `maxQueueDelay: "0s"`."""
    values = config.to_document()
    return {name: knob_text(name, values[knob.setting]) for name, knob in KNOBS.items()}


def knob_text(name: str, value: float | None) -> str:
    """Return the value of a setting, named as in a document, as text."""
    if value is None:
        return "none"
    knob = KNOBS[name]
    at_zero = "unbounded" if knob.zero_is_unbounded else knob.zero_text
    return at_zero if at_zero and value == 0 else knob.text(value)


def _latency(known: Known) -> dict[str, Any] | None:
    counted = known.counted
    answered = sum(counted.values())
    if not answered:
        return None
    quantiles = {"p50": 0.5, "p95": 0.95, "atObjective": known.settings.slo.quantile}
    found = {name: seconds_text(quantile_s(counted, quantile)) or "none" for name, quantile in quantiles.items()}
    return {**found, "answered": answered}


def _decision(known: Known) -> dict[str, Any] | None:
    line = known.decision
    if line is None:
        return None
    prediction = line.get("prediction") or {}
    reason, action = str(line["reason"]), str(line["action"])
    # Advice that nobody follows is written as keeping.
    changes = line["changes"] if action == "apply" or "recommended" in reason else {}
    if changes and action == "keep":
        action = "recommend"
    cost = prediction.get("cost_per_million_usd")
    attainment = prediction.get("attainment")
    return present_only(
        {
            "time": timestamp(known.decided_at_s),
            "action": action,
            "reason": reason[:1024],
            "changes": changes_text(changes) or None,
            "p95": seconds_text(prediction.get("p95_s")),
            "attainment": None if attainment is None else f"{attainment:.1%}",
            "costPerMillionUsd": None if cost is None else f"{cost:.2f}",
        }
    )


def changes_text(changes: Mapping[str, Any]) -> dict[str, str]:
    """Return changes, named as in our own settings, as `maxBatchSize: 8 → 16`."""
    return {
        (name := KNOB_NAMES[setting]): f"{knob_text(name, old)} → {knob_text(name, new)}"
        for setting, (old, new) in changes.items()
        if setting in KNOB_NAMES
    }


def cold_start_of(pods: Sequence[PodSeen], loaded: Mapping[str, Mapping[str, float]]) -> dict[str, Any] | None:
    """Return the stages of the newest pod that became ready.

    Args:
        pods: of the service.
        loaded: stages that the server itself told, by pod; seconds from its own exec.
    """
    started = [pod for pod in pods if pod.ready_s is not None]
    if not started:
        return None
    pod = max(started, key=lambda each: each.created_s)
    stages = {name: seconds_text(seconds) for name, seconds in sorted(pod.stages_s.items(), key=lambda each: each[1])}
    stages |= {f"server-{name}": seconds_text(seconds) for name, seconds in loaded.get(pod.name, {}).items()}
    return {"pod": pod.name, "stages": present_only(stages)}


def is_worth_a_write(before: Mapping[str, Any], after: Mapping[str, Any], *, waited_s: float) -> bool:
    """Return whether to write a status: at once what people wait for, figures that move each second now and then."""
    if before == after:
        return False
    urgent = ("conditions", "decision", "changes", "observedGeneration")
    if any(_timeless(before.get(name)) != _timeless(after.get(name)) for name in urgent):
        return True
    return waited_s >= 5.0


def _timeless(value: Any) -> Any:
    """Return conditions without the figures in their messages."""
    if isinstance(value, list):
        return [(each.get("type"), each.get("status"), each.get("reason")) for each in value]
    return value
