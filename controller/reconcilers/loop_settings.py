"""An InferenceTuning's spec as the settings of a control loop (pure)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.domain.quantities import decimal, duration_s
from controller.domain.serving_config import REAL, ServingConfig
from controller.domain.slo import LatencySlo
from controller.reconcilers.resources import DecimalBounds, DurationBounds, WholeBounds
from controller.settings import LoopSettings

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from controller.domain.prices import ClusterPrices
    from controller.reconcilers.resources import Bounds, InferenceTuningSpec

_MODES = {"Observe": "observe", "Recommend": "recommend", "Apply": "apply"}
_KNOBS = {
    "max_batch_size": "max_batch_size",
    "batch_tokens": "batch_tokens",
    "max_queue_delay": "max_queue_delay_s",
    "workers": "workers",
    "min_scale": "min_scale",
    "max_scale": "max_scale",
    "target": "target",
    "window": "window_s",
    "container_concurrency": "container_concurrency",
}


def loop_settings(spec: InferenceTuningSpec, prices: ClusterPrices, *, held: frozenset[str]) -> LoopSettings:
    """Return the settings of the loop that an InferenceTuning asks for.

    Args:
        spec: of the InferenceTuning.
        prices: of the cluster's vCPU and GB seconds.
        held: knobs that belong to somebody else.

    Raises:
        BadInputError: a quantity cannot be read.
    """
    slo, budget = spec.objective.slo, spec.objective.budget
    return LoopSettings(
        slo=LatencySlo(
            decimal(slo.quantile, "spec.objective.slo.quantile"),
            duration_s(slo.latency, "spec.objective.slo.latency"),
        ),
        prices=prices,
        mode=_MODES[spec.mode],  # type: ignore[arg-type]
        bounds=bounds_of(spec.bounds),
        held=held,
        may_roll=spec.limits.slow_per_hour > 0,
        silence_s=60.0,
        dwell_s=120.0,
        burst_usd_per_million=math.inf
        if budget is None
        else decimal(budget.usd_per_million, "spec.objective.budget.usdPerMillion"),
    )


def bounds_of(bounds: Bounds) -> dict[str, tuple[float, float]]:
    """Return lowest and highest value by knob.

    Raises:
        BadInputError: a quantity cannot be read.
    """
    found: dict[str, tuple[float, float]] = {}
    for name, knob in _KNOBS.items():
        each = getattr(bounds, name)
        if each is not None:
            low, high = _ends(each, f"spec.bounds.{name}")
            # A highest scale of 0 is no bound.
            found[knob] = (low, math.inf if name == "max_scale" and high == 0 else high)
    return found


def inside(
    present: ServingConfig, bounds: Mapping[str, tuple[float, float]], *, held: Container[str], own_window_s: float
) -> ServingConfig:
    """Return the setting nearest to the present one that keeps the bounds.

    The bound of requests in parallel is only ever raised, and not introduced where there is none.

    Args:
        present: in force.
        bounds: lowest and highest value by knob.
        held: knobs that belong to somebody else; they stay.
        own_window_s: the autoscaler's window where none is set.
    """
    values = present.to_document()
    for knob, (low, high) in bounds.items():
        value = values[knob]
        if knob in held or value is None or (knob == "container_concurrency" and (not value or value >= low)):
            continue
        value = (value or own_window_s) if knob == "window_s" else value
        is_unbounded = knob == "max_scale" and value == 0
        wanted = high if is_unbounded else min(max(value, low), high)
        if wanted != value and not math.isinf(wanted):
            values[knob] = wanted if knob in REAL else int(wanted)
    least, most = values["min_scale"] or 0, values["max_scale"]
    if most and least > most:
        values["min_scale"] = most
    return ServingConfig.from_document(values, where="spec.bounds")


def _ends(each: WholeBounds | DurationBounds | DecimalBounds, where: str) -> tuple[float, float]:
    ends: list[float] = []
    for end, value in (("min", each.min), ("max", each.max)):
        if value is None:
            ends.append(0.0 if end == "min" else math.inf)
        elif isinstance(each, DurationBounds):
            ends.append(duration_s(value, f"{where}.{end}"))
        else:
            ends.append(decimal(value, f"{where}.{end}"))
    return ends[0], ends[1]
