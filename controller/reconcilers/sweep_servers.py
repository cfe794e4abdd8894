"""The servers of a service that a Sweep measures: what they are told by the link, and what they say to it."""

from __future__ import annotations

import contextlib
import json
import math
from typing import TYPE_CHECKING, Any

from controller.platforms.cluster_client import MissingError
from controller.platforms.owned import hot_settings_map
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import HOT_SETTINGS, Outbox, hot_settings_of
from controller.telemetry.reception import Desk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from controller.domain.serving_config import ServingConfig
    from controller.platforms.cluster_client import Cluster
    from controller.platforms.watched import Key, PodSeen
    from controller.reconcilers.sweep_before import Before

REFUSES_S = 3.0
"""A server that still has the old settings so long after a word of its that was answered with new ones refuses them."""


class Servers:
    """The link to the servers of one service.

    Args:
        cluster: for the ConfigMap that tells servers at their start.
        key: of the service.
        wall: the wall clock.
    """

    def __init__(self, cluster: Cluster, key: Key, wall: Callable[[], float]) -> None:
        self._map, self._wall = hot_settings_map(cluster, *key), wall
        self.outbox, self._merge = Outbox(), HeartbeatMerge()
        self.desk = Desk(self._merge, self.outbox, wall)
        self._told_at_s = math.inf
        self._answered_at_s: dict[str, float] = {}
        """When each pod was first heard since it was told."""
        self._accepted = math.inf

    async def look_before(self) -> tuple[dict[str, Any] | None, tuple[Mapping[str, Any], ...]]:
        """Return what servers are told now, and who owns the ConfigMap that says it.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        try:
            found = await self._map.read()
        except MissingError:
            return None, ()
        return _hot_of(self._map.text_of(found)), tuple(found["metadata"].get("ownerReferences") or ())

    async def resume(self) -> None:
        """Go on with what servers were told, under the generation that they know.

        Raises:
            TemporaryError: the cluster does not answer.
        """
        self._accepted = math.inf
        if self.outbox.current() is not None:
            return
        told, _ = await self.look_before()
        if told is not None:
            self.outbox.restore(int(told["generation"]), {name: told[name] for name in HOT_SETTINGS})
            self._told_at_s = self._wall()

    def tell(self, config: ServingConfig) -> None:
        """Give servers these hot settings with the answers to their next words."""
        self.outbox.set(hot_settings_of(config))
        self._told_at_s = self._wall()
        self._answered_at_s.clear()

    def expect_traffic(self) -> None:
        """From now on requests are those of the trial."""
        self._accepted = self._merge.counters().get("accepted", 0.0)

    def has_traffic(self) -> bool:
        """Return whether servers have reported requests of the trial."""
        return self._merge.counters().get("accepted", 0.0) > self._accepted

    def unconfirmed(self, pods: Sequence[PodSeen]) -> list[PodSeen]:
        """Return the pods that have not reported the generation of our hot settings."""
        if self.outbox.current() is None:
            return []
        words = {each.heartbeat.instance: each.heartbeat for each in reversed(self._merge.instances())}
        wanted = self.outbox.generation
        return [pod for pod in pods if pod.name not in words or words[pod.name].generation < wanted]

    def why_refused(self, pods: Sequence[PodSeen], config: ServingConfig) -> str:
        """Return what a server says by going on with its old settings; empty where none does."""
        words = {each.heartbeat.instance: each for each in reversed(self._merge.instances())}
        for pod in self.unconfirmed(pods):
            said = words.get(pod.name)
            if said is None:
                continue
            started = said.heartbeat.workers_started
            if 0 < started < config.workers:
                return f"pod {pod.name} refuses workers {config.workers}: it started {started}, and takes at most these"
            if said.heard_at_s < self._told_at_s:
                continue
            if said.heard_at_s > self._answered_at_s.setdefault(pod.name, said.heard_at_s) + REFUSES_S:
                return (
                    f"pod {pod.name} goes on with hot settings of generation {said.heartbeat.generation} instead of "
                    f"{self.outbox.generation}: it has refused them; its log says why"
                )
        return ""

    def tell_again(self, before: Before) -> bool:
        """Give servers what a tuning told them before; returns whether there was anything."""
        if before.hot is None:
            return False
        self.outbox.set({name: before.hot[name] for name in HOT_SETTINGS})
        return True

    async def give_back(self, before: Before) -> None:
        """Leave the ConfigMap to whoever had it before, or delete it.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        if before.hot is None:
            await self._map.delete()
            return
        with contextlib.suppress(MissingError):
            text = self._map.text_of(await self._map.read())
            await self._map.write(text, [dict(each) for each in before.owners])


def _hot_of(text: str) -> dict[str, Any] | None:
    """Return the hot settings that a ConfigMap says; None for what is none."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return None
    is_whole = isinstance(found, dict) and set(found) == {"generation", *HOT_SETTINGS}
    return found if is_whole and isinstance(found["generation"], int) else None
