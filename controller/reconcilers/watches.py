"""What the operator watches, by kopf: its own resources, Knative Services, their Revisions and pods.

kopf lists, watches, notices silent connections and comes back; handlers only pass on what they are told, so that
nothing of kopf's is written on anybody's objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, cast

import kopf
from kopf._cogs.structs.references import Insights  # what `kopf.operator` takes; it has no public name

from controller.errors import TemporaryError
from controller.platforms.watched import SERVICE_LABEL
from controller.reconcilers.resources import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from controller.platforms.watched import Watched

SERVING = ("serving.knative.dev", "v1")
OWN = frozenset({"inferencetunings", "sweeps"})
LOOK_S = 5.0

_log = logging.getLogger(__name__)


def registry_of(
    watched: Watched,
    takers: Mapping[str, Callable[..., Awaitable[None]]],
    on_service: Callable[[dict[str, Any]], Awaitable[None]],
) -> kopf.OperatorRegistry:
    """Return what to watch.

    Args:
        watched: takes services, revisions and pods.
        on_service: is told of each Knative Service that is there.
        takers: take our own resources, by plural, as `take(document, is_gone=…)`.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry, id="login")  # type: ignore[arg-type]
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    def passing(plural: str, take: Callable[..., Awaitable[None]]) -> None:
        @kopf.on.event(GROUP, VERSION, plural, registry=registry, id=plural)  # type: ignore[arg-type]
        async def seen(event: Any, **_: Any) -> None:
            await take(dict(cast("dict[str, Any]", event["object"])), is_gone=event["type"] == "DELETED")

        del seen

    for plural, take in takers.items():
        passing(plural, take)

    @kopf.on.event(*SERVING, "services", registry=registry, id="services")  # type: ignore[arg-type]
    async def service_seen(event: Any, **_: Any) -> None:
        watched.take_service(event["object"], is_gone=event["type"] == "DELETED")
        if event["type"] != "DELETED":
            await on_service(event["object"])

    @kopf.on.event(*SERVING, "revisions", registry=registry, id="revisions")  # type: ignore[arg-type]
    def revision_seen(event: Any, **_: Any) -> None:
        watched.take_revision(event["object"], is_gone=event["type"] == "DELETED")

    @kopf.on.event("", "v1", "pods", registry=registry, id="pods")  # type: ignore[arg-type]
    def pod_seen(event: Any, **_: Any) -> None:
        watched.take_pod(event["object"], is_gone=event["type"] == "DELETED")

    del login, service_seen, revision_seen, pod_seen
    return registry


class Patience:
    """Seconds between attempts, without an end."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1.0, 2.0, 3.0)
        while True:
            yield 5.0


def settings_of(*, is_clusterwide: bool) -> kopf.OperatorSettings:
    """Return how to watch."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # Pods of other things are never sent to us.
    settings.watching.label_selectors["pods"] = SERVICE_LABEL
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 10.0
    # An API server that is away for long comes back; what was learned is lost only by giving up.
    settings.networking.error_backoffs = Patience()
    # Without rights in the whole cluster neither namespaces nor definitions can be watched.
    settings.scanning.disabled = not is_clusterwide
    return settings


async def watch(
    registry: kopf.OperatorRegistry,
    settings: kopf.OperatorSettings,
    namespaces: tuple[str, ...],
    *,
    unserved: Callable[[], Awaitable[set[str]]],
    stop: asyncio.Event,
) -> None:
    """Watch until stopped.

    Args:
        registry: what to watch.
        settings: how.
        namespaces: that are served; none named: all.
        unserved: returns the plurals of our own kinds that the API server does not serve now.
        stop: when to end.
    """
    while not stop.is_set():
        insights, end = Insights(), asyncio.Event()
        watching = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=settings,
                clusterwide=not namespaces,
                namespaces=list(namespaces),
                standalone=True,
                insights=insights,
                stop_flag=end,
            )
        )
        others = [asyncio.create_task(each) for each in (stop.wait(), _until_one_is_missed(insights, unserved))]
        done, _ = await asyncio.wait([watching, *others], return_when=asyncio.FIRST_COMPLETED)
        end.set()
        for each in others:
            each.cancel()
        for ended in await asyncio.gather(*others, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
        await watching
        if watching in done:
            return


async def _until_one_is_missed(insights: Insights, unserved: Callable[[], Awaitable[set[str]]]) -> None:
    """Return when a kind of ours is served and not watched.

    kopf asks what is served when a definition changes. One that is made again right after its end is served a moment
    later than that, and kopf never asks again.
    """
    await insights.ready_resources.wait()
    while True:
        await asyncio.sleep(LOOK_S)
        missing = OWN - {each.plural for each in insights.watched_resources if each.group == GROUP}
        with contextlib.suppress(TemporaryError):
            if missing and (found := missing - await unserved()):
                _log.warning("watches_begin_anew missed=%s", ",".join(sorted(found)))
                return
