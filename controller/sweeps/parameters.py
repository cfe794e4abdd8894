"""The parameters of a sweep: which setting is varied and over which values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from controller.domain.quantities import decimal, decimal_text, duration_s, duration_text, whole
from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.sweeps.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Setting = dict[str, int | float]
"""Values of the varied settings under the names of ServingConfig, such as {"max_batch_size": 8}."""
MOST_VALUES = 1000
"""Values that one parameter may list or step through; more is surely a slip of the pen."""


@dataclass(frozen=True, slots=True)
class Knob:
    """How a document names and writes one setting."""

    setting: str
    read: Callable[[object, str], int | float]
    zero_is_unbounded: bool = False
    zero_text: str = ""
    """How 0 is shown where it means that nothing is set."""

    def text(self, value: float) -> str:
        """Return a value as `read` takes it."""
        return duration_text(value) if self.read is duration_s else decimal_text(value)


KNOBS = {
    "maxBatchSize": Knob("max_batch_size", whole),
    "batchTokens": Knob("batch_tokens", whole),
    "maxQueueDelay": Knob("max_queue_delay_s", duration_s),
    "maxQueueLength": Knob("max_queue_length", whole),
    "workers": Knob("workers", whole),
    "minScale": Knob("min_scale", whole),
    "maxScale": Knob("max_scale", whole, zero_is_unbounded=True),
    "activationScale": Knob("activation_scale", whole, zero_text="none"),
    "window": Knob("window_s", duration_s, zero_text="default"),
    "target": Knob("target", decimal),
    "containerConcurrency": Knob("container_concurrency", whole, zero_is_unbounded=True),
}


@dataclass(frozen=True, slots=True)
class Choices:
    """A finite list of values, rising."""

    values: tuple[int | float, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """Every value from low to high."""

    low: int | float
    high: int | float
    is_whole: bool
    is_log: bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting that a sweep varies."""

    name: str
    """As the document spells it, such as maxBatchSize."""
    setting: str
    """As ServingConfig spells it, such as max_batch_size."""
    domain: Choices | Interval


def parse_parameter(value: object, where: str) -> Parameter:
    """Read `{name, values}` or `{name, min, max, step, scale}`.

    Raises:
        BadInputError: an unknown name or field, both forms at once, or a value that the setting cannot take.
    """
    fields = Fields.of(value, where)
    name = fields.take_choice("name", list(KNOBS))
    if fields.has("values"):
        domain: Choices | Interval = _choices(fields, KNOBS[name])
        fields.finish("min", "max", "step", "scale")
        given = [other for other in ("min", "max", "step", "scale") if fields.has(other)]
        if given:
            raise BadInputError(f"{fields.path(given[0])}: stands beside values; give either values or min and max")
    else:
        domain = _range(fields, KNOBS[name])
        fields.finish()
    for number in _ends(domain):
        try:
            ServingConfig.from_document({KNOBS[name].setting: number}, where=where)
        except BadInputError as error:
            raise BadInputError(f"{where}: {error}") from error
    return Parameter(name, KNOBS[name].setting, domain)


def _ends(domain: Choices | Interval) -> Iterator[int | float]:
    yield from domain.values if isinstance(domain, Choices) else (domain.low, domain.high)


def _choices(fields: Fields, knob: Knob) -> Choices:
    where = fields.path("values")
    listed = cast("list[object]", fields.take("values", list))
    if not 1 <= len(listed) <= MOST_VALUES:
        raise BadInputError(f"{where}: needs between 1 and {MOST_VALUES} values, got {len(listed)}")
    numbers = [knob.read(each, f"{where}[{index}]") for index, each in enumerate(listed)]
    for index, number in enumerate(numbers):
        if number in numbers[:index]:
            raise BadInputError(f"{where}[{index}]: repeats {listed[index]!r}; remove it")
    return Choices(_rising(numbers, knob))


def _range(fields: Fields, knob: Knob) -> Choices | Interval:
    for end in ("min", "max"):
        if not fields.has(end):
            fields.finish("values", "min", "max", "step", "scale")
            raise BadInputError(f"{fields.path(end)}: is missing; give values, or min and max")
    low, high = (knob.read(fields.document[end], fields.path(end)) for end in ("min", "max"))
    is_log = fields.take_choice("scale", ("linear", "log"), "linear") == "log"
    if low > high:
        raise BadInputError(f"{fields.path('min')}: {low:g} is above max {high:g}; swap them")
    if is_log and low <= 0:
        raise BadInputError(f"{fields.path('min')}: scale log needs a min above 0, got {low:g}")
    if not fields.has("step"):
        return Interval(low, high, is_whole=knob.read is whole, is_log=is_log)
    step = knob.read(fields.document["step"], fields.path("step"))
    if is_log:
        raise BadInputError(f"{fields.path('step')}: scale log has no step; list the values instead")
    if step <= 0 or (high - low) / step > MOST_VALUES:
        raise BadInputError(
            f"{fields.path('step')}: needs a step above 0 with at most {MOST_VALUES} values; got {step:g}"
        )
    count = math.floor((high - low) / step + 1e-9) + 1
    # Nine digits, as in the quantities: 0.1 + 2 x 0.1 is 0.3.
    return Choices(_rising([round(low + index * step, 9) for index in range(count)], knob))


def _rising(numbers: list[int | float], knob: Knob) -> tuple[int | float, ...]:
    """Sort; where 0 means "no bound" it comes last, so that neighbours in the list are neighbours in effect."""
    return tuple(sorted(numbers, key=lambda each: each or (math.inf if knob.zero_is_unbounded else 0)))
