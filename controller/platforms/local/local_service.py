"""The service as the admin interface sees it: state out, settings in with the price of each change."""

from __future__ import annotations

import os
from time import monotonic, time
from typing import TYPE_CHECKING
from uuid import uuid4

from controller.domain.instance_log import write_instance_log
from controller.domain.serving_config import PRICE_OF_CHANGE
from controller.platforms.local.server_environment import server_environment, write_hot_settings
from controller.platforms.protocol import dearest_price

if TYPE_CHECKING:
    from controller.domain.instance_log import InstanceRow
    from controller.domain.serving_config import ServingConfig
    from controller.platforms.local.activator_settings import ActivatorSettings
    from controller.platforms.local.front import Front
    from controller.platforms.local.instance_keeper import InstanceKeeper


class LocalService:
    """Answers what the admin interface asks.

    Args:
        settings: of the activator.
        front: requests.
        keeper: instances.
        workers: that each instance starts.
    """

    def __init__(self, settings: ActivatorSettings, front: Front, keeper: InstanceKeeper, *, workers: int) -> None:
        self.generation = settings.generation
        self._settings, self._front, self._keeper = settings, front, keeper
        self._workers = workers
        self._boot_id = uuid4().hex
        self._origin_s = monotonic() - (time() - settings.started_at_s)

    def state(self) -> dict[str, object]:
        """Return everything that can be watched; times in seconds since the run's start unless named otherwise."""
        now_s, front, keeper = monotonic(), self._front, self._keeper
        return {
            "schema": 1,
            "boot_id": self._boot_id,
            "at_s": now_s - self._origin_s,
            "started_at_s": self._settings.started_at_s,
            "clock": {"monotonic_s": now_s, "wall_s": time()},
            "bins": front.arrivals.to_document(now_s),
            "config": keeper.config.to_document(),
            "generation": self.generation,
            "revision": keeper.revision_name(keeper.revision),
            "ready": len(keeper.ready),
            "starting": len(keeper.starting),
            "failure": keeper.failure,
            "queue": {"length": front.waiting, "in_parallel": front.in_parallel},
            "counters": front.counters,
            "scale": {
                "desired": keeper.decision.desired,
                "panic": keeper.decision.panic,
                "excess_burst_capacity": keeper.decision.excess_burst_capacity,
                "why": keeper.decision.why,
            },
            "instances": [
                {"instance": each.name, "state": each.state, "pid": each.pid, "in_flight": each.in_flight}
                for each in keeper.living
                if each.state != "stopped"
            ],
        }

    def instances(self) -> list[InstanceRow]:
        """Return every instance so far, oldest first."""
        keeper, shape = self._keeper, self._settings.shape
        return [each.row(keeper.revision_name(each.revision), shape, self._origin_s) for each in keeper.instances]

    def apply(self, config: ServingConfig, generation: int | None) -> dict[str, object]:
        """Change the setting now and return the price, the changes, the generation and the revision."""
        keeper = self._keeper
        changes = config.changes_from(keeper.config)
        price = dearest_price(changes)
        # More workers than a server has started need a new server.
        if config.workers > self._workers:
            price, self._workers = "slow", config.workers
        if any(PRICE_OF_CHANGE[name] == "hot" for name in changes) or (generation or 0) > self.generation:
            self.generation = max(self.generation + 1, generation or 0)
        write_hot_settings(self._settings.run_folder, config, self.generation)
        keeper.set_environment(server_environment(self._settings, config, os.environ, workers=self._workers))
        revision = keeper.revision
        keeper.apply(config)
        if price == "slow" and keeper.revision == revision:
            keeper.begin_revision()
        return {
            "price": price,
            "changes": {name: list(pair) for name, pair in changes.items()},
            "generation": self.generation,
            "revision": keeper.revision_name(keeper.revision),
        }

    def write_instances(self) -> None:
        """Write instances.csv into the run's folder."""
        write_instance_log(self._settings.run_folder / "instances.csv", self.instances())
