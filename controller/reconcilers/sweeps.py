"""All Sweeps and who measures them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from controller.reconcilers.sweep import Campaign
from controller.reconcilers.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.reconcilers.world import Name, World


class Sweeps(Workers):
    """A campaign for each; load Jobs outlive it, and whoever comes after reads what they measured.

    Args:
        world: of the operator.
        image: of the load generator; empty for none.
        wall: the wall clock.
    """

    def __init__(self, world: World, image: str, wall: Callable[[], float] = time.time) -> None:
        def begin(name: Name, document: dict[str, Any]) -> Campaign:
            campaign = Campaign(name, document, world, image, wall)
            campaign.hold_at_once()
            return campaign

        super().__init__("sweep", begin)
