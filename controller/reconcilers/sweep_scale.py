"""The warm settings of a target of a Sweep: scale, target and window, laid over the newest revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.domain.serving_config import PRICE_OF_CHANGE
from controller.errors import TrialError
from controller.platforms.knative_reading import annotations_of, template_annotations
from controller.platforms.revision_annotations import ANNOTATION_OF, WARM_KNOBS, taken_together, warm_annotations

if TYPE_CHECKING:
    from controller.domain.serving_config import ServingConfig
    from controller.platforms.knative import KnativePlatform

BOUNDS = ("min_scale", "max_scale", "activation_scale")


class SweepScale:
    """The scale settings of one target.

    Args:
        platform: of the target.
        settings: that the Sweep varies, under the names of ServingConfig.
    """

    def __init__(self, platform: KnativePlatform, settings: frozenset[str]) -> None:
        self._platform = platform
        self._is_varied = any(PRICE_OF_CHANGE[name] == "warm" for name in settings)
        # The bounds always: every trial begins with the same pods.
        self._knobs = (*BOUNDS, *(name for name in WARM_KNOBS if name in settings and name not in BOUNDS))
        self.laid: ServingConfig | None = None
        """What was laid last; None where nothing was."""

    def resume(self) -> None:
        """Take what lies over the revision and is not the template's for ours: of an operator before us.

        Raises:
            TemporaryError: the service is not seen.
        """
        platform = self._platform
        if platform.overlay.wanted:
            return
        template, found = template_annotations(platform.service), annotations_of(platform.revision)
        ours = {name: found.get(name, "") for name in (ANNOTATION_OF[knob] for knob in self._knobs)}
        laid = {name: value for name, value in ours.items() if value != template.get(name, "")}
        platform.overlay.want(laid, template)
        platform.overlay.wrote(platform.revision["metadata"]["name"])

    async def lay(self, config: ServingConfig) -> None:
        """Lay the scale settings over the newest revision.

        Raises:
            TrialError: its autoscaler does not follow them.
            TemporaryError: the cluster does not take it.
        """
        warm = self._platform.warm
        if not warm.is_possible:
            if self._is_varied:
                raise TrialError("scale settings of a revision do not reach its autoscaler; it needs Knative 1.21")
            return
        warm.overlay.held.clear()
        config = taken_together(config)
        warm.want(config, self._knobs)
        warm.overlay.forget_written()  # what differs now is our own new wish and nobody's drift
        await self._platform.enforce()
        self.laid = config

    def why_not_in_force(self) -> str:
        """Return what somebody else has made of what was laid; empty where it lies as it did."""
        found = annotations_of(self._platform.revision)
        laid = {} if self.laid is None else warm_annotations(self.laid, self._knobs)
        for name, wanted in laid.items():
            if found.get(name, "") != wanted:
                return f"somebody set {name} to {found.get(name) or 'nothing'} while the trial ran"
        return ""
