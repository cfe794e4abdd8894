"""InferenceTuning as types: what a user writes; and what all resources of the API group tidegate.dev share.

What the operator answers is in `status_resources.py`, sweeps are in `sweep_resources.py`. `crds.py` turns all into
definitions, `read` in `schema.py` turns documents into them. Durations and decimals are texts. Schema changes are only
additive.
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
class WindowBounds(DurationBounds):
    """Shortest and longest window: what Knative takes, whole seconds from 6s to 1h."""

    RULES: ClassVar = (
        *DurationBounds.RULES,
        Rule(
            "[has(self.min) ? self.min : '6s', has(self.max) ? self.max : '6s'].all(each, "
            "duration(each) >= duration('6s') && duration(each) <= duration('1h') && "
            "duration(each).getMilliseconds() % 1000 == 0)",
            "windows are whole seconds from 6s to 1h",
        ),
    )


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
        WindowBounds | None,
        about("Stable window of the autoscaler (warm), whole seconds from 6s to 1h; kept inside, and not searched."),
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
