"""How often settings may change: so many slow changes an hour, so many warm ones a minute (pure)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.domain.serving_config import PriceOfChange

HOUR_S, MINUTE_S = 3600.0, 60.0


class ChangeLimits:
    """Remembers when changes were made."""

    def __init__(self, *, slow_per_hour: int = 2, warm_per_minute: int = 6) -> None:
        self._most: dict[PriceOfChange, tuple[int, float]] = {}
        self._made: dict[PriceOfChange, deque[float]] = {"slow": deque(), "warm": deque()}
        self.set(slow_per_hour, warm_per_minute)

    def set(self, slow_per_hour: int, warm_per_minute: int) -> None:
        """Change the limits; what was made before still counts."""
        self._most = {"slow": (slow_per_hour, HOUR_S), "warm": (warm_per_minute, MINUTE_S)}

    def permits(self, price: PriceOfChange) -> bool:
        """Return whether changes of this price may be made at all."""
        return price == "hot" or self._most[price][0] > 0

    def allowed(self, now_s: float) -> set[PriceOfChange]:
        """Return the prices of changes that may be made now; hot ones always may."""
        free: set[PriceOfChange] = {"hot"}
        for price, (most, period_s) in self._most.items():
            made = self._made[price]
            while made and made[0] <= now_s - period_s:
                made.popleft()
            if len(made) < most:
                free.add(price)
        return free

    def to_document(self) -> dict[str, list[float]]:
        """Return when changes were made, as JSON."""
        return {price: [round(at_s, 1) for at_s in made] for price, made in self._made.items()}

    def restore(self, document: Mapping[str, object]) -> None:
        """Go on from what `to_document` returned; what is no such document is nothing."""
        for price, made in self._made.items():
            found = document.get(price)
            if isinstance(found, list):
                made.extend(float(each) for each in cast("list[object]", found) if isinstance(each, int | float))

    def made(self, price: PriceOfChange, now_s: float) -> None:
        """Count a change."""
        if price in self._made:
            self._made[price].append(now_s)
