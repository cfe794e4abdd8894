"""The settings that may be tried: a grid per knob inside the user's bounds and what the platform can hold.

Knobs are searched by their place on the grid, so that doubling a batch is one step and a warm start is always a point
that the sampler could have drawn itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.domain.serving_config import PRICE_OF_CHANGE, REAL, ServingConfig
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import optuna

    from controller.domain.serving_config import InstanceShape

GRID: dict[str, tuple[float, ...]] = {
    "max_batch_size": (1, 2, 4, 8, 16, 32, 64),
    "batch_tokens": (64, 128, 256, 512, 1024, 2048, 4096),
    "max_queue_delay_s": (0.0, 0.002, 0.005, 0.01, 0.02, 0.05),
    "workers": (1, 2, 3, 4, 6, 8),
    "min_scale": (0, 1, 2, 3, 4, 6, 8, 12, 16),
    "max_scale": (1, 2, 3, 4, 6, 8, 12, 16, 20, 32, 0),
    "target": (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0),
}
"""Values in rising order of what they allow; a max_scale of 0 is no bound and therefore last."""
FENCES = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1000)
"""Bounds of requests in parallel; Knative takes 1000 at most."""
Bounds = dict[str, tuple[float, float]]
"""Lowest and highest value by knob."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Values by knob; all other settings keep what `fixed` says.

    Attributes:
        values: of each knob that is searched, in grid order, two or more.
        fixed: the setting that gives the rest.
    """

    values: Mapping[str, tuple[float, ...]]
    fixed: ServingConfig

    def suggest(self, trial: optuna.Trial) -> ServingConfig:
        """Draw a setting; every knob of the grid is a parameter of the trial."""
        return self.setting({name: trial.suggest_int(name, 0, len(grid) - 1) for name, grid in self.values.items()})

    def setting(self, places: Mapping[str, int]) -> ServingConfig:
        """Return the setting at these places of the grid.

        A min_scale above max_scale is lowered to it, but not below the least that may be tried, which a user may have
        bounded: then max_scale is raised, unless all that may be tried of it is lower.
        """
        chosen = {name: self.values[name][place] for name, place in places.items()}
        found = {name: value if name in REAL else int(value) for name, value in chosen.items()}
        most = found.get("max_scale", self.fixed.max_scale)
        if most and found.get("min_scale", self.fixed.min_scale) > most:
            least = int(self.values.get("min_scale", (self.fixed.min_scale,))[0])
            if most < least:
                enough = (int(each) for each in self.values.get("max_scale", ()) if each == 0 or each >= least)
                found["max_scale"] = next(enough, most)
                most = min(least, found["max_scale"] or least)
            found["min_scale"] = most
        return replace(self.fixed, **found)

    def places(self, config: ServingConfig) -> dict[str, int]:
        """Return the places of the grid that are nearest to a setting."""
        return {name: _nearest(grid, _rank(name, getattr(config, name))) for name, grid in self._ranked().items()}

    def one_at_a_time(self, config: ServingConfig) -> list[ServingConfig]:
        """Return settings that differ from this one in a single knob: at its lowest, highest and middle value.

        Every knob comes once before any comes again, so a search that must stop early has tried them all.
        """
        here = self.places(config)
        return [
            self.setting({**here, name: place})
            for turn in range(3)
            for name, grid in self.values.items()
            if (place := (0, len(grid) - 1, len(grid) // 2)[turn]) != here[name]
        ]

    def _ranked(self) -> dict[str, list[float]]:
        return {name: [_rank(name, value) for value in grid] for name, grid in self.values.items()}


_UNBOUNDED = 1e9


def _with_ends(name: str, grid: tuple[float, ...], bounds: tuple[float, float] | None) -> tuple[float, ...]:
    """Return the values of a knob with the ends of the user's bounds among them, in rising order."""
    if bounds is None:
        return grid
    low, high = bounds if name in REAL else (math.ceil(bounds[0]), int(min(bounds[1], _UNBOUNDED)))
    ends = {each for each in (low, high) if 0 < each < _UNBOUNDED}
    return tuple(sorted({*grid, *ends}, key=lambda each: _rank(name, each)))


def _rank(name: str, value: float) -> float:
    return _UNBOUNDED if name == "max_scale" and value == 0 else value


def _nearest(grid: list[float], value: float) -> int:
    return min(range(len(grid)), key=lambda place: abs(grid[place] - value))


def search_space(  # noqa: PLR0913  what there is, what it can hold, and what users say
    present: ServingConfig,
    *,
    shape: InstanceShape,
    workers: int,
    bounds: Bounds,
    held: frozenset[str] = frozenset(),
    may_hold: bool = True,
    may_roll: bool = False,
) -> SearchSpace:
    """Return what may be tried from a present setting.

    Args:
        present: gives the settings that are not searched (fences, queue length, memory).
        shape: of an instance; bounds the scale.
        workers: worker processes that a server has started; more cannot be active.
        bounds: of the user; their ends may be tried beside the grid, and a knob with one value left is fixed to it.
        held: knobs that keep their present value whatever the bounds say.
        may_hold: whether more instances may be kept for traffic to come. Not in answer to an alarm: they would be
            ready when the burst is over, and then cost.
        may_roll: whether the bound of requests in parallel may be raised; it is never lowered, and none is introduced.

    Raises:
        BadInputError: an unknown knob, or bounds with nothing inside that is possible here.
    """
    unknown = set(bounds) - set(PRICE_OF_CHANGE)
    if unknown:
        raise BadInputError(f"bounds: unknown setting {min(unknown)!r}; known are {', '.join(GRID)}")
    kept = shape.max_instances if may_hold else max(present.min_scale, int(bounds.get("min_scale", (0, 0))[0]))
    limits = {"workers": (1, workers), "min_scale": (0, kept), "max_scale": (1, shape.max_instances)}
    values: dict[str, tuple[float, ...]] = {}
    alone: dict[str, float] = {}
    for name, grid in GRID.items():
        if name in held:
            continue
        low, high = bounds.get(name, (0, _UNBOUNDED))
        least, most = limits.get(name, (0, _UNBOUNDED))
        # No bound on the scale is a value of its own: it may be tried unless the user set a bound.
        inside = tuple(
            each
            for each in _with_ends(name, grid, bounds.get(name))
            if low <= _rank(name, each) <= high and (least <= each <= most or (name == "max_scale" and each == 0))
        )
        if not inside:
            held_by = f"{least:g} to {most:g} is possible here" if most < _UNBOUNDED else "nothing lies between"
            raise BadInputError(f"bounds: {name} from {low:g} to {high:g}: {held_by}; widen them")
        if len(inside) > 1:
            values[name] = inside
        else:
            alone.update((name, each if name in REAL else int(each)) for each in inside)
    fence = present.container_concurrency
    if may_roll and fence and "container_concurrency" not in held:
        _, highest = bounds.get("container_concurrency", (0, _UNBOUNDED))
        higher = [each for each in FENCES if fence < each <= highest]
        if higher:
            values["container_concurrency"] = (fence, *higher)
    # A bound of the user on one end of the scale moves the other end, where the present setting is in its way.
    if alone.get("min_scale", 0) > present.max_scale > 0:
        alone.setdefault("max_scale", alone["min_scale"])
    if present.min_scale > alone.get("max_scale", 0) > 0:
        alone.setdefault("min_scale", alone["max_scale"])
    return SearchSpace(values, replace(present, **alone))
