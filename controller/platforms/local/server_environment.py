"""What an instance is told: a setting as environment of a new server, and as the file that running ones look at."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from controller.domain.serving_config import PRICE_OF_CHANGE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from controller.domain.serving_config import ServingConfig
    from controller.platforms.local.activator_settings import ActivatorSettings

HOT_SETTINGS_FILE = "hot-settings.json"
OWN_PREFIX = "TIDEGATE_ACTIVATOR_"
"""Variables for the activator itself; a server would refuse them as unknown."""


def server_environment(
    settings: ActivatorSettings, config: ServingConfig, outer: Mapping[str, str], *, workers: int
) -> dict[str, str]:
    """Return the environment of a new instance.

    Args:
        settings: of the activator.
        config: the present setting.
        outer: the activator's own environment.
        workers: that an instance starts.
    """
    hot = {name: getattr(config, name) for name, price in PRICE_OF_CHANGE.items() if price == "hot"}
    hot["workers"] = workers
    return {
        **{name: value for name, value in outer.items() if not name.startswith(OWN_PREFIX)},
        **settings.environment,
        **{f"TIDEGATE_{name.upper()}": str(value) for name, value in hot.items()},
        "TIDEGATE_SERVICE": settings.service,
        "TIDEGATE_HOT_SETTINGS_FILE": str(settings.run_folder / HOT_SETTINGS_FILE),
    }


def write_hot_settings(folder: Path, config: ServingConfig, generation: int) -> None:
    """Write the file that instances start from and look at each second; it appears under its name when it is whole."""
    hot = {name: getattr(config, name) for name, price in PRICE_OF_CHANGE.items() if price == "hot"}
    write_whole(folder / HOT_SETTINGS_FILE, json.dumps({"generation": generation, **hot}))


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file that is never seen half-written."""
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
