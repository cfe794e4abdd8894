"""The settings that are tuned, what changing each one costs, and the server law a platform states.

The settings travel from the optimiser through a decision to the platform; the server has its own, smaller noun
(`HotSettings`), and the two meet as text in the heartbeat.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from controller.errors import BadInputError

PriceOfChange = Literal["hot", "warm", "slow"]
ServerLaw = Literal["infinite_timer", "finite_work_conserving", "knative_pods"]
Routing = Literal["least_loaded", "knative"]

PRICE_OF_CHANGE: dict[str, PriceOfChange] = {
    "max_batch_size": "hot",
    "batch_tokens": "hot",
    "max_queue_delay_s": "hot",
    "max_queue_length": "hot",
    "workers": "hot",
    "min_scale": "warm",
    "max_scale": "warm",
    "activation_scale": "warm",
    "window_s": "warm",
    "target": "warm",
    "container_concurrency": "slow",
    "memory_mb": "slow",
}
"""Hot: inside a running server within a second. Warm: about two seconds, no restart. Slow: a new revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """One setting of a service. The defaults are the untuned ones: our server's, and Knative's."""

    max_batch_size: int = 8
    """Most requests in one batch (B)."""
    batch_tokens: int = 512
    """Most padded tokens in one batch: batch size times its longest request."""
    max_queue_delay_s: float = 0.0
    """Longest wait for company after the first request of a batch (T); 0 is work-conserving."""
    max_queue_length: int = 1000
    """Requests that may wait in one server; the next one is answered 429."""
    workers: int = 1
    """Worker processes that take batches in one instance."""
    min_scale: int = 0
    """Fewest instances; 0 allows scale to zero."""
    max_scale: int = 0
    """Most instances; 0 is no bound, as in Knative."""
    activation_scale: int = 0
    """Instances that are started at once when a request meets none; up to 1 it is one."""
    window_s: float = 0.0
    """Stable window of the autoscaler; 0 is the platform's own."""
    target: float = 100.0
    """Requests in parallel that the autoscaler aims at per instance, before the utilisation factor."""
    container_concurrency: int = 0
    """Hard bound of requests in parallel per instance; 0 is none."""
    memory_mb: int | None = None
    """Memory of one instance where the platform prices it; None where it is not a setting."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value: object = getattr(self, name)
            if value is None and name == "memory_mb":
                continue
            whole = name not in REAL
            kinds = int if whole else (int, float)
            fits = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
            if not fits:
                kind = "a whole number" if whole else "a number"
                is_high = isinstance(value, int | float) and value > high
                bound = f"at most {high:.15g}" if is_high else f"at least {low:g}"
                raise BadInputError(f"setting {name}: needs {kind} of {bound}, got {_shown(value)}")
        if 0 < self.window_s < SHORTEST_WINDOW_S:
            raise BadInputError(
                f"setting window_s: needs 0 or at least {SHORTEST_WINDOW_S:g}, got {_shown(self.window_s)}"
            )
        if self.max_scale and self.min_scale > self.max_scale:
            raise BadInputError(f"setting min_scale: {self.min_scale} is above max_scale {self.max_scale}; lower it")

    @classmethod
    def from_document(cls, document: object, *, where: str) -> ServingConfig:
        """Parse a JSON object that holds any of the settings; the others keep their defaults.

        Raises:
            BadInputError: not an object, an unknown name, or a value out of range.
        """
        if not isinstance(document, dict):
            raise BadInputError(f"{where}: needs an object of settings, got {type(document).__name__}")
        known = {field.name for field in fields(cls)}
        for name in document:
            if name not in known:
                raise BadInputError(f"{where}: unknown setting {name!r}; known are {', '.join(sorted(known))}")
        return cls(**document)

    def to_document(self) -> dict[str, int | float | None]:
        """Return the settings as JSON values."""
        return asdict(self)

    def changes_from(self, other: ServingConfig) -> dict[str, tuple[int | float | None, int | float | None]]:
        """Return the settings that differ, each as (theirs, ours)."""
        mine, theirs = self.to_document(), other.to_document()
        return {name: (theirs[name], mine[name]) for name in mine if mine[name] != theirs[name]}

    def stable_window_s(self, settings: AutoscalerSettings) -> float:
        """Return the window in force: this setting's, or the platform's own."""
        return self.window_s or settings.window_s

    def with_prices(self, wanted: ServingConfig, prices: set[PriceOfChange]) -> ServingConfig:
        """Return this setting with those knobs of `wanted` whose change costs one of `prices`."""
        return replace(
            self, **{name: getattr(wanted, name) for name, price in PRICE_OF_CHANGE.items() if price in prices}
        )


SHORTEST_WINDOW_S = 1.0
"""Concurrency is observed once a second. Knative itself takes whole seconds from 6 on."""
NO_TOKEN_BOUND = 1_048_576
"""The largest budget; 1,024 texts of 512 tokens, the largest batch there is, need half of it."""
REAL = frozenset(each.name for each in fields(ServingConfig) if isinstance(each.default, float))
"""Settings that need not be whole."""
_LARGEST = 2**53
"""No platform bounds these; beyond it a number of JSON is no longer exact."""
# The hot ones are the server's own ranges: it does not start outside them, and a contract test compares the two.
_RANGES: dict[str, tuple[float, float]] = {
    "max_batch_size": (1, 1024),
    "batch_tokens": (1, NO_TOKEN_BOUND),
    "max_queue_delay_s": (0, 60),
    "max_queue_length": (1, 1_000_000),
    "workers": (1, 256),
    "min_scale": (0, _LARGEST),
    "max_scale": (0, _LARGEST),
    "activation_scale": (0, _LARGEST),
    "window_s": (0, 3600),
    "target": (0.01, _LARGEST),
    "container_concurrency": (0, _LARGEST),
    "memory_mb": (1, _LARGEST),
}


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "a larger one"  # repr refuses a whole number of more than 4300 digits
    return repr(value)[:40]


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalerSettings:
    """Knative's autoscaler settings that are not tuned, under Knative's names and with its defaults."""

    window_s: float = 60.0
    """Stable window."""
    panic_window_percentage: float = 10.0
    """Panic window as a share of the stable one."""
    panic_threshold_percentage: float = 200.0
    """Panic when the panic window wants this share of the ready instances, or more."""
    target_utilization_percentage: float = 70.0
    """Multiplies every target."""
    target_burst_capacity: float = 211.0
    """Spare requests in parallel below which the activator stays in the path; -1 is always."""
    max_scale_up_rate: float = 1000.0
    """Largest factor of growth in one tick."""
    max_scale_down_rate: float = 2.0
    """Largest factor of shrinking in one tick."""
    scale_down_delay_s: float = 0.0
    """A lower wish must hold this long before it is followed."""
    scale_to_zero_grace_period_s: float = 30.0
    """How long the activator must have been in the path before the last instance may go."""
    scale_to_zero_pod_retention_period_s: float = 0.0
    """How long the last instance stays after the wish for zero."""
    tick_s: float = 2.0
    """Time between two decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceShape:
    """What one instance is given, what the platform below has, and how an instance starts, is found and ends."""

    vcpu: float = 1.0
    """vCPUs one instance is billed for."""
    memory_mb: int = 512
    """Memory one instance is billed for."""
    cores: float = math.inf
    """Cores that all instances share (one for the demo); infinite where each instance has its own."""
    cold_start_s: float = 0.6
    """From the wish for an instance to its readiness, on an idle core."""
    cold_start_cpu_s: float = 0.5
    """CPU time an instance burns while it starts; it competes for the shared cores."""
    routing: Routing = "least_loaded"
    """Which ready instance a request goes to; rules and source: `pod_routing`."""
    drain_s: float = 0.0
    """Least time from the wish for its end to its end, which is paid for; Knative's queue-proxy takes 30 s."""
    max_instances: int = 20
    """What the platform can hold, whatever the autoscaler wants."""
