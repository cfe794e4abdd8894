"""The lives of a service's pods while a trial runs: what it cost, and how often something had to start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.domain.instance_log import InstanceRow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controller.domain.serving_config import InstanceShape
    from controller.platforms.watched import PodSeen


class PodLives:
    """Remembers pods, since the cluster forgets them; times are on the wall clock.

    Args:
        shape: what each of them is billed for.
    """

    def __init__(self, shape: InstanceShape) -> None:
        self._shape = shape
        self._rows: dict[str, InstanceRow] = {}
        self._is_gone: dict[str, float] = {}

    def look(self, pods: Iterable[PodSeen], now_s: float) -> None:
        """Take note of the pods that are there now; a pod that was there and is not any more has ended.

        A pod that is about to go when it is first seen was the trial before's.
        """
        there = {pod.uid: pod for pod in pods if not pod.is_done and (pod.uid in self._rows or not pod.is_leaving)}
        for uid in self._rows.keys() - there.keys():
            self._is_gone.setdefault(uid, now_s)
        for uid, pod in there.items():
            # A pod that leaves is not ready any more, but it was.
            known = self._rows.get(uid)
            ready_s = pod.ready_s if pod.ready_s is not None else math.nan if known is None else known.ready_s
            self._rows[uid] = InstanceRow(
                pod.name, pod.revision, pod.created_s, ready_s, math.nan, self._shape.vcpu, self._shape.memory_mb
            )

    def rows(self) -> list[InstanceRow]:
        """Return all pods so far."""
        return [
            InstanceRow(
                row.instance,
                row.revision,
                row.started_s,
                row.ready_s,
                self._is_gone.get(uid, math.nan),
                row.vcpu,
                row.memory_mb,
            )
            for uid, row in self._rows.items()
        ]
