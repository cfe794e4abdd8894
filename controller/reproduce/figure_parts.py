"""What the pictures of all reproductions share: legend, axis of shares, and the style of a file of its own."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.reports.drawing import Drawing, Scale


def draw_legend(drawing: Drawing, left: float, marks: Mapping[str, str]) -> None:
    """Draw a line of dots with their names at the top.

    Args:
        drawing: to draw on.
        left: where it begins.
        marks: class of the colour by name.
    """
    for name, css in marks.items():
        drawing.circle(left, 20, 5, f"mark {css}")
        drawing.text(left + 10, 24, name)
        left += 36 + 6.2 * len(name)


def draw_shares(drawing: Drawing, scale: Scale, span_px: tuple[float, float], ticks: Sequence[float]) -> None:
    """Draw upright hairlines at shares, from the top to the bottom of a span, with their per cent below."""
    top, bottom = span_px
    for tick in ticks:
        drawing.line((scale.at(tick), top), (scale.at(tick), bottom), "hair")
        drawing.text(scale.at(tick), bottom + 16, f"{100 * tick:g} %", "middle")


def standalone(drawing: Drawing) -> str:
    """Return the text of an SVG that is a file of its own."""
    style = (files("controller.reports") / "ink.css").read_text(encoding="utf-8")
    return drawing.svg(style=f"{style}.sheet{{fill:var(--paper)}}.late-mark{{--c:var(--late)}}", standalone=True)
