"""The resources of the API group tidegate.dev, as types: what a user writes and what the operator answers in status.

`crds.py` turns them into definitions, `read` in `schema.py` turns documents into them. Durations, decimals are texts.
Schema changes are only additive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from controller.reconcilers.schema import Rule, about

GROUP, VERSION = "tidegate.dev", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/restore"
RELEASE = f"{GROUP}/release"
"""Annotation of a suspended tuning whose service is to get its own settings back: the operator is being removed."""

DURATION = r"^([0-9]{1,9}(\.[0-9]{1,9})?(ms|us|s|m|h))+$"
DECIMAL = r"^[0-9]{1,12}(\.[0-9]{1,9})?$"
CPU = r"^[0-9]{1,4}(m|\.[0-9]{1,3})?$"
NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"

Duration = Annotated[str, about("A duration with its unit.", pattern=DURATION, maxLength=32)]
Decimal = Annotated[str, about("A decimal as text.", pattern=DECIMAL, maxLength=24)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRef:
    """The service that answers requests, in the same namespace."""

    RULES: ClassVar = (
        Rule(
            "self.kind == 'Service' ? self.apiVersion == 'serving.knative.dev/v1' "
            ": self.apiVersion == 'serving.kserve.io/v1beta1'",
            "kind Service belongs to apiVersion serving.knative.dev/v1, InferenceService to serving.kserve.io/v1beta1",
        ),
    )
    api_version: Annotated[str, about("serving.knative.dev/v1 or serving.kserve.io/v1beta1.", maxLength=64)]
    kind: Annotated[Literal["Service", "InferenceService"], about("A Knative Service or a KServe InferenceService.")]
    name: Annotated[str, about("Its name.", pattern=NAME, maxLength=63)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """The latency objective: this share of requests is answered within the latency."""

    quantile: Annotated[
        str,
        about(
            "Share of requests between 0 and 1, such as 0.95.",
            Rule("double(self) > 0.0", "quantile must be above 0 and below 1"),
            pattern=r"^0\.[0-9]{1,6}$",
            maxLength=8,
        ),
    ]
    latency: Annotated[
        str,
        about(
            "Longest time from the arrival of a request to its answer, such as 500ms.",
            Rule(
                "duration(self) > duration('0s') && duration(self) <= duration('1h')",
                "latency must be above 0s and at most 1h",
            ),
            pattern=DURATION,
            maxLength=32,
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a million requests may cost."""

    usd_per_million: Annotated[str, about("US dollars as decimal text.", pattern=DECIMAL, maxLength=24)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What the service is to hold at the lowest cost."""

    slo: Slo
    budget: Annotated[Budget | None, about("If the cost is predicted above it, the condition BudgetMet says so.")] = (
        None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeBounds:
    """Lowest and highest value of a setting."""

    RULES: ClassVar = (
        Rule("!has(self.min) || !has(self.max) || self.min <= self.max", "min must not be above max"),
        Rule("has(self.min) || has(self.max)", "needs min, max or both"),
    )
    min: Annotated[int | None, about("Lowest value.", minimum=0, maximum=1_048_576)] = None
    max: Annotated[int | None, about("Highest value.", minimum=0, maximum=1_048_576)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationBounds:
    """Shortest and longest value of a setting."""

    RULES: ClassVar = (
        Rule(
            "!has(self.min) || !has(self.max) || duration(self.min) <= duration(self.max)", "min must not be above max"
        ),
        Rule("has(self.min) || has(self.max)", "needs min, max or both"),
    )
    min: Annotated[Duration | None, about("Shortest value.", pattern=DURATION, maxLength=32)] = None
    max: Annotated[Duration | None, about("Longest value.", pattern=DURATION, maxLength=32)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecimalBounds:
    """Lowest and highest value of a setting, as decimal texts."""

    RULES: ClassVar = (
        Rule("!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)", "min must not be above max"),
        Rule("has(self.min) || has(self.max)", "needs min, max or both"),
    )
    min: Annotated[Decimal | None, about("Lowest value.", pattern=DECIMAL, maxLength=24)] = None
    max: Annotated[Decimal | None, about("Highest value.", pattern=DECIMAL, maxLength=24)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuBounds:
    """Fewest and most cores of a pod, as 500m or 2."""

    RULES: ClassVar = (
        Rule(
            "quantity(self.min).compareTo(quantity(self.max)) <= 0 && quantity(self.min).isGreaterThan(quantity('0'))",
            "min must be above 0 and not above max",
        ),
    )
    min: Annotated[str, about("Fewest cores.", pattern=CPU, maxLength=16)]
    max: Annotated[str, about("Most cores.", pattern=CPU, maxLength=16)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Lowest and highest value by setting; a setting that is absent is bounded by what the platform can hold."""

    RULES: ClassVar = (
        Rule(
            "!has(self.minScale) || !has(self.minScale.min) || !has(self.maxScale) || !has(self.maxScale.max) || "
            "self.maxScale.max == 0 || self.minScale.min <= self.maxScale.max",
            "minScale.min must not be above maxScale.max",
        ),
    )
    max_batch_size: Annotated[WholeBounds | None, about("Most requests in one batch (hot).")] = None
    batch_tokens: Annotated[WholeBounds | None, about("Most padded tokens in one batch (hot).")] = None
    max_queue_delay: Annotated[DurationBounds | None, about("Longest wait for a fuller batch (hot).")] = None
    workers: Annotated[WholeBounds | None, about("Worker processes that take batches in a pod (hot).")] = None
    min_scale: Annotated[WholeBounds | None, about("Fewest pods (warm).")] = None
    max_scale: Annotated[WholeBounds | None, about("Most pods (warm); 0 is no bound.")] = None
    container_concurrency: Annotated[
        WholeBounds | None,
        about("Requests given to a pod in parallel (slow); only ever raised, by a rollout that is undone if it harms."),
    ] = None
    cpu: Annotated[
        CpuBounds | None, about("Cores of a pod, resized in place (warm); absent: pods keep what they were given.")
    ] = None
    target: Annotated[DecimalBounds | None, about("Requests in parallel that a pod is scaled for (warm).")] = None
    window: Annotated[
        DurationBounds | None, about("Stable window of the autoscaler (warm); kept inside, and not searched.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often settings may change."""

    slow_per_hour: Annotated[int, about("Changes that need a new revision, an hour.", minimum=0, maximum=60)] = 2
    warm_per_minute: Annotated[int, about("Changes of scale and size, a minute.", minimum=0, maximum=60)] = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMapKey:
    """A key of a ConfigMap in the same namespace."""

    name: Annotated[str, about("Name of the ConfigMap.", pattern=NAME, maxLength=253)]
    key: Annotated[str, about("Key in it.", maxLength=253)] = "prices.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """What a vCPU second and a GB second cost."""

    config_map_ref: Annotated[ConfigMapKey | None, about("A price list of one's own; absent: the one that ships.")] = (
        None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How a change that needs a new revision is brought in."""

    manage_traffic: Annotated[bool, about("Whether spec.traffic of the service belongs to tidegate.")] = False


Mode = Literal["Observe", "Recommend", "Apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceTuningSpec:
    """What is to be tuned, to which end, and how far tidegate may go."""

    RULES: ClassVar = (
        Rule("self.targetRef == oldSelf.targetRef", "targetRef cannot be changed; make another InferenceTuning"),
    )
    target_ref: TargetRef
    objective: Objective
    mode: Annotated[
        Mode,
        about("Observe tells what changes in the traffic; Recommend tells also what should be done; Apply does it."),
    ] = "Recommend"
    bounds: Annotated[Bounds, about("Lowest and highest value by setting.")] = field(default_factory=Bounds)
    limits: Annotated[Limits, about("How often settings may change.")] = field(default_factory=Limits)
    pricing: Annotated[Pricing, about("What the service's pods cost.")] = field(default_factory=Pricing)
    source: Annotated[
        Literal["Heartbeat", "Prometheus"],
        about("Where arrivals are counted: heartbeats of the servers, or the Prometheus that the operator was given."),
    ] = "Heartbeat"
    rollout: Annotated[Rollout, about("How a new revision is brought in.")] = field(default_factory=Rollout)
    suspend: Annotated[bool, about("True lets everything as it is, until it is false again.")] = False


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
