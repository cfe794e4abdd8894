"""What a Revision says of the setting in force, of the shape of a pod and of the autoscaler (pure)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from controller.domain.quantities import quantity
from controller.domain.serving_config import InstanceShape, ServingConfig
from controller.errors import BadInputError
from controller.platforms.revision_annotations import read_warm
from controller.platforms.watched import QUEUE_PROXY, USER_CONTAINER

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE_PROXY_DRAINS_S = 30.0
"""Least time that a pod which shall end stays for: its queue-proxy goes on until nothing has come for so long (Knative
Serving 1.21, pkg/queue/sharedmain, `drainSleepDuration`)."""
_ENVIRONMENT = {
    "TIDEGATE_MAX_BATCH_SIZE": "max_batch_size",
    "TIDEGATE_BATCH_TOKENS": "batch_tokens",
    "TIDEGATE_MAX_QUEUE_DELAY_S": "max_queue_delay_s",
    "TIDEGATE_MAX_QUEUE_LENGTH": "max_queue_length",
    "TIDEGATE_WORKERS": "workers",
}


def annotations_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations of an object."""
    return document["metadata"].get("annotations") or {}


def template_annotations(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the annotations that new Revisions of a service begin with."""
    template = cast("dict[str, Any]", (service.get("spec") or {}).get("template") or {})
    return (template.get("metadata") or {}).get("annotations") or {}


def answering_container(revision: Mapping[str, Any]) -> dict[str, Any]:
    """Return the container that takes requests: the one with a port, or the only one."""
    containers = [each for each in revision["spec"].get("containers", []) if each.get("name") != QUEUE_PROXY]
    named = [each for each in containers if each.get("ports") or each.get("name") == USER_CONTAINER]
    return (named or containers or [{}])[0]


def read_config(
    revision: Mapping[str, Any], *, hot: Mapping[str, Any] | None, autoscaler_defaults: Mapping[str, str]
) -> ServingConfig:
    """Return the setting in force.

    Args:
        revision: that takes the traffic.
        hot: desired hot settings that servers were told; None where nothing was ever told: what the environment says.
        autoscaler_defaults: data of config-autoscaler.
    """
    container = answering_container(revision)
    told = {name: value for name, value in (hot or {}).items() if name != "generation"}
    fence = int(revision["spec"].get("containerConcurrency") or 0)
    warm = read_warm(annotations_of(revision), container_concurrency=fence, cluster=autoscaler_defaults)
    if warm["max_scale"] and warm["min_scale"] > warm["max_scale"]:
        warm["min_scale"] = warm["max_scale"]
    settings = {**_from_environment(container), **told, **warm, "container_concurrency": fence}
    return ServingConfig.from_document(settings, where=f"revision {revision['metadata'].get('name', '')}")


def _from_environment(container: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the hot settings that the servers start with; what they would refuse is left out."""
    found: dict[str, int | float] = {}
    for each in container.get("env") or []:
        name = _ENVIRONMENT.get(each.get("name", ""))
        if name is None or "value" not in each:
            continue
        try:
            value = float(each["value"]) if name == "max_queue_delay_s" else int(each["value"])
            ServingConfig.from_document({name: value}, where="environment")
        except (ValueError, BadInputError):
            continue
        found[name] = value
    return found


def read_shape(revision: Mapping[str, Any], *, cores: float, cold_start_s: float | None) -> InstanceShape:
    """Return what one pod is given and billed for, and how Knative treats it.

    It is given what it requests, or its limits where nothing is requested. Its end takes as long as its queue-proxy
    waits, or the Revision's timeout where that is shorter (pkg/reconciler/revision/resources/deploy.go makes it the
    pod's terminationGracePeriodSeconds).

    Args:
        revision: of the pod.
        cores: that all pods share; infinite where it is not known.
        cold_start_s: seen from the creation of a pod to its readiness; None where none was seen.
    """
    vcpu = memory = 0.0
    for container in revision["spec"].get("containers", []):
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        vcpu += quantity(requests.get("cpu", limits.get("cpu", "0"))) or 0.0
        memory += (quantity(requests.get("memory", limits.get("memory", "0"))) or 0.0) / 2**20
    defaults = InstanceShape()
    return InstanceShape(
        vcpu=vcpu or defaults.vcpu,
        memory_mb=max(1, round(memory)) if memory else defaults.memory_mb,
        cores=cores if cores > 0 else math.inf,
        cold_start_s=defaults.cold_start_s if cold_start_s is None else max(0.05, cold_start_s),
        routing="knative",
        drain_s=min(QUEUE_PROXY_DRAINS_S, float(revision["spec"].get("timeoutSeconds") or QUEUE_PROXY_DRAINS_S)),
    )
