"""What the operator watches, by kopf: its own resources, Knative Services, their Revisions and pods.

kopf lists, watches, notices silent connections and comes back; handlers only pass on what they are told, so that
nothing of kopf's is written on anybody's objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import kopf

from controller.platforms.watched import SERVICE_LABEL
from controller.reconcilers.resources import GROUP, VERSION

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from controller.platforms.watched import Watched


SERVING = ("serving.knative.dev", "v1")


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
    stop: asyncio.Event,
) -> None:
    """Watch until stopped."""
    await kopf.operator(
        registry=registry,
        settings=settings,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        standalone=True,
        stop_flag=stop,
    )
