"""What the activator is told at its start: one JSON document and a few flags become one frozen value."""

from __future__ import annotations

import json
import math
import os
import re
import time
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Numbers = TypeVar("Numbers", AutoscalerSettings, InstanceShape)

MOST_WORKERS = 256
"""The server's own bound."""
_LARGEST = 2**53
"""Beyond it a number of JSON is no longer exact."""
_LOWEST: dict[str, float] = {
    "window_s": 0.1,
    "panic_window_percentage": 1,
    "panic_threshold_percentage": 1,
    "target_utilization_percentage": 1,
    "target_burst_capacity": -1,
    "max_scale_up_rate": 1,
    "max_scale_down_rate": 1,
    "scale_down_delay_s": 0,
    "scale_to_zero_grace_period_s": 0,
    "scale_to_zero_pod_retention_period_s": 0,
    "tick_s": 0.01,
    "vcpu": 0.001,
    "memory_mb": 1,
    "cores": 0.001,
    "cold_start_s": 0,
    "cold_start_cpu_s": 0,
    "drain_s": 0,
    "max_instances": 1,
}
"""By setting of the autoscaler and of the shape, those that are numbers. A tick of nothing would never let the loop
rest."""
_WHOLE = {"memory_mb", "max_instances"}
_MAY_BE_INFINITE = {"cores"}


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
        if not 1 <= self.most_workers <= MOST_WORKERS:
            raise BadInputError(f"most_workers: needs a whole number from 1 to {MOST_WORKERS}, got {self.most_workers}")
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
    for name, (fits, needs) in _RULES.items():
        if name in values and not fits(values[name]):
            raise BadInputError(f"{where}: {name} needs {needs}, got {_shown(values[name])}")
    try:
        if "config" in values:
            values["config"] = ServingConfig.from_document(values["config"], where=f"{where}: config")
        if "autoscaler" in values:
            values["autoscaler"] = read_numbers(AutoscalerSettings(), values["autoscaler"], f"{where}: autoscaler")
        if "shape" in values:
            values["shape"] = read_numbers(InstanceShape(), values["shape"], f"{where}: shape")
        values["command"] = tuple(values.get("command", ()))
        values["server_cpus"] = frozenset(values.get("server_cpus", ()))
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
    except (OSError, ValueError, RecursionError) as error:
        raise BadInputError(f"{path}: cannot be read ({error}); give a JSON document of settings") from error
    return settings_from_document(document, run_folder=run_folder, where=str(path))


def read_numbers(defaults: Numbers, document: object, where: str) -> Numbers:
    """Return the settings with the numbers of a JSON object; null is infinity, where that means something.

    Raises:
        BadInputError: not an object, an unknown name, or no number in its range.
    """
    if not isinstance(document, dict):
        raise BadInputError(f"{where}: needs an object, got {type(document).__name__}")
    values: dict[str, Any] = {}
    for name, value in cast("dict[str, object]", document).items():
        if name not in (known := _numbers_of(defaults)):
            raise BadInputError(f"{where}: unknown setting {name!r}; known are {', '.join(known)}")
        values[name] = _read_number(name, value, where)
    return replace(defaults, **values)


def _numbers_of(settings: AutoscalerSettings | InstanceShape) -> list[str]:
    return [each.name for each in fields(settings) if each.name in _LOWEST]


def _read_number(name: str, value: object, where: str) -> float:
    if name in _MAY_BE_INFINITE and (value is None or value == math.inf):
        return math.inf
    low = _LOWEST[name]
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= _LARGEST:
        if name not in _WHOLE:
            return value
        if value == int(value):
            return int(value)
    kind = "a whole number" if name in _WHOLE else "a number"
    raise BadInputError(f"{where}: {name} needs {kind} of at least {low:g}, got {_shown(value)}")


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_list_of(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, list | tuple) and all(fits(each) for each in cast("Sequence[object]", value))


def _is_environment(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    pairs = cast("dict[object, object]", value).items()
    return all(_is_text(text) and isinstance(name, str) and re.fullmatch(r"[^=\0]+", name) for name, text in pairs)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LARGEST


_RULES: dict[str, tuple[Callable[[object], bool], str]] = {
    "listen": (_is_text, "a text such as 127.0.0.1:8080"),
    "admin": (_is_text, "a text such as 127.0.0.1:0"),
    # It becomes part of the names of instances and of their logs.
    "service": (
        lambda value: isinstance(value, str) and bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", value)),
        "a name of at most 200 letters, digits, dots and dashes",
    ),
    "command": (lambda value: _is_list_of(value, _is_text), "a list of words"),
    "generation": (lambda value: _is_whole(value, 0, _LARGEST - 1), "a whole number from 0 to 2^53 - 1"),
    "initial_scale": (lambda value: _is_whole(value, 0, _LARGEST), "a whole number of at least 0"),
    "most_workers": (
        lambda value: _is_whole(value, 1, MOST_WORKERS),
        f"a whole number from 1 to {MOST_WORKERS}",
    ),
    "server_cpus": (
        lambda value: _is_list_of(value, lambda cpu: _is_whole(cpu, 0, _LARGEST)),
        "a list of core numbers such as [0, 1]",
    ),
    "environment": (_is_environment, 'an object of texts such as {"NAME": "value"}'),
    "started_at_s": (_is_time, "a number of seconds of at least 0"),
}


def _shown(value: object) -> str:
    return repr(value)[:80]


def _numbers_document(settings: AutoscalerSettings | InstanceShape) -> dict[str, float | None]:
    values = {name: float(getattr(settings, name)) for name in _numbers_of(settings)}
    # JSON has no infinity.
    return {
        name: None if value == float("inf") else int(value) if name in _WHOLE else value
        for name, value in values.items()
    }


def _usable_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))
