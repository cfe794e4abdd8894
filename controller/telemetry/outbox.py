"""Desired hot settings on their way out: what the answer to every heartbeat carries.

A platform puts settings in; the telemetry server hands them to each server that reports. Servers obey the highest
generation they have seen, so a generation is never used twice, also not by a controller that was restarted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.domain.serving_config import PRICE_OF_CHANGE
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.domain.serving_config import ServingConfig

HOT_SETTINGS = tuple(name for name, price in PRICE_OF_CHANGE.items() if price == "hot")


def hot_settings_of(config: ServingConfig) -> dict[str, int | float]:
    """Return the hot part of a setting, as a heartbeat's answer names it."""
    return {name: getattr(config, name) for name in HOT_SETTINGS}


class Outbox:
    """Holds the latest desired hot settings and their generation."""

    def __init__(self, generation: int = 0) -> None:
        self._generation = generation
        self._settings: dict[str, int | float] | None = None

    @property
    def generation(self) -> int:
        """The highest generation given out or seen in a server."""
        return self._generation

    def set(self, settings: Mapping[str, int | float]) -> int:
        """Make these the desired settings and return their generation, which is new if anything changed.

        Raises:
            BadInputError: not exactly the names of `HOT_SETTINGS`.
        """
        if set(settings) != set(HOT_SETTINGS):
            raise BadInputError(f"hot settings: needs exactly {', '.join(HOT_SETTINGS)}; got {', '.join(settings)}")
        if self._settings != dict(settings):
            self._generation += 1
            self._settings = dict(settings)
        return self._generation

    def restore(self, generation: int, settings: Mapping[str, int | float]) -> None:
        """Go on from what an earlier life of the controller desired, under the generation that servers know."""
        self._generation, self._settings = generation, dict(settings)

    def saw(self, generation: int) -> None:
        """Take note that a server runs this generation.

        A higher one than ours comes from an earlier life of the controller: without a new number the server would
        rightly ignore what we want now.
        """
        if generation > self._generation:
            self._generation = generation if self._settings is None else generation + 1

    def current(self) -> dict[str, int | float] | None:
        """Return the desired settings with their generation; None until something is desired."""
        return None if self._settings is None else {"generation": self._generation, **self._settings}
