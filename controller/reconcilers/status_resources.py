"""What the operator answers in the status of its resources, as types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from controller.reconcilers.schema import about


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One aspect of the state, in the form that all Kubernetes conditions have."""

    type: Annotated[str, about("Name of the aspect.", maxLength=63)]
    status: Annotated[Literal["True", "False", "Unknown"], about("Whether it holds.")]
    reason: Annotated[str, about("Why, as one word.", maxLength=63)]
    message: Annotated[str, about("Why, in words.", maxLength=1024)] = ""
    last_transition_time: Annotated[str, about("When the status changed last.", format="date-time")]
    observed_generation: Annotated[int | None, about("Generation of the spec that it was found for.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """The service as it was seen last."""

    revision: Annotated[str | None, about("Revision that takes the traffic.")] = None
    ready_pods: Annotated[int | None, about("Pods that answer.")] = None
    starting_pods: Annotated[int | None, about("Pods that start.")] = None
    settings: Annotated[
        dict[str, str] | None, about("Settings in force, by name, with their prices hot, warm and slow in the docs.")
    ] = None
    held_by_others: Annotated[
        tuple[str, ...] | None, about("Settings that somebody else changed; they are left alone.", maxItems=32)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalsStatus:
    """The traffic as it is known."""

    rate: Annotated[str | None, about("Requests a second.", maxLength=24)] = None
    fano: Annotated[str | None, about("Variance over mean of counts a second; 1 is Poisson.", maxLength=24)] = None
    law: Annotated[str | None, about("Process that the data do not reject.", maxLength=24)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyStatus:
    """What the servers measured in the last minutes."""

    p50: Annotated[str | None, about("Median.", maxLength=24)] = None
    p95: Annotated[str | None, about("95th percentile.", maxLength=24)] = None
    at_objective: Annotated[str | None, about("Latency at the objective's quantile.", maxLength=24)] = None
    answered: Annotated[int | None, about("Calls that this rests on.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStartStatus:
    """How long the last pod took from its creation to its first answer, by stage."""

    pod: Annotated[str | None, about("Name of the pod.", maxLength=253)] = None
    stages: Annotated[dict[str, str] | None, about("Duration by stage: scheduled, started, loaded, ready, …")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionStatus:
    """The last decision."""

    time: Annotated[str | None, about("When it was taken.", format="date-time")] = None
    action: Annotated[str | None, about("apply, recommend or keep.", maxLength=24)] = None
    reason: Annotated[str | None, about("Why, in one sentence with its numbers.", maxLength=1024)] = None
    changes: Annotated[dict[str, str] | None, about("What it changes, as old → new, by setting.")] = None
    p95: Annotated[str | None, about("Predicted 95th percentile of latency.", maxLength=24)] = None
    attainment: Annotated[str | None, about("Predicted share of windows that hold the objective.", maxLength=24)] = None
    cost_per_million_usd: Annotated[str | None, about("Predicted cost of a million requests.", maxLength=24)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceTuningStatus:
    """What the operator knows and has decided."""

    observed_generation: Annotated[int | None, about("Generation of the spec that this answers.")] = None
    conditions: Annotated[
        tuple[Condition, ...],
        about(
            "Ready, MetricsAvailable, SLOMet, BudgetMet, WarmSettings, Conflict.",
            x_kubernetes_list_type="map",
            x_kubernetes_list_map_keys=["type"],
            maxItems=16,
        ),
    ] = ()
    target: Annotated[TargetStatus | None, about("The service.")] = None
    arrivals: Annotated[ArrivalsStatus | None, about("The traffic.")] = None
    latency: Annotated[LatencyStatus | None, about("What requests met.")] = None
    cold_start: Annotated[ColdStartStatus | None, about("The last start from nothing.")] = None
    decision: Annotated[DecisionStatus | None, about("The last decision.")] = None
    changes: Annotated[int | None, about("Changes applied so far.")] = None
