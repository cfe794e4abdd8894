"""`tidegate operator`: wires the parts, waits for its turn, watches and tunes until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import signal
import socket
import time
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from controller.domain.quantities import quantity
from controller.errors import TemporaryError
from controller.monitor.prometheus_api import PrometheusApi
from controller.optimizer.search_process import SearchProcess
from controller.platforms.cluster_client import ClusterCallError, connect
from controller.platforms.place import ClusterFacts
from controller.platforms.watched import Watched
from controller.reconcilers.authority import Bundle, ensure_authority
from controller.reconcilers.crds import unserved
from controller.reconcilers.events import Events
from controller.reconcilers.lease import NAME as LEASE_NAME
from controller.reconcilers.lease import Lease, LostLeaseError
from controller.reconcilers.link import PodReception
from controller.reconcilers.operator_metrics import OperatorMetrics
from controller.reconcilers.resync import Resync, followed_of
from controller.reconcilers.status_server import StatusServer
from controller.reconcilers.sweeps import Sweeps
from controller.reconcilers.tunings import Tunings
from controller.reconcilers.watches import registry_of, settings_of, watch
from controller.reconcilers.world import World
from controller.telemetry.server import TelemetryServer
from controller.telemetry.tls import is_due, load, server_context

if TYPE_CHECKING:
    import ssl

    from controller.platforms.cluster_client import Cluster
    from controller.reconcilers.operator_settings import OperatorSettings
    from controller.telemetry.tls import Authority, Issued

CERTIFICATE_EVERY_S = 3600.0
FACTS_EVERY_S = 60.0
WARM_AGAIN_TURNS = 10

_log = logging.getLogger(__name__)


def stop_by_signal() -> asyncio.Event:
    """Return what SIGINT and SIGTERM set from now on."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def operate(settings: OperatorSettings, stop: asyncio.Event) -> int:
    """Run one operator until it is stopped; returns the exit code.

    Raises:
        TidegateError: it cannot start.
    """
    cluster, metrics = connect(), OperatorMetrics()
    acting = asyncio.Event()
    status = StatusServer(metrics, acting.is_set)
    await status.start(settings.host, settings.status_port)
    lease = Lease(cluster, settings.namespace, LEASE_NAME, holder=settings.instance or socket.gethostname())
    try:
        if not await _unless_stopped(lease.acquire(), stop):
            return 0
        _log.info("acting namespaces=%s", settings.watch_namespaces or "all")
        return await _act(settings, cluster, metrics, lease, acting=acting, stop=stop)
    finally:
        with contextlib.suppress(TemporaryError):
            await lease.release()
        await status.aclose()


async def _unless_stopped(work: object, stop: asyncio.Event) -> bool:
    """Wait for some work or for the stop; returns whether the work was done."""
    task = asyncio.ensure_future(work)  # type: ignore[arg-type]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for each in (task, stopping):
        if not each.done():
            each.cancel()
    return task.done() and not task.cancelled()


async def _act(  # noqa: PLR0913  the parts of one life
    settings: OperatorSettings,
    cluster: Cluster,
    metrics: OperatorMetrics,
    lease: Lease,
    *,
    acting: asyncio.Event,
    stop: asyncio.Event,
) -> int:
    authority = await ensure_authority(cluster, settings.namespace)
    facts = ClusterFacts({})
    await _look_at_cluster(cluster, facts)
    searches = SearchProcess(is_early=False)
    session = aiohttp.ClientSession()
    prometheus = PrometheusApi(session, settings.prometheus_url) if settings.prometheus_url else None
    world = World(
        cluster=cluster,
        watched=Watched(),
        facts=facts,
        events=Events(cluster),
        searches=searches,
        metrics=metrics,
        bundle=Bundle(cluster, authority),
        prometheus=prometheus,
    )
    names = [f"{settings.service_name}.{settings.namespace}.svc{domain}" for domain in ("", ".cluster.local")]
    issued = authority.issue(names, time.time())
    context = server_context(issued)
    link = TelemetryServer(PodReception(world))
    await link.start(settings.host, settings.link_port, ssl_context=context)
    tunings = Tunings(world)
    sweeps = Sweeps(world, settings.loadtest_image)
    own = {"inferencetunings": tunings, "sweeps": sweeps}
    takers = {plural: workers.take for plural, workers in own.items()}
    registry = registry_of(world.watched, takers, world.bundle.follow)
    resync = Resync(cluster, followed_of(world.watched, own), settings.namespaces)
    how = settings_of(is_clusterwide=not settings.namespaces)
    watching = watch(registry, how, settings.namespaces, unserved=partial(unserved, cluster), stop=stop)
    acting.set()
    tasks = [
        asyncio.create_task(watching, name="watches"),
        asyncio.create_task(lease.keep(), name="lease"),
        asyncio.create_task(_renew(context, authority, issued, names), name="certificate"),
        asyncio.create_task(_keep_looking(world), name="facts"),
        asyncio.create_task(resync.keep(), name="resync"),
        asyncio.create_task(stop.wait(), name="stop"),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and task.exception() is not None:
                _log.error("operator_ends part=%s why=%s", task.get_name(), task.exception())
                if not isinstance(task.exception(), LostLeaseError):
                    raise TemporaryError(f"{task.get_name()}: {task.exception()}") from task.exception()
                return 1
        return 0
    finally:
        acting.clear()
        stop.set()
        await sweeps.aclose()
        await tunings.aclose()
        await link.aclose()
        for task in tasks:
            if task.get_name() != "watches":
                task.cancel()
        await asyncio.wait(tasks, timeout=10)
        await session.close()
        searches.close()


async def _renew(context: ssl.SSLContext, authority: Authority, issued: Issued, names: list[str]) -> None:
    """Show a new certificate before the old one ends, without a restart."""
    while True:
        await asyncio.sleep(CERTIFICATE_EVERY_S)
        if is_due(issued.certificate, time.time()):
            issued = authority.issue(names, time.time())
            load(context, issued)


async def _keep_looking(world: World) -> None:
    for turn in itertools.count(1):
        await asyncio.sleep(FACTS_EVERY_S)
        world.searches.rest_if_idle()
        if turn % WARM_AGAIN_TURNS == 0 and world.facts.has_warm is False:
            world.facts.has_warm = None  # Knative may have been upgraded, or was only slow
        await _look_at_cluster(world.cluster, world.facts)


async def _look_at_cluster(cluster: Cluster, facts: ClusterFacts) -> None:
    """Read what holds for the whole cluster; what may not be read keeps its default."""
    with contextlib.suppress(ClusterCallError):
        found = await cluster.get("/api/v1/namespaces/knative-serving/configmaps/config-autoscaler")
        facts.autoscaler = {name: each for name, each in (found.get("data") or {}).items() if not name.startswith("_")}
    with contextlib.suppress(ClusterCallError):
        nodes = await cluster.list("/api/v1/nodes")
        cores = sum(
            quantity((node["status"].get("allocatable") or {}).get("cpu")) or 0.0
            for node in nodes
            if not (node.get("spec") or {}).get("unschedulable")
        )
        facts.cores = cores or math.inf
