"""What the activator is told at its start: one JSON document and a few flags become one frozen value."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

Numbers = TypeVar("Numbers", AutoscalerSettings, InstanceShape)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivatorSettings:
    """The settings of one activator. Field names are the keys of the document."""

    run_folder: Path
    """Where activator.json, hot-settings.json, instances.csv and the logs of instances go."""
    listen: str = "127.0.0.1:8080"
    """Host and port for clients."""
    admin: str = "127.0.0.1:0"
    """Host and port of the admin interface; port 0 takes a free one."""
    service: str = "local"
    """Name of the service; instances are named after it."""
    command: tuple[str, ...] = ()
    """How a server is started, before `--fd N`."""
    config: ServingConfig = field(default_factory=ServingConfig)
    """The setting at the start."""
    generation: int = 1
    """Of its hot part."""
    autoscaler: AutoscalerSettings = field(default_factory=AutoscalerSettings)
    """Knative's settings that are not tuned."""
    shape: InstanceShape = field(default_factory=InstanceShape)
    """What an instance is billed for, and how many the machine holds."""
    initial_scale: int = 1
    """Instances at the start, as in Knative; `min_scale` if that is more. 0 begins at zero."""
    most_workers: int = 1
    """Workers that each instance starts, so that their active number can be raised to it while it runs."""
    server_cpus: frozenset[int] = frozenset()
    """Cores of the instances; empty for all."""
    environment: dict[str, str] = field(default_factory=dict[str, str])
    """Further environment of the instances."""
    started_at_s: float = field(default_factory=time.time)
    """Wall clock at which the run's clock shows 0."""

    def __post_init__(self) -> None:
        missing = self.server_cpus - _usable_cpus()
        if missing:
            raise BadInputError(
                f"server_cpus: this machine has no core {min(missing)} for us; usable are {sorted(_usable_cpus())}"
            )

    def to_document(self) -> dict[str, object]:
        """Return the document that `settings_from_document` reads."""
        return {
            "listen": self.listen,
            "admin": self.admin,
            "service": self.service,
            "command": list(self.command),
            "config": self.config.to_document(),
            "generation": self.generation,
            "autoscaler": _numbers_document(self.autoscaler),
            "shape": _numbers_document(self.shape),
            "initial_scale": self.initial_scale,
            "most_workers": self.most_workers,
            "server_cpus": sorted(self.server_cpus),
            "environment": self.environment,
            "started_at_s": self.started_at_s,
        }


def settings_from_document(document: object, *, run_folder: Path, where: str) -> ActivatorSettings:
    """Parse a document of settings; what it leaves out keeps its default.

    Raises:
        BadInputError: not an object, an unknown key, or a value of the wrong type.
    """
    if not isinstance(document, dict):
        raise BadInputError(f"{where}: needs an object, got {type(document).__name__}")
    values = dict(cast("dict[str, Any]", document))
    known = {each.name for each in fields(ActivatorSettings)} - {"run_folder"}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise BadInputError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    try:
        if "config" in values:
            values["config"] = ServingConfig.from_document(values["config"], where=f"{where}: config")
        if "autoscaler" in values:
            values["autoscaler"] = read_numbers(AutoscalerSettings(), values["autoscaler"], f"{where}: autoscaler")
        if "shape" in values:
            values["shape"] = read_numbers(InstanceShape(), values["shape"], f"{where}: shape")
        values["command"] = tuple(str(word) for word in values.get("command", ()))
        values["server_cpus"] = frozenset(int(cpu) for cpu in values.get("server_cpus", ()))
        return ActivatorSettings(run_folder=run_folder, **values)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{where}: {error}") from error


def read_settings(path: Path | None, *, run_folder: Path) -> ActivatorSettings:
    """Read settings from a file, or the defaults.

    Raises:
        BadInputError: unreadable, no JSON, or not settings.
    """
    if path is None:
        return ActivatorSettings(run_folder=run_folder)
    try:
        document: object = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); give a JSON document of settings") from error
    return settings_from_document(document, run_folder=run_folder, where=str(path))


def read_numbers(defaults: Numbers, document: object, where: str) -> Numbers:
    """Return the settings with the numbers of a JSON object; null is infinity.

    Raises:
        BadInputError: not an object, an unknown name, or no number of at least -1.
    """
    if not isinstance(document, dict):
        raise BadInputError(f"{where}: needs an object, got {type(document).__name__}")
    values: dict[str, Any] = {}
    for name, value in cast("dict[str, object]", document).items():
        if name not in {each.name for each in fields(defaults)}:
            known = ", ".join(each.name for each in fields(defaults))
            raise BadInputError(f"{where}: unknown setting {name!r}; known are {known}")
        number = float("inf") if value is None else value
        if isinstance(number, bool) or not isinstance(number, int | float) or not number >= -1:
            raise BadInputError(f"{where}: {name} needs a number, got {value!r}")
        values[name] = number
    return replace(defaults, **values)


def _numbers_document(settings: AutoscalerSettings | InstanceShape) -> dict[str, float | None]:
    values = {each.name: float(getattr(settings, each.name)) for each in fields(settings)}
    whole = {"memory_mb", "max_instances"}
    # JSON has no infinity.
    return {
        name: None if value == float("inf") else int(value) if name in whole else value
        for name, value in values.items()
    }


def _usable_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))
