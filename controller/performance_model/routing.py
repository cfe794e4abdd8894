"""Which ready instance a request goes to: the least loaded, as the activator of one machine does it, or Knative's way.

Source: Knative Serving 1.21, pkg/activator/net/throttler.go and lb_policy.go. Its activator takes the first instance
with room where containerConcurrency is 1 to 3, the next one in turn with room above that, and where there is no bound
the less loaded of two drawn at random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from controller.performance_model.pod import Pod

Routing = Literal["least_loaded", "knative"]
MOST_FOR_FIRST = 3
"""Largest containerConcurrency at which Knative fills the first instance before the second."""


class Router(Protocol):
    """Chooses among ready instances."""

    def choose(self, ready: Sequence[Pod]) -> Pod | None:
        """Return an instance with room, or None if all are full."""
        ...


class LeastLoaded:
    """The instance that holds fewest requests; of equals the oldest."""

    def choose(self, ready: Sequence[Pod]) -> Pod | None:
        """See `Router.choose`."""
        if len(ready) == 1:
            return ready[0] if ready[0].has_room() else None
        best = None
        for pod in ready:
            if (best is None or pod.held < best.held) and pod.has_room():
                best = pod
        return best


class KnativeRouter:
    """As Knative's activator; see the module."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._next = 0

    def choose(self, ready: Sequence[Pod]) -> Pod | None:
        """See `Router.choose`."""
        if not ready:
            return None
        bound = ready[0].bound
        if not bound:
            return self._of_two(ready)
        count = len(ready)
        first = self._next % count if self._next < count and bound > MOST_FOR_FIRST else 0
        for step in range(count):
            place = (first + step) % count
            if ready[place].has_room():
                self._next = place + 1
                return ready[place]
        return None

    def _of_two(self, ready: Sequence[Pod]) -> Pod:
        count = len(ready)
        if count == 1:
            return ready[0]
        one, other = (0, 1) if count == 2 else self._rng.choice(count, 2, replace=False).tolist()
        if ready[one].held == ready[other].held:
            return ready[one if self._rng.random() < 0.5 else other]
        return ready[one] if ready[one].held < ready[other].held else ready[other]


def router(routing: Routing, rng: np.random.Generator) -> Router:
    """Return the router of that name; `rng` draws where the rule draws."""
    return LeastLoaded() if routing == "least_loaded" else KnativeRouter(rng)
