"""Knative's pod autoscaler as a pure rule: concurrency in, wished number of instances out.

Used by the activator on one machine; the event simulator uses the same rule (`autoscaler_rule`), so both scale alike.
Standard library only, because the activator must start fast. Source: Knative Serving 1.23, pkg/autoscaler/scaling and
pkg/reconciler/autoscaling/kpa.

What is measured is requests in parallel, those that wait in the activator included. Zero follows `handleScaleToZero`
(kpa/scaler.go, read in 1.21): the last instance goes once the activator has been in the path for the grace period, so
that no request misses both, and zero has been wished for during the retention period. The activator is in the path
while zero is wished for, no instance answers, or the excess burst capacity is negative (kpa/kpa.go, `ReconcileKind`).
At Knative's burst capacity of 211 that is always so with few instances, and the last one goes with the window.

Deviations, all small. The end of a grace period is seen at the next tick; Knative looks at its very end. Windows end at
the tick; Knative's are the whole seconds that were reported by then (pkg/autoscaler/aggregation/bucketing.go), half a
second ago on average. From zero, the idle time before counts as zeros; Knative's windows begin anew with the first
report after a whole window without any, and the activator's first report counts one request for a whole second
(pkg/activator/handler/concurrency_reporter.go). Why this is left: docs/test-cluster.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.performance_model import autoscaler_rule
from controller.performance_model.autoscaler_rule import Bucket, Scaler, Wish
from controller.performance_model.tables import PlainTables, with_room

if TYPE_CHECKING:
    from controller.domain.serving_config import AutoscalerSettings, ServingConfig

LEAST_TARGET = 0.01
"""Knative's lower bound of a target after the utilisation factor."""
BUCKET_S = 1.0
"""Knative's panic window is rounded to whole buckets (autoscaling/resources/metric.go); its stable window has whole
seconds anyway."""
_TABLES = PlainTables()


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    """How many instances there should be now, and why."""

    desired: int
    panic: bool
    excess_burst_capacity: float
    """Spare requests in parallel beyond the burst to be absorbed; below 0 the activator stays in the path."""
    why: str


def set_parameters(scaler: Scaler, settings: AutoscalerSettings, config: ServingConfig) -> None:
    """Write what Knative's settings and the tuned ones say into the rule's row."""
    window_s = config.stable_window_s(settings)
    scaler.window_s = window_s
    buckets = math.floor(window_s * settings.panic_window_percentage / 100 / BUCKET_S + 0.5)
    scaler.panic_window_s = max(1, buckets) * BUCKET_S
    scaler.panic_threshold = settings.panic_threshold_percentage / 100
    scaler.capacity = total_target(config)
    scaler.target = max(LEAST_TARGET, scaler.capacity * settings.target_utilization_percentage / 100)
    scaler.burst_capacity = settings.target_burst_capacity
    scaler.max_scale_up_rate = settings.max_scale_up_rate
    scaler.max_scale_down_rate = settings.max_scale_down_rate
    scaler.scale_down_delay_s = settings.scale_down_delay_s
    scaler.grace_period_s = settings.scale_to_zero_grace_period_s
    scaler.retention_period_s = settings.scale_to_zero_pod_retention_period_s
    scaler.min_scale, scaler.max_scale = config.min_scale, config.max_scale
    scaler.activation_scale = config.activation_scale


def total_target(config: ServingConfig) -> float:
    """Return requests in parallel per instance before the utilisation factor."""
    bound = config.container_concurrency
    return min(config.target, bound) if bound else config.target


class Autoscaler:
    """The rule for one service. Call `observe` at least once a second and `decide` at each tick.

    Args:
        settings: Knative's settings that are not tuned.
        config: the setting; its scale bounds, target and concurrency are read at each decision.
        start_s: time of the start.
        initial_scale: wished for until so many were ready once.
    """

    def __init__(
        self, settings: AutoscalerSettings, config: ServingConfig, *, start_s: float = 0.0, initial_scale: int = 1
    ) -> None:
        self.settings = settings
        self.config = config
        self._scaler = Scaler(start_s=start_s, observed_s=start_s, proxied_since_s=start_s, initial_scale=initial_scale)
        self._buckets: list[Bucket] = []
        self._wishes: list[Wish] = []

    @property
    def target(self) -> float:
        """Requests in parallel per instance that the rule aims at, utilisation factor included."""
        set_parameters(self._scaler, self.settings, self.config)
        return self._scaler.target

    def observe(self, now_s: float, concurrency: float) -> None:
        """Record the average number of requests in parallel since the last observation."""
        scaler = self._scaler
        set_parameters(scaler, self.settings, self.config)
        self._buckets, scaler.first_bucket = with_room(
            _TABLES, Bucket, self._buckets, scaler.first_bucket, scaler.n_buckets
        )
        autoscaler_rule.observe(scaler, self._buckets, now_s, concurrency)

    def poke(self, now_s: float, ready: int) -> ScaleDecision:
        """Decide at once when a request meets zero instances: at least one, without waiting for a tick."""
        scaler = self._prepared()
        wish = autoscaler_rule.poke(scaler, self._buckets, self._wishes, now_s, ready)
        return self._decision(wish, ready, "a request waits and no instance is there")

    def decide(self, now_s: float, ready: int) -> ScaleDecision:
        """Return the wish at this tick.

        Args:
            now_s: time of the tick.
            ready: instances that answer now.
        """
        scaler = self._prepared()
        wish = autoscaler_rule.decide(scaler, self._buckets, self._wishes, now_s, ready)
        if math.isnan(scaler.panic):
            why = "nothing observed yet"
        elif math.isnan(scaler.panic_s):
            why = f"{scaler.stable:g} in parallel over the window, target {scaler.target:g}"
        else:
            why = f"panic: {scaler.panic:g} in parallel over the panic window, target {scaler.target:g}"
        return self._decision(wish, ready, why)

    def _prepared(self) -> Scaler:
        scaler = self._scaler
        set_parameters(scaler, self.settings, self.config)
        self._wishes, scaler.first_wish = with_room(_TABLES, Wish, self._wishes, scaler.first_wish, scaler.n_wishes)
        return scaler

    def _decision(self, wish: int, ready: int, why: str) -> ScaleDecision:
        scaler = self._scaler
        if math.isnan(scaler.panic):
            return ScaleDecision(wish, False, -1.0, why)  # noqa: FBT003  panic
        excess = autoscaler_rule.excess_burst_capacity(scaler, ready)
        return ScaleDecision(wish, not math.isnan(scaler.panic_s), excess, why)
