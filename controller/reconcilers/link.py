"""The operator's reception: a heartbeat belongs to the service of the pod whose token it shows."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from controller.errors import TemporaryError
from controller.platforms.cluster_client import ForbiddenError, MissingError
from controller.platforms.watched import SERVICE_LABEL
from controller.telemetry.identity import TokenIdentity
from controller.telemetry.pace import HEARTBEATS_PER_S, Pace
from controller.telemetry.reception import RefusedError, TooFastError, bearer_token

if TYPE_CHECKING:
    from controller.platforms.watched import Key
    from controller.reconcilers.world import World
    from controller.telemetry.identity import PodIdentity
    from controller.telemetry.reception import Desk

STARTING_S = 20.0
"""So long after its start, or ours, a pod without a desk may have one in a moment: a model is often installed together
with its tuning. Told "not tuned", it would be silent for long."""

ABSENT_S, MOST_ABSENT = 30.0, 4096


class PodReception:
    """Finds the desk of a pod.

    Args:
        world: of the operator.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._began_s = time.time()
        self._absent: dict[str, float] = {}
        self._pace = Pace()
        self._identity = TokenIdentity(self._keys, now=time.time)

    async def find(self, authorization: str) -> Desk | None:
        """See `Reception.find`.

        Raises:
            RefusedError: no token of a pod that is there.
            TooFastError: the pod sends much oftener than a server would.
            TemporaryError: the cluster does not answer.
        """
        counted = self._world.metrics.heartbeats
        try:
            who = await self._identity.verify(bearer_token(authorization))
            self._check_pace(who)
            key = await self._service_of(who)
        except RefusedError:
            counted["refused"] += 1
            raise
        except TooFastError:
            counted["too-fast"] += 1
            raise
        if key is None:
            counted["untuned"] += 1
            return None
        desk = self._world.desks.get(key)
        if desk is None and time.time() - max(self._began_s, self._created_s(who)) < STARTING_S:
            raise TemporaryError("heartbeat: this pod or the operator has just started; no tuning is known yet")
        counted["untuned" if desk is None else "merged"] += 1
        return None if desk is None else replace(desk, instance=who.pod)

    def _created_s(self, who: PodIdentity) -> float:
        found = self._world.watched.find_pod(who.uid)
        return found[1].created_s if found is not None else 0.0

    def _check_pace(self, who: PodIdentity) -> None:
        if not self._pace.allows(who.uid, time.monotonic()):
            pod = f"pod {who.namespace}/{who.pod} sends more than {HEARTBEATS_PER_S:g} a second"
            raise TooFastError(f"heartbeat: {pod}; servers send one, see what else uses its token")

    async def _service_of(self, who: PodIdentity) -> Key | None:
        """Return the Knative Service of a pod; None for a pod of none.

        Raises:
            RefusedError: there is no such pod any more: its token outlives it by minutes.
            TemporaryError: the cluster does not answer.
        """
        found = self._world.watched.find_pod(who.uid)
        if found is not None:
            return found[0]
        if self._absent.get(who.uid, 0.0) > time.monotonic():
            return None
        # A server's first word may come before the watch tells of its pod.
        try:
            pod = await self._world.cluster.get(f"/api/v1/namespaces/{who.namespace}/pods/{who.pod}")
        except MissingError as error:
            raise RefusedError("heartbeat: the token is of a pod that is gone") from error
        except ForbiddenError:
            return self._is_absent(who)
        if pod["metadata"]["uid"] != who.uid:
            raise RefusedError("heartbeat: the token is of a pod that is gone")
        self._world.watched.take_pod(pod, is_gone=False)
        service = (pod["metadata"].get("labels") or {}).get(SERVICE_LABEL)
        return (who.namespace, service) if service else self._is_absent(who)

    def _is_absent(self, who: PodIdentity) -> None:
        """Remember a pod of no service, or of a namespace that is not served, so that the API server has its rest."""
        while len(self._absent) >= MOST_ABSENT:
            del self._absent[next(iter(self._absent))]
        self._absent[who.uid] = time.monotonic() + ABSENT_S

    async def _keys(self) -> bytes:
        return (await self._world.cluster.text("/openid/v1/jwks")).encode()
