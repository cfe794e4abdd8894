"""The only reader of the operator's environment: TIDEGATE_* becomes one frozen value, or one clear error."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TIDEGATE_"
_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)|_PORT(_\d+_|$)")
"""Kubernetes writes TIDEGATE_CONTROLLER_SERVICE_HOST and the like into each pod beside a Service of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """What the operator is told at its start. Field `x_y` is read from TIDEGATE_X_Y."""

    namespace: str = "tidegate"
    """Its own namespace, where its Secret and Lease are."""
    watch_namespaces: str = ""
    """Namespaces that are served, separated by commas; empty: all, which needs rights in the whole cluster."""
    service_name: str = "tidegate-controller"
    """Kubernetes Service in front of the link; its names are in the certificate."""
    instance: str = ""
    """Name of this replica; default: the host's, which is the pod's."""
    host: str = "0.0.0.0"  # noqa: S104  a pod's address is not known before it runs
    """Address to listen on."""
    link_port: int = 8443
    """Heartbeats, in TLS."""
    status_port: int = 8081
    """/healthz, /readyz and /metrics."""
    prometheus_url: str = ""
    """Second source of arrivals, for tunings whose source is Prometheus."""
    loadtest_image: str = ""
    """Image of the load Jobs that a Sweep runs; without one no Sweep is run."""
    log_level: str = "info"
    """debug, info, warning or error."""

    def __post_init__(self) -> None:
        for name in ("link_port", "status_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise BadInputError(f"{PREFIX}{name.upper()}={getattr(self, name)} must be 0 to 65535")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise BadInputError(f"{PREFIX}LOG_LEVEL={self.log_level} must be debug, info, warning or error")
        if not self.namespace:
            raise BadInputError(f"{PREFIX}NAMESPACE must name the operator's own namespace")

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Namespaces that are served; none named: all."""
        return tuple(each.strip() for each in self.watch_namespaces.split(",") if each.strip())


def read_operator_settings(environ: Mapping[str, str]) -> OperatorSettings:
    """Read the settings.

    Raises:
        BadInputError: an unknown TIDEGATE_ name, or a value of the wrong type or out of range.
    """
    kinds = {each.name: each.type for each in fields(OperatorSettings)}
    values: dict[str, Any] = {}
    for name, text in environ.items():
        field = name.removeprefix(PREFIX).lower()
        # A Service of the name tidegate-link would make TIDEGATE_LINK_PORT=tcp://10.96.0.9:8443.
        if not name.startswith(PREFIX) or text.startswith("tcp://"):
            continue
        if field not in kinds:
            if _OF_KUBERNETES.search(name):
                continue
            known = ", ".join(PREFIX + each.upper() for each in kinds)
            raise BadInputError(f"unknown setting {name} in the environment; known are {known}")
        try:
            values[field] = int(text) if kinds[field] == "int" else text
        except ValueError as error:
            raise BadInputError(f"{name}={text:.40} must be a whole number") from error
    return OperatorSettings(**values)
