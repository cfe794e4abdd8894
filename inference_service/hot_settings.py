"""Settings that change inside a running server: a frozen value with a generation, and its reader from JSON.

The environment gives generation 0, then a file and the answers to heartbeats bring newer ones; the higher wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference_service.errors import InvalidInputError
from inference_service.event_log import log_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inference_service.counters import Counters
    from inference_service.settings import Settings


@dataclass(frozen=True, slots=True)
class HotSettings:
    """What the controller may change without a restart. Units and reasons of the defaults: `Settings`."""

    generation: int
    max_batch_size: int
    batch_tokens: int
    max_queue_delay_s: float
    max_queue_length: int
    workers: int
    """Active workers, at most the number started."""

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            InvalidInputError: naming the field, the rule and the value.
        """
        rules = [
            (0 <= self.generation < 2**53, "generation", "must be 0 to 2^53"),
            (1 <= self.max_batch_size <= 1024, "max_batch_size", "must be 1 to 1024"),
            (1 <= self.batch_tokens <= 1_048_576, "batch_tokens", "must be 1 to 1048576"),
            (0 <= self.max_queue_delay_s <= 60, "max_queue_delay_s", "must be 0 to 60 seconds"),
            (1 <= self.max_queue_length <= 1_000_000, "max_queue_length", "must be 1 to 1000000"),
            (1 <= self.workers <= 256, "workers", "must be 1 to 256"),
        ]
        for holds, name, rule in rules:
            if not holds:
                raise InvalidInputError(f"hot setting {name} {rule}, not {getattr(self, name)}")


FIELDS: dict[str, type] = {
    "generation": int,
    "max_batch_size": int,
    "batch_tokens": int,
    "max_queue_delay_s": float,
    "max_queue_length": int,
    "workers": int,
}
"""Name and type of every field; a test compares it with the class."""


_LARGEST = 2**53
"""Every range is below it; NaN, infinity and endless digits are not."""


def initial_hot_settings(settings: Settings) -> HotSettings:
    """Generation 0, from the environment."""
    return HotSettings(
        generation=0,
        max_batch_size=settings.max_batch_size,
        batch_tokens=settings.batch_tokens,
        max_queue_delay_s=settings.max_queue_delay_s,
        max_queue_length=settings.max_queue_length,
        workers=settings.workers,
    )


def parse_hot_settings(document: object, *, present: HotSettings) -> HotSettings:
    """Hot settings from a JSON value; absent fields keep their present value, unknown ones are ignored.

    Raises:
        InvalidInputError: no object, no generation, a wrong type or a value out of range.
    """
    if not isinstance(document, dict):
        raise InvalidInputError(f"hot settings must be a JSON object, not {type(document).__name__}")
    fields: Mapping[str, Any] = document
    if "generation" not in fields:
        raise InvalidInputError("hot settings need a generation")
    values: dict[str, Any] = {name: _number(fields, name, kind, present) for name, kind in FIELDS.items()}
    return HotSettings(**values)


def _number(fields: Mapping[str, Any], name: str, kind: type, present: HotSettings) -> float:
    value = fields.get(name, getattr(present, name))
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
    if not is_number or (kind is int and value != int(value)):
        shown = repr(value)[:40]
        raise InvalidInputError(f"hot setting {name} must be {'a whole' if kind is int else 'a'} number, not {shown}")
    return kind(value)


class HotSettingsHolder:
    """The present hot settings, and the callbacks that follow a change."""

    def __init__(self, initial: HotSettings, counters: Counters) -> None:
        self.present = initial
        self._started_workers = initial.workers
        self._counters = counters
        self._followers: list[Callable[[HotSettings], None]] = []
        self._last_refusal = ""

    def follow(self, callback: Callable[[HotSettings], None]) -> None:
        """Call back after every change, in the order of registration."""
        self._followers.append(callback)

    def offer(self, document: object, source: str) -> None:
        """Apply a JSON value if its generation is newer; refuse an invalid one as a whole, with one line in the log."""
        try:
            offered = parse_hot_settings(document, present=self.present)
            if offered.generation <= self.present.generation:
                return
            self._check_workers(offered)
        except InvalidInputError as error:
            self._count("refused")
            if str(error) != self._last_refusal:  # it comes again with every heartbeat
                self._last_refusal = str(error)
                log_event("hot_settings_refused", source=source, reason=str(error))
            return
        self.present = offered
        self._count("applied")
        for callback in self._followers:
            callback(offered)

    def _check_workers(self, offered: HotSettings) -> None:
        if offered.workers > self._started_workers:
            started = self._started_workers
            raise InvalidInputError(f"hot setting workers must be at most the {started} started, not {offered.workers}")

    def _count(self, result: str) -> None:
        self._counters.config_reloads[result] = self._counters.config_reloads.get(result, 0) + 1
