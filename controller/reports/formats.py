"""How numbers are written in a report: units that suit their size, and a word where there is no number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.reports.journal import Changes, SettingValue

NONE = "–"
NARROW_SPACE = "\u202f"
UNBOUNDED_AT_ZERO = {"max_scale": "unbounded", "container_concurrency": "unbounded"}
TITLES = {"tidegate": "tidegate", "defaults": "untuned defaults", "best_fixed": "best fixed in hindsight"}


def title_of(column: str) -> str:
    """Return what readers call a column."""
    return TITLES.get(column, column)


def seconds(value: float) -> str:
    """Write a latency with two or three digits: 8.3 ms, 210 ms, 1.25 s."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "no answer"
    if 0 < value < 0.9995:
        milliseconds = value * 1000
        return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def bound(value: float) -> str:
    """Write an objective's bound as it was given: 1 s, 0.25 s."""
    return f"{value:g} s"


def instant(value: float) -> str:
    """Write a moment of a run: 12.3 s, or 1:02:03 in a long one."""
    if abs(value) < 600:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def usd(value: float) -> str:
    """Write money with three digits at least: $0.412, $13.90; never with an exponent."""
    if not math.isfinite(value):
        return NONE
    size = abs(value)
    if size >= 10 or size == 0:
        return f"${value:,.2f}"
    return f"${value:.{min(12, 2 - math.floor(math.log10(size)))}f}"


def share(value: float) -> str:
    """Write a share in per cent; 100 % only when it is all, 0 % only when it is none."""
    if not math.isfinite(value):
        return NONE
    percent = round(value * 100, 1)
    if (percent >= 100 and value < 1) or (percent <= 0 and value > 0):
        percent = math.copysign(99.9 if value > 0.5 else 0.1, value)
    return f"{percent:g} %"


def count(value: float) -> str:
    """Write a whole number with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", NARROW_SPACE) if math.isfinite(value) else NONE


def amount(value: float) -> str:
    """Write a number with one decimal, and none from 100 on."""
    if not math.isfinite(value):
        return NONE
    return count(value) if abs(value) >= 100 else f"{value:.1f}"


def factor(value: float) -> str:
    """Write a ratio: 1.12 ×."""
    return f"{value:.2f} ×" if math.isfinite(value) else NONE


def rate(value: float) -> str:
    """Write a rate of requests: 96 /s."""
    return f"{value:.3g} /s" if math.isfinite(value) else NONE


def listed(words: Sequence[str]) -> str:
    """Join words as prose does: a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def setting(name: str, value: SettingValue) -> str:
    """Write the value of a setting; 0 where Knative means no bound is said so."""
    if value is None:
        return NONE
    if value == 0 and name in UNBOUNDED_AT_ZERO:
        return UNBOUNDED_AT_ZERO[name]
    return f"{value:g}" if isinstance(value, float) else str(value)


def changes(changed: Changes) -> list[str]:
    """Write each change of a decision: max_batch_size 8 → 16, max_scale unbounded → 1."""
    return [
        f"{name} {setting(name, old)} → {setting(name, new)}" if old is not None else f"{name} {setting(name, new)}"
        for name, (old, new) in changed.items()
    ]
