"""Sweep and SweepTrial as types; the fields of a Sweep are those of the document that `tidegate sweep` reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from controller.reconcilers.resources import DECIMAL, DURATION, NAME, Slo, TargetRef
from controller.reconcilers.schema import Rule, about
from controller.reconcilers.status_resources import Condition  # noqa: TC001  types are read while running

Strategy = Literal["Grid", "Random", "Optuna"]
TrialPhase = Literal["Pending", "Setting", "Running", "Complete", "Failed", "Invalid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepParameter:
    """One setting that is varied: a list of values, or a range."""

    RULES: ClassVar = (
        Rule("has(self.values) != (has(self.min) && has(self.max))", "needs either values, or min and max"),
        Rule("!has(self.values) || !has(self.min) && !has(self.max)", "min and max do not stand beside values"),
        Rule("!has(self.step) || !has(self.values)", "step belongs to min and max"),
        Rule("!has(self.step) || !has(self.scale) || self.scale != 'log'", "scale log has no step; list the values"),
    )
    name: Annotated[
        Literal[
            "maxBatchSize",
            "batchTokens",
            "maxQueueDelay",
            "maxQueueLength",
            "workers",
            "minScale",
            "maxScale",
            "activationScale",
            "window",
            "target",
            "containerConcurrency",
        ],
        about("The setting."),
    ]
    values: Annotated[
        tuple[Annotated[object, about("One value.", x_kubernetes_int_or_string=True)], ...] | None,
        about("Values to try.", minItems=1, maxItems=1000),
    ] = None
    min: Annotated[object | None, about("Lowest value.", x_kubernetes_int_or_string=True)] = None
    max: Annotated[object | None, about("Highest value.", x_kubernetes_int_or_string=True)] = None
    step: Annotated[object | None, about("Distance of two values.", x_kubernetes_int_or_string=True)] = None
    scale: Annotated[Literal["linear", "log"] | None, about("How a range without a step is drawn from.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What each trial is asked to answer: the same seeded schedule every time."""

    arrivals: Annotated[
        object,
        about("The arrivals document that every command reads.", x_kubernetes_preserve_unknown_fields=True),
    ]
    seed: Annotated[int, about("Of the schedule.", minimum=0, maximum=4_294_967_295)] = 0
    duration: Annotated[
        str,
        about(
            "How long each trial sends.",
            Rule(
                "duration(self) >= duration('1s') && duration(self) <= duration('24h')",
                "duration must be 1s to 24h",
            ),
            pattern=DURATION,
            maxLength=32,
        ),
    ]
    payloads: Annotated[str, about("short or imdb: generated texts.", pattern=r"^[a-z]+$", maxLength=32)] = "short"
    protocol: Annotated[Literal["v1", "v2"], about("Of the requests.")] = "v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepObjective:
    """What a setting must hold to be the best."""

    slo: Slo


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSpec:
    """A campaign: trials of settings under one workload."""

    RULES: ClassVar = (
        Rule("has(self.targetRef) != has(self.targetRefs)", "needs either targetRef or targetRefs"),
        Rule("self.strategy == 'Grid' || has(self.maxTrials)", "strategies Random and Optuna need maxTrials"),
        Rule("!has(self.patience) || self.strategy != 'Grid'", "a grid is run whole; remove patience"),
        Rule(
            "self.parameters.all(each, self.parameters.exists_one(other, other.name == each.name))",
            "a parameter is named twice",
        ),
        Rule(
            "self.parameters == oldSelf.parameters && self.strategy == oldSelf.strategy && "
            "self.objective == oldSelf.objective && has(self.targetRef) == has(oldSelf.targetRef) && "
            "(!has(self.targetRef) || self.targetRef == oldSelf.targetRef) && "
            "(!has(self.targetRefs) || self.targetRefs == oldSelf.targetRefs) && "
            "self.workload.seed == oldSelf.workload.seed && self.workload.duration == oldSelf.workload.duration && "
            "self.workload.payloads == oldSelf.workload.payloads && "
            "self.workload.protocol == oldSelf.workload.protocol",
            "a Sweep cannot be changed but for cancel, maxTrials, maxFailedTrials and patience; make another one",
        ),
        Rule("!oldSelf.cancel || self.cancel", "a Sweep that was cancelled stays so; make another one"),
    )
    target_ref: Annotated[TargetRef | None, about("The service that is set and asked.")] = None
    target_refs: Annotated[
        tuple[TargetRef, ...] | None,
        about("Equal services; as many trials run at once as there are.", minItems=1, maxItems=8),
    ] = None
    parameters: Annotated[tuple[SweepParameter, ...], about("The settings that are varied.", minItems=1, maxItems=9)]
    strategy: Annotated[Strategy, about("How settings are chosen.")] = "Grid"
    workload: Workload
    objective: SweepObjective
    max_trials: Annotated[int | None, about("Most trials.", minimum=1, maximum=10_000)] = None
    max_failed_trials: Annotated[
        int, about("Trials that may fail or be invalid before the sweep ends.", minimum=0, maximum=10_000)
    ] = 3
    patience: Annotated[
        int | None, about("Trials without a better setting after which the sweep ends.", minimum=1, maximum=10_000)
    ] = None
    cancel: Annotated[bool, about("True ends the sweep and restores its targets.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BestTrial:
    """The cheapest trial that held the objective."""

    name: Annotated[str | None, about("Name of the SweepTrial.", maxLength=253)] = None
    parameters: Annotated[dict[str, str] | None, about("Its settings.")] = None
    p95: Annotated[str | None, about("Its 95th percentile.", maxLength=24)] = None
    cost_per_million_usd: Annotated[str | None, about("Its cost.", maxLength=24)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepStatus:
    """How far the campaign is."""

    observed_generation: Annotated[int | None, about("Generation of the spec that this answers.")] = None
    phase: Annotated[
        Literal["Pending", "Running", "Complete", "Failed", "Cancelled"] | None, about("Where it stands.")
    ] = None
    conditions: Annotated[
        tuple[Condition, ...],
        about("Ready, Complete.", x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["type"], maxItems=16),
    ] = ()
    planned: Annotated[int | None, about("Trials at most.")] = None
    trials: Annotated[int | None, about("Trials that ended.")] = None
    succeeded: Annotated[int | None, about("Trials that were measured.")] = None
    failed: Annotated[int | None, about("Trials that failed or were invalid.")] = None
    running: Annotated[int | None, about("Trials that run.")] = None
    best: Annotated[BestTrial | None, about("The best so far.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialParameter:
    """A setting of a trial."""

    name: Annotated[str, about("The setting, as the Sweep names it.", maxLength=63)]
    value: Annotated[str, about("Its value.", maxLength=63)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepTrialSpec:
    """One setting to be measured; made by the operator for a Sweep."""

    RULES: ClassVar = (Rule("self == oldSelf", "a SweepTrial cannot be changed"),)
    sweep: Annotated[str, about("Name of the Sweep.", pattern=NAME, maxLength=63)]
    number: Annotated[int, about("Place in the Sweep, from 0.", minimum=0, maximum=10_000)]
    target_ref: TargetRef
    parameters: Annotated[tuple[TrialParameter, ...], about("The settings.", minItems=1, maxItems=9)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFiguresStatus:
    """What the run measured; a figure that is absent was not finite."""

    requests: Annotated[int | None, about("Requests sent.")] = None
    errors: Annotated[int | None, about("Requests without a right answer.")] = None
    rejected: Annotated[int | None, about("Requests answered 429 or 503.")] = None
    cold_starts: Annotated[int | None, about("Pods that started while it ran.")] = None
    p50: Annotated[str | None, about("Median.", maxLength=24)] = None
    p95: Annotated[str | None, about("95th percentile.", maxLength=24)] = None
    p99: Annotated[str | None, about("99th percentile.", maxLength=24)] = None
    at_objective: Annotated[str | None, about("Latency at the objective's quantile.", maxLength=24)] = None
    attainment: Annotated[str | None, about("Share of windows that held the objective.", maxLength=24)] = None
    cost_per_million_usd: Annotated[
        str | None, about("Pod seconds by price, over requests.", pattern=DECIMAL, maxLength=24)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepTrialStatus:
    """How the trial went."""

    phase: Annotated[TrialPhase | None, about("Where it stands.")] = None
    why: Annotated[str | None, about("Reason of a phase other than Complete.", maxLength=1024)] = None
    settings: Annotated[str | None, about("Its settings in one line.", maxLength=1024)] = None
    job: Annotated[str | None, about("Name of its load Job.", maxLength=253)] = None
    attempt: Annotated[int | None, about("An invalid run is made once more.")] = None
    started_at: Annotated[str | None, about("When its setting was applied.", format="date-time")] = None
    completed_at: Annotated[str | None, about("When its figures were read.", format="date-time")] = None
    figures: Annotated[TrialFiguresStatus | None, about("What it measured.")] = None
