"""The status of a Sweep and of its trials, as documents (pure)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from controller.domain.cost import instances_cost_usd
from controller.errors import TemporaryError
from controller.reconcilers.conditions import present_only, seconds_text
from controller.reconcilers.load_job import LATE_GENERATOR
from controller.sweeps.from_cluster import is_ended, record_of
from controller.sweeps.records import TrialFigures, best_of
from controller.sweeps.runner import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.domain.instance_log import InstanceRow
    from controller.domain.prices import ClusterPrices
    from controller.domain.slo import LatencySlo

LONGEST_WHY = 1024
PER_MILLION = 1e6


def figures_of(load: Mapping[str, Any], pods: Sequence[InstanceRow], prices: ClusterPrices) -> TrialFigures:
    """Return what one run measured.

    Args:
        load: load.json of the run, judged by the sweep's objective.
        pods: of the service, on the wall clock.
        prices: of vCPU and GB seconds.

    Raises:
        TemporaryError: it is no such document, because the image is another version's.
    """
    try:
        classes, requests = load["classes"], int(load["requests"])
        latency, objective = load["latency_with_failures_s"]["from_intended"], load["objective"]
        began_s = float(load["started_at"])
        until_s = began_s + max(float(load["duration_s"]), float(load["elapsed_s"]))
        answered = classes["ok"]["count"] + classes["cold_start"]["count"]
        rejected = classes["rejected"]["count"]
        at_s, kept = _seconds(objective["latency_s"]), float(objective["window_violation_ratio"])
        p50_s, p95_s, p99_s = (_seconds(latency[name]) for name in ("p50", "p95", "p99"))
    except (KeyError, TypeError, ValueError) as error:
        raise TemporaryError(
            f"load generator: load.json lacks {error}; give TIDEGATE_LOADTEST_IMAGE of the operator's own version"
        ) from error
    cost_usd = instances_cost_usd(pods, prices, began_s, until_s)
    return TrialFigures(
        requests=requests,
        rejected=rejected,
        errors=requests - answered,
        cold_starts=sum(began_s <= pod.ready_s <= until_s for pod in pods),
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        slo_quantile_s=at_s,
        window_violation_ratio=kept,
        cost_per_million_usd=PER_MILLION * cost_usd / requests if requests else math.nan,
    )


def _seconds(value: float | None) -> float:
    """Null is what JSON makes of a quantile without an answer."""
    return math.inf if value is None else float(value)


def outcome_of(load: Mapping[str, Any], exit_code: int, figures: TrialFigures) -> Outcome:
    """Return what a run with figures came to."""
    if exit_code == LATE_GENERATOR or not load.get("valid"):
        return Outcome("Invalid", str(load.get("why") or "the load generator called its run invalid"), figures)
    if figures.requests and figures.errors == figures.requests:
        reasons = ", ".join(f"{count} x {reason}" for reason, count in (load.get("failures") or {}).items())
        return Outcome("Failed", f"no request got a right answer: {reasons or 'no answer at all'}", figures)
    return Outcome("Complete", figures=figures)


def figures_document(figures: TrialFigures) -> dict[str, Any] | None:
    """Return figures as the status holds them; None where nothing was measured.

    The two figures that decide are rounded against the trial, so that no rounding makes it hold the objective.
    """
    if not figures.requests:
        return None
    at_s, cost = figures.slo_quantile_s, figures.cost_per_million_usd
    kept = 1 - figures.window_violation_ratio
    return present_only(
        {
            "requests": figures.requests,
            "errors": figures.errors,
            "rejected": figures.rejected,
            "coldStarts": figures.cold_starts,
            "p50": seconds_text(figures.p50_s),
            "p95": seconds_text(figures.p95_s),
            "p99": seconds_text(figures.p99_s),
            "atObjective": f"{math.ceil(1e4 * at_s - 1e-6) / 10:.1f}ms" if math.isfinite(at_s) else None,
            "attainment": f"{math.floor(1e4 * kept + 1e-6) / 1e4:g}" if math.isfinite(kept) else None,
            "costPerMillionUsd": f"{cost:.4f}" if math.isfinite(cost) else None,
        }
    )


def ended_status(before: Mapping[str, Any], outcome: Outcome, completed_at: str) -> dict[str, Any]:
    """Return the status of a trial that came to its end."""
    return present_only(
        {
            **before,
            "phase": outcome.state,
            "why": outcome.why[:LONGEST_WHY] or None,
            "completedAt": completed_at,
            "figures": figures_document(outcome.figures),
        }
    )


def sweep_status(trials: Sequence[Mapping[str, Any]], slo: LatencySlo, *, planned: int) -> dict[str, Any]:
    """Return how far a sweep is: all of its status but phase and conditions.

    Args:
        trials: its SweepTrials.
        slo: its objective.
        planned: trials at most.
    """
    ended = [each for each in trials if is_ended(each)]
    succeeded = sum(each["status"]["phase"] == "Complete" for each in ended)
    best = best_of([record_of(each) for each in ended], slo)
    found = next((each for each in ended if best is not None and each["spec"]["number"] == best.number), None)
    return present_only(
        {
            "planned": planned,
            "trials": len(ended),
            "succeeded": succeeded,
            "failed": len(ended) - succeeded,
            "running": len(trials) - len(ended),
            "best": None if found is None else _best(found),
        }
    )


def _best(trial: Mapping[str, Any]) -> dict[str, Any]:
    figures = trial["status"]["figures"]
    return present_only(
        {
            "name": trial["metadata"]["name"],
            "parameters": {each["name"]: each["value"] for each in trial["spec"]["parameters"]},
            "p95": figures.get("p95"),
            "costPerMillionUsd": figures.get("costPerMillionUsd"),
        }
    )
