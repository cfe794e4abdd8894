"""What every reconciler of one operator works with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.monitor.prometheus_api import PrometheusApi
    from controller.optimizer.search_process import SearchProcess
    from controller.platforms.cluster_client import Cluster
    from controller.platforms.place import ClusterFacts
    from controller.platforms.watched import Key, Watched
    from controller.reconcilers.authority import Bundle
    from controller.reconcilers.events import Events
    from controller.reconcilers.operator_metrics import OperatorMetrics
    from controller.telemetry.reception import Desk

Name = tuple[str, str]
"""(namespace, name) of a resource."""


@dataclass(slots=True)
class World:
    """The parts, made once by `run.py`.

    Attributes:
        cluster: for calls.
        watched: what watches tell of services.
        facts: what holds for the whole cluster.
        events: on our resources.
        searches: the child process that all tunings share.
        metrics: of the operator.
        prometheus: second source of arrivals; None where the operator was given none.
        bundle: the public certificate of the link, for each served namespace.
        desks: where heartbeats go, by service.
        tunings: documents of all InferenceTunings.
        held: services that a Sweep measures, with its name; tunings leave them alone meanwhile.
        wall: the wall clock, which the state of tunings is written in; intervals are on the event loop's clock.
    """

    cluster: Cluster
    watched: Watched
    facts: ClusterFacts
    events: Events
    searches: SearchProcess
    metrics: OperatorMetrics
    bundle: Bundle
    prometheus: PrometheusApi | None
    desks: dict[Key, Desk] = field(default_factory=dict["Key", "Desk"])
    tunings: dict[Name, dict[str, Any]] = field(default_factory=dict["Name", "dict[str, Any]"])
    held: dict[Key, str] = field(default_factory=dict["Key", str])
    wall: Callable[[], float] = time.time


def service_of(target: dict[str, Any]) -> str:
    """Return the name of the Knative Service behind a targetRef."""
    return f"{target['name']}-predictor" if target.get("kind") == "InferenceService" else str(target["name"])
