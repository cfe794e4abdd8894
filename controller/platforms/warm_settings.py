"""Scale settings on the Revisions of one service: written, verified, kept there, and taken off again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from controller.errors import TemporaryError
from controller.platforms.cluster_client import ClusterCallError, ForbiddenError, InvalidError
from controller.platforms.knative_reading import annotations_of, template_annotations
from controller.platforms.overlay import Overlay
from controller.platforms.place import SERVING
from controller.platforms.revision_annotations import warm_annotations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controller.domain.serving_config import ServingConfig
    from controller.platforms.place import Place

AUTOSCALING = "/apis/autoscaling.internal.knative.dev/v1alpha1/namespaces"
VERIFY_S = 3.0
_POLL_S = 0.2
POLICY = "admission webhook"
"""How a refusal begins that comes of what is asked, and not of who asks."""


class WarmSettings:
    """What lies over the Revisions of one service.

    Args:
        place: of the service.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self.overlay = Overlay()

    @property
    def is_possible(self) -> bool:
        """Whether nothing speaks against it that the autoscaler follows a Revision's annotations."""
        return self._place.facts.has_warm is not False

    def notice(self) -> None:
        """Look for what somebody else has written, so that it does not go under in what we write next."""
        for name, revision in self._place.live_revisions().items() if self.overlay.wanted else ():
            self.overlay.look(name, annotations_of(revision), template_annotations(self._place.document))

    def want(self, config: ServingConfig, knobs: Iterable[str]) -> None:
        """Want these settings from now on; `enforce` writes them."""
        self.overlay.want(warm_annotations(config, knobs), template_annotations(self._place.document))

    async def enforce(self) -> None:
        """Put the overlay on every live Revision where it is not; what the cluster refuses is held from then on.

        Raises:
            TemporaryError: the cluster does not take it, or its autoscaler does not follow.
        """
        for name, revision in self._place.live_revisions().items() if self.overlay.wanted else ():
            on_it, template = annotations_of(revision), template_annotations(self._place.document)
            # What is refused is held, and so missing no more: the rest is tried again at once.
            while missing := self.overlay.look(name, on_it, template):
                if await self._is_taken(name, missing):
                    break
            if self.overlay.wanted:
                self.overlay.wrote(name)

    async def _is_taken(self, revision: str, values: dict[str, str]) -> bool:
        """Write annotations; return whether the cluster took them. What it refuses is held from then on."""
        try:
            await self._annotate(revision, values)
        except (InvalidError, ForbiddenError) as error:
            if isinstance(error, ForbiddenError) and POLICY not in str(error):
                raise  # a right that is lacking may be granted
            self.overlay.refused(values, str(error))
            return False
        return True

    async def release(self) -> None:
        """Give Revisions the template's values back.

        Raises:
            TemporaryError: the cluster does not take it.
        """
        restoring = self.overlay.restoring()
        for name in self._place.live_revisions() if restoring else ():
            await self._write(name, restoring)
        self.overlay = Overlay()

    async def _annotate(self, revision: str, values: dict[str, str]) -> None:
        await self._write(revision, values)
        facts = self._place.facts
        if facts.has_warm is None:
            facts.has_warm = await self._has_reached(revision, values)
            if not facts.has_warm:
                await self._write(revision, self.overlay.restoring())
                self.overlay = Overlay()
                raise TemporaryError(
                    f"revision {revision}: its autoscaler does not follow annotations (Knative before 1.21); "
                    "scale settings are left alone"
                )

    async def _write(self, revision: str, values: Mapping[str, str | None]) -> None:
        path = f"{SERVING}/{self._place.namespace}/revisions/{revision}"
        change = {name: value or None for name, value in values.items()}
        found = await self._place.cluster.patch(path, {"metadata": {"annotations": change}})
        # The watch tells of it in a moment; until then a second look must not take our own change for a difference.
        known, metadata = self._place.seen.revisions.get(revision), found.get("metadata") or {}
        if known is not None:
            known["metadata"]["annotations"] = metadata.get("annotations") or {}
            known["metadata"]["resourceVersion"] = metadata.get("resourceVersion")

    async def _has_reached(self, revision: str, values: Mapping[str, str]) -> bool:
        """Return whether a Revision's annotations are its autoscaler's within some seconds."""
        path = f"{AUTOSCALING}/{self._place.namespace}/podautoscalers/{revision}"
        for _ in range(round(VERIFY_S / _POLL_S)):
            await asyncio.sleep(_POLL_S)
            try:
                annotations = annotations_of(await self._place.cluster.get(path))
            except ClusterCallError as error:
                if error.status in (403, 404):
                    return True  # it cannot be looked at: nothing speaks against it
                raise
            if all(annotations.get(name, "") == value for name, value in values.items()):
                return True
        return False
