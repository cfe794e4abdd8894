"""All InferenceTunings and who tunes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.reconcilers.inference_tuning import Tuner
from controller.reconcilers.workers import Workers

if TYPE_CHECKING:
    from controller.reconcilers.world import World


class Tunings(Workers):
    """A tuner for each; it looks at every turn for an older one of its target.

    Args:
        world: of the operator.
    """

    def __init__(self, world: World) -> None:
        super().__init__("tuning", lambda name, document: Tuner(name, document, world))
        self._world = world

    async def take(self, document: dict[str, Any], *, is_gone: bool) -> None:
        """Take note of a tuning as it is now."""
        name = (document["metadata"]["namespace"], document["metadata"]["name"])
        known = self._world.tunings.get(name)
        if not is_gone:
            self._world.tunings[name] = document
        elif known is not None and known["metadata"]["uid"] == document["metadata"]["uid"]:
            del self._world.tunings[name]
        await super().take(document, is_gone=is_gone)
