"""Which settings a grid visits and which a random search draws; pure, so a resumed sweep goes on identically."""

from __future__ import annotations

import math
from itertools import islice, product
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.serving_config import ServingConfig
from controller.errors import BadInputError
from controller.sweeps.parameters import Choices, Interval, Parameter, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_DRAWS = 200
"""Draws in a row that may repeat an earlier setting before the space counts as exhausted."""
LARGEST_GRID = 10_000


def is_possible(setting: Setting) -> bool:
    """Return whether the settings go together; one that asks for more least than most instances does not."""
    try:
        ServingConfig.from_document(setting, where="setting")
    except BadInputError:
        return False
    return True


def grid_values(domain: Choices | Interval) -> tuple[int | float, ...]:
    """Return the values a grid takes: each choice; on a log scale min, its doublings, and max; else whole numbers.

    Raises:
        BadInputError: an interval of durations or decimals on a linear scale, or too long.
    """
    match domain:
        case Choices(values):
            return values
        case Interval(low, high, _, is_log) if is_log:
            doublings = (low * 2**power for power in range(math.ceil(math.log2(high / low) - 1e-9)))
            return (*doublings, high)
        case Interval(low, high, is_whole, _) if is_whole and high - low < LARGEST_GRID:
            return tuple(range(int(low), int(high) + 1))
        case _:
            raise BadInputError("strategy Grid needs a step, or values, for this range")


def grid_settings(parameters: Sequence[Parameter]) -> list[Setting]:
    """Return every possible combination; the last parameter varies fastest.

    Raises:
        BadInputError: a range without steps, more than 10 000 combinations, or none that is possible.
    """
    axes: list[tuple[int | float, ...]] = []
    for index, parameter in enumerate(parameters):
        try:
            axes.append(grid_values(parameter.domain))
        except BadInputError as error:
            raise BadInputError(f"spec.parameters[{index}] ({parameter.name}): {error}") from error
    if math.prod(map(len, axes)) > LARGEST_GRID:
        raise BadInputError(
            f"spec.parameters: the grid has {math.prod(map(len, axes))} settings, more than {LARGEST_GRID}; "
            "choose fewer values, or strategy Random or Optuna"
        )
    names = [parameter.setting for parameter in parameters]
    settings = [dict(zip(names, values, strict=True)) for values in product(*axes)]
    possible = [setting for setting in settings if is_possible(setting)]
    if not possible:
        raise BadInputError("spec.parameters: no combination is possible; minScale is above maxScale in all of them")
    return possible


def random_setting(parameters: Sequence[Parameter], taken: Sequence[Setting], *, seed: int) -> Setting | None:
    """Return a possible setting that is not taken yet; None when none is found.

    Args:
        parameters: of the sweep.
        taken: settings of the earlier trials.
        seed: of the sweep; together with the number of trials it decides the draw.
    """
    rng = np.random.default_rng([seed, len(taken)])
    return next((each for each in islice(_draws(parameters, rng), MOST_DRAWS) if _is_new(each, taken)), None)


def _is_new(setting: Setting, taken: Sequence[Setting]) -> bool:
    return setting not in taken and is_possible(setting)


def _draws(parameters: Sequence[Parameter], rng: np.random.Generator) -> Iterator[Setting]:
    while True:
        yield {parameter.setting: _draw(parameter.domain, rng) for parameter in parameters}


def _draw(domain: Choices | Interval, rng: np.random.Generator) -> int | float:
    if isinstance(domain, Choices):
        return domain.values[int(rng.integers(len(domain.values)))]
    if domain.is_log:
        value = float(np.exp(rng.uniform(np.log(domain.low), np.log(domain.high))))
    elif domain.is_whole:
        return int(rng.integers(int(domain.low), int(domain.high) + 1))
    else:
        value = float(rng.uniform(domain.low, domain.high))
    # Six digits of a second or of a target are finer than any effect; rounding must not leave the interval.
    rounded = round(value) if domain.is_whole else round(value, 6)
    return min(max(rounded, domain.low), domain.high)


def nearest(domain: Choices | Interval, value: float) -> int | float:
    """Return the value of a domain that is nearest to a wanted one; the lower of two equally near ones."""
    if isinstance(domain, Choices):
        return min(domain.values, key=lambda each: abs(each - value))
    clipped = min(max(value, domain.low), domain.high)
    return round(clipped) if domain.is_whole else clipped
