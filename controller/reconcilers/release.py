"""`tidegate operator --release`: before the operator is removed, services get their own settings back.

Tunings are suspended and marked, sweeps cancelled; the operator that acts does the rest, and where none acts any more,
this process waits for the Lease and acts itself. It ends when nothing of ours holds an object.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from controller.errors import TemporaryError
from controller.platforms.cluster_client import MissingError, connect
from controller.reconcilers.resources import API_VERSION, FINALIZER, RELEASE
from controller.reconcilers.run import operate, stop_by_signal

if TYPE_CHECKING:
    from controller.platforms.cluster_client import Cluster
    from controller.reconcilers.operator_settings import OperatorSettings

PATIENCE_S = 150.0
"""A Lease that nobody renews is free after 15 s; a sweep ends its trial within a minute."""
_POLL_S = 1.0

_log = logging.getLogger(__name__)


async def release_all(settings: OperatorSettings) -> int:
    """Release every tuning and sweep of the served namespaces; returns the exit code.

    Raises:
        TemporaryError: something of ours is still held when patience ends; the message names it.
    """
    cluster = connect()
    stop, held = stop_by_signal(), ["everything"]
    acting = asyncio.create_task(operate(replace(settings, link_port=0, status_port=0), stop))
    try:
        async with asyncio.timeout(PATIENCE_S):
            while held := await _ask(cluster, settings.namespaces):
                _log.info("releasing objects=%s", ", ".join(held))
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise TemporaryError(
            f"release: still held after {PATIENCE_S:.0f} s: {', '.join(held)}; see their status, or remove the "
            f"finalizer {FINALIZER} by hand: the services then keep the settings they have"
        ) from error
    finally:
        stop.set()
        await asyncio.wait({acting})
    _log.info("released")
    return 0


async def _ask(cluster: Cluster, namespaces: tuple[str, ...]) -> list[str]:
    """Ask every object to let go, and return those that still hold."""
    held: list[str] = []
    for plural, change in (
        ("inferencetunings", {"metadata": {"annotations": {RELEASE: "true"}}, "spec": {"suspend": True}}),
        ("sweeps", {"spec": {"cancel": True}}),
    ):
        for each in await _list(cluster, plural, namespaces):
            metadata = each["metadata"]
            if FINALIZER not in (metadata.get("finalizers") or []):
                continue
            held.append(f"{each.get('kind', plural)} {metadata['namespace']}/{metadata['name']}")
            path = f"/apis/{API_VERSION}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
            await cluster.patch(path, change)
    return held


async def _list(cluster: Cluster, plural: str, namespaces: tuple[str, ...]) -> list[dict[str, Any]]:
    paths = [f"namespaces/{each}/" for each in namespaces] or [""]
    found: list[dict[str, Any]] = []
    for each in paths:
        try:
            found += await cluster.list(f"/apis/{API_VERSION}/{each}{plural}")
        except MissingError:  # the definitions are gone already, and our objects with them
            continue
    return found
