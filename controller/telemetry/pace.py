"""How often each sender may be heard: a bucket of tokens for each, kept only while it is not full."""

from __future__ import annotations

HEARTBEATS_PER_S = 5.0
"""From one pod. Servers send one a second, once more where a kept connection breaks, and one more as they drain."""
BURST = 10
"""At once: room for what a stalled node or network held back."""
FULL_AFTER_S = BURST / HEARTBEATS_PER_S


class Pace:
    """Lets each sender `BURST` times at once and `HEARTBEATS_PER_S` in the long run; a refusal costs nothing."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}
        """Tokens left and when, s, the longest silent sender first."""

    def __len__(self) -> int:
        return len(self._buckets)

    def allows(self, sender: str, now_s: float) -> bool:
        """Return whether this sender may be heard now, on any clock that only goes forward."""
        left, at_s = self._buckets.pop(sender, (BURST, now_s))
        left = min(BURST, left + (now_s - at_s) * HEARTBEATS_PER_S)
        is_allowed = left >= 1
        self._buckets[sender] = (left - 1 if is_allowed else left), now_s
        while next(iter(self._buckets.values()))[1] <= now_s - FULL_AFTER_S:
            del self._buckets[next(iter(self._buckets))]
        return is_allowed
