"""Knative's pod autoscaler as a pure rule: concurrency in, wished number of instances out.

Used by the activator on one machine and by the event simulator, so both scale alike. Standard library only, because the
activator must start fast. Source: Knative Serving 1.23, pkg/autoscaler/scaling and pkg/reconciler/autoscaling/kpa.

What is measured is requests in parallel, those that wait in the activator included. Deviations from Knative, all small:
buckets are as fine as the observations (Knative: 1 s), and the grace period before zero always runs in full (Knative
may cut it short once it has seen that the activator is in the path).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.domain.serving_config import AutoscalerSettings, ServingConfig

LEAST_TARGET = 0.01
"""Knative's lower bound of a target after the utilisation factor."""
LEAST_PANIC_WINDOW_S = 1.0
"""Knative rounds a shorter panic window up to one bucket."""
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    """How many instances there should be now, and why."""

    desired: int
    panic: bool
    excess_burst_capacity: float
    """Spare requests in parallel beyond the burst to be absorbed; below 0 the activator stays in the path."""
    why: str


class ConcurrencyWindow:
    """Concurrency of the last `length_s` seconds; its average is taken over the part that has been observed."""

    __slots__ = ("_buckets", "_first_s", "length_s")

    def __init__(self, length_s: float) -> None:
        self.length_s = length_s
        self._buckets: deque[tuple[float, float, float]] = deque()
        self._first_s = math.nan

    def record(self, from_s: float, until_s: float, concurrency: float) -> None:
        """Add the average concurrency of one bucket; buckets come in order of time."""
        if math.isnan(self._first_s):
            self._first_s = from_s
        self._buckets.append((from_s, until_s, concurrency))
        while self._buckets and self._buckets[0][1] <= until_s - self.length_s:
            self._buckets.popleft()

    def average(self, now_s: float, length_s: float) -> float | None:
        """Return the average over the last `length_s` seconds, or None before anything was observed."""
        start_s = max(now_s - length_s, self._first_s)
        total = covered_s = 0.0
        for from_s, until_s, concurrency in reversed(self._buckets):
            if until_s <= start_s:
                break
            overlap_s = until_s - max(from_s, start_s)
            total += concurrency * overlap_s
            covered_s += overlap_s
        return round(total / covered_s, _DIGITS) if covered_s > 0 else None


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
        self._window = ConcurrencyWindow(self._window_s)
        self._start_s = self._observed_s = start_s
        self._initial_scale = initial_scale
        self._was_initial_scale_reached = False
        self._panic_s = math.nan
        self._panic_peak = 0
        self._zero_since_s = math.nan
        self._wishes: deque[tuple[float, int]] = deque()

    @property
    def target(self) -> float:
        """Requests in parallel per instance that the rule aims at, utilisation factor included."""
        return max(LEAST_TARGET, self._total_target * self.settings.target_utilization_percentage / 100)

    @property
    def _window_s(self) -> float:
        return self.config.stable_window_s(self.settings)

    @property
    def _panic_window_s(self) -> float:
        return max(self._window_s * self.settings.panic_window_percentage / 100, LEAST_PANIC_WINDOW_S)

    @property
    def _total_target(self) -> float:
        bound = self.config.container_concurrency
        return min(self.config.target, bound) if bound else self.config.target

    def observe(self, now_s: float, concurrency: float) -> None:
        """Record the average number of requests in parallel since the last observation."""
        if now_s > self._observed_s:
            self._window.length_s = max(self._window.length_s, self._window_s)
            self._window.record(self._observed_s, now_s, concurrency)
            self._observed_s = now_s

    def poke(self, now_s: float, ready: int) -> ScaleDecision:
        """Decide at once when a request meets zero instances: at least one, without waiting for a tick."""
        self._zero_since_s = math.nan
        decision = self.decide(now_s, ready)
        wish = max(decision.desired, self._bounded(max(1, self.config.activation_scale)))
        return replace(decision, desired=wish, why="a request waits and no instance is there")

    def decide(self, now_s: float, ready: int) -> ScaleDecision:
        """Return the wish at this tick.

        Args:
            now_s: time of the tick.
            ready: instances that answer now.
        """
        stable = self._window.average(now_s, self._window_s)
        panic = self._window.average(now_s, self._panic_window_s)
        if stable is None or panic is None:
            return ScaleDecision(self._bounded(max(ready, self._initial_scale)), False, -1.0, "nothing observed yet")  # noqa: FBT003  panic
        base = max(1, ready)
        highest = math.ceil(self.settings.max_scale_up_rate * base)
        lowest = math.floor(base / self.settings.max_scale_down_rate)
        wanted = math.ceil(stable / self.target)
        wanted_now = math.ceil(panic / self.target)
        wish = self._activated(wanted, min(max(wanted, lowest), highest))
        why = f"{stable:g} in parallel over the window, target {self.target:g}"
        if self._is_panicking(now_s, wanted_now / base):
            wish_now = self._activated(wanted_now, min(max(wanted_now, lowest), highest))
            self._panic_peak = max(self._panic_peak, wish, wish_now)
            wish = self._panic_peak
            why = f"panic: {panic:g} in parallel over the panic window, target {self.target:g}"
        wish = self._delayed(now_s, wish)
        wish = self._bounded(self._kept_before_zero(now_s, wish, ready))
        return ScaleDecision(wish, not math.isnan(self._panic_s), self._excess_burst_capacity(ready, panic), why)

    def _activated(self, wanted: int, wish: int) -> int:
        """Return at least what starts from zero: to Knative that is the least whenever there is any load at all."""
        return max(wish, self.config.activation_scale) if wanted > 0 else wish

    def _is_panicking(self, now_s: float, share: float) -> bool:
        if share >= self.settings.panic_threshold_percentage / 100:
            self._panic_s = now_s
        elif not math.isnan(self._panic_s) and self._panic_s + self._window_s < now_s:
            self._panic_s = math.nan
            self._panic_peak = 0
        return not math.isnan(self._panic_s)

    def _delayed(self, now_s: float, wish: int) -> int:
        if self.settings.scale_down_delay_s <= 0:
            return wish
        self._wishes.append((now_s, wish))
        while self._wishes[0][0] <= now_s - self.settings.scale_down_delay_s:
            self._wishes.popleft()
        return max(each for _, each in self._wishes)

    def _kept_before_zero(self, now_s: float, wish: int, ready: int) -> int:
        """Keep the last instance for the grace period (or the retention period, if longer) after the wish for zero.

        Zero is wished for after a whole window without a request, never after a partial one.
        """
        self._was_initial_scale_reached = self._was_initial_scale_reached or ready >= self._initial_scale
        if not self._was_initial_scale_reached:
            wish = max(wish, self._initial_scale)
        if wish > 0 or now_s - self._start_s < self._window_s:
            self._zero_since_s = math.nan
            return max(wish, min(self._initial_scale, 1))
        if math.isnan(self._zero_since_s):
            self._zero_since_s = now_s
        kept_s = max(self.settings.scale_to_zero_grace_period_s, self.settings.scale_to_zero_pod_retention_period_s)
        return 1 if ready > 0 and now_s - self._zero_since_s < kept_s else 0

    def _bounded(self, wish: int) -> int:
        wish = max(wish, self.config.min_scale)
        return min(wish, self.config.max_scale) if self.config.max_scale else wish

    def _excess_burst_capacity(self, ready: int, panic: float) -> float:
        """Return ready x target - burst capacity - requests in parallel; 0 and -1 are fixed answers, as in Knative."""
        burst = self.settings.target_burst_capacity
        if burst <= 0:
            return 0.0 if burst == 0 else -1.0
        return math.floor(ready * self._total_target - burst - panic)
