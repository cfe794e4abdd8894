"""Knative's autoscaling annotations and settings, to and from our nouns (pure).

On a Revision these annotations reach the autoscaler within two seconds, with neither a new revision nor a restart
(Knative 1.21 and later). Names and defaults: knative/serving, config/core/configmaps/autoscaler.yaml.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from controller.domain.quantities import decimal_text, duration_s, duration_text
from controller.domain.serving_config import AutoscalerSettings, ServingConfig
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "autoscaling.knative.dev/"
ANNOTATION_OF = {
    "min_scale": f"{PREFIX}min-scale",
    "max_scale": f"{PREFIX}max-scale",
    "activation_scale": f"{PREFIX}activation-scale",
    "window_s": f"{PREFIX}window",
    "target": f"{PREFIX}target",
}
LEAST_ACTIVATION = 2
"""Knative refuses a smaller one, one below `min-scale` and one above `max-scale`."""
WARM_KNOBS = tuple(ANNOTATION_OF)
_OLD_SPELLINGS = {f"{PREFIX}min-scale": f"{PREFIX}minScale", f"{PREFIX}max-scale": f"{PREFIX}maxScale"}
# Our setting, the key in config-autoscaler, the annotation (None: a setting of the whole cluster, or a knob), and
# whether it is a duration.
_AUTOSCALER: tuple[tuple[str, str, str | None, bool], ...] = (
    ("window_s", "stable-window", None, True),
    ("panic_window_percentage", "panic-window-percentage", "panic-window-percentage", False),
    ("panic_threshold_percentage", "panic-threshold-percentage", "panic-threshold-percentage", False),
    (
        "target_utilization_percentage",
        "container-concurrency-target-percentage",
        "target-utilization-percentage",
        False,
    ),
    ("target_burst_capacity", "target-burst-capacity", "target-burst-capacity", False),
    ("scale_down_delay_s", "scale-down-delay", "scale-down-delay", True),
    (
        "scale_to_zero_pod_retention_period_s",
        "scale-to-zero-pod-retention-period",
        "scale-to-zero-pod-retention-period",
        True,
    ),
    ("scale_to_zero_grace_period_s", "scale-to-zero-grace-period", None, True),
    ("max_scale_up_rate", "max-scale-up-rate", None, False),
    ("max_scale_down_rate", "max-scale-down-rate", None, False),
)


def autoscaler_settings(cluster: Mapping[str, str], annotations: Mapping[str, str]) -> AutoscalerSettings:
    """Return what the autoscaler works with, beside the knobs that are tuned.

    Args:
        cluster: data of the ConfigMap config-autoscaler; empty where it may not be read: Knative's own defaults.
        annotations: of the Revision.
    """
    found: dict[str, float] = {}
    for name, key, annotation, is_duration in _AUTOSCALER:
        text = annotations.get(f"{PREFIX}{annotation}", cluster.get(key)) if annotation else cluster.get(key)
        value = _number(text, is_duration=is_duration)
        if value is not None:
            found[name] = value
    share = found.get("target_utilization_percentage", 70.0)
    if share <= 1:  # config-autoscaler takes 0.7 for 70 %
        found["target_utilization_percentage"] = 100 * share
    return replace(AutoscalerSettings(), **found)


def read_warm(
    annotations: Mapping[str, str], *, container_concurrency: int, cluster: Mapping[str, str]
) -> dict[str, Any]:
    """Return the warm settings in force under these annotations."""
    lowest = _number(_annotation(annotations, "min_scale") or cluster.get("min-scale")) or 0
    highest = _number(_annotation(annotations, "max_scale") or cluster.get("max-scale")) or 0
    activation = _number(_annotation(annotations, "activation_scale")) or 0
    stated = _number(_annotation(annotations, "target"))
    usual = _number(cluster.get("container-concurrency-target-default")) or 100.0
    # Knative aims at the fence where no target is stated, and never above it.
    target = stated or (float(container_concurrency) if container_concurrency else usual)
    if container_concurrency:
        target = min(target, float(container_concurrency))
    return {
        "min_scale": int(lowest),
        "max_scale": int(highest),
        "activation_scale": int(activation),
        "window_s": _number(_annotation(annotations, "window_s"), is_duration=True) or 0.0,
        "target": max(0.01, target),
    }


def warm_annotations(config: ServingConfig, knobs: Iterable[str]) -> dict[str, str]:
    """Return these warm settings as annotations; an empty one is to be absent."""
    return {ANNOTATION_OF[knob]: _text(config, knob) for knob in knobs}


def taken_together(config: ServingConfig) -> ServingConfig:
    """Return a setting as Knative takes it: min ≤ activation ≤ max, and a target that is not above the fence."""
    activation, most = config.activation_scale, config.max_scale or math.inf
    if activation >= LEAST_ACTIVATION:
        activation = int(min(max(activation, config.min_scale), most))
    target = min(config.target, config.container_concurrency or math.inf)
    return replace(config, activation_scale=activation, target=target)


def _text(config: ServingConfig, knob: str) -> str:
    if knob == "activation_scale" and config.activation_scale < LEAST_ACTIVATION:
        return ""
    if knob == "window_s":
        return duration_text(config.window_s) if config.window_s else ""
    return decimal_text(getattr(config, knob))


def _annotation(annotations: Mapping[str, str], knob: str) -> str | None:
    name = ANNOTATION_OF[knob]
    return annotations.get(name, annotations.get(_OLD_SPELLINGS.get(name, "")))


def _number(text: str | None, *, is_duration: bool = False) -> float | None:
    """Return a number or the seconds of a duration; None for what is absent or cannot be read: Knative checks it."""
    if text is None:
        return None
    with contextlib.suppress(ValueError, BadInputError):
        value = duration_s(text, "") if is_duration else float(text)
        return value if math.isfinite(value) else None  # Knative takes NaN for a target
    return None
