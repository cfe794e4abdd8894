"""The seam between a decision and what carries it out: a platform applies settings and reports its instances.

Two platforms ship with the first slice, `local_processes` and `simulated`; both pass tests/contracts/test_platforms.py.
Times are seconds since the start of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from controller.domain.serving_config import PRICE_OF_CHANGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.domain.instance_log import InstanceRow
    from controller.domain.serving_config import (
        AutoscalerSettings,
        InstanceShape,
        PriceOfChange,
        ServerLaw,
        ServingConfig,
    )

DEAREST_FIRST: tuple[PriceOfChange, ...] = ("slow", "warm", "hot")
Changes = dict[str, tuple[int | float | None, int | float | None]]


@dataclass(frozen=True, slots=True)
class Applied:
    """What one call of `apply` changed: each setting as (old, new), and the dearest price among them."""

    price: PriceOfChange | None
    """None when the wanted setting was already in force."""
    changes: Changes
    generation: int
    """Of the hot settings after the change."""
    revision: str


@dataclass(frozen=True, slots=True)
class PlatformState:
    """The platform now."""

    at_s: float
    ready: int
    starting: int
    config: ServingConfig
    revision: str
    front_arrivals: Mapping[str, object]
    """Arrivals at the activator, those at zero included: the `bins` and `clock` of a heartbeat, with a `boot_id`."""


def dearest_price(changes: Mapping[str, object]) -> PriceOfChange | None:
    """Return the price of a change of these settings; None for no change."""
    prices = {PRICE_OF_CHANGE[name] for name in changes}
    return next((price for price in DEAREST_FIRST if price in prices), None)


class Platform(Protocol):
    """A place where instances run."""

    server_law: ServerLaw

    @property
    def autoscaler(self) -> AutoscalerSettings: ...  # noqa: D102  what is not tuned

    @property
    def shape(self) -> InstanceShape: ...  # noqa: D102  of one instance

    async def start(self, config: ServingConfig) -> None: ...  # noqa: D102  the class says it: begin with this setting

    async def apply(self, config: ServingConfig) -> Applied: ...  # noqa: D102  hot at once, warm at a tick, slow: new revision

    async def advance(self, until_s: float) -> float: ...  # noqa: D102  sleep, or move virtual time; returns now

    async def instances(self) -> Sequence[InstanceRow]: ...  # noqa: D102  every instance so far, oldest first

    async def state(self) -> PlatformState: ...  # noqa: D102  counts and settings now

    async def aclose(self) -> None: ...  # noqa: D102  end what this platform started
