"""What the pictures of all reproductions share: legend, rows of dots on two scales, and the style of a file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from controller.reports.drawing import Drawing, Scale
from controller.reports.panels import AXIS_PX, WIDE_PX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROW_PX, HEAD_PX, NAMES_PX, GAP_PX = 30.0, 64.0, 190.0, 40.0
DOT_PX, WIDE_DOT_PX = 4.5, 7.5


@dataclass(frozen=True, slots=True)
class ShareScale:
    """One of the two scales of `dot_rows`, shares on both.

    Attributes:
        words: above it.
        low, high: its ends; what lies beyond is drawn at the edge.
        ticks: shares with a hairline and their per cent.
        line: share of an upright line, and its style.
    """

    words: str
    low: float
    high: float
    ticks: tuple[float, ...]
    line: tuple[float, str]


def dot_rows(
    words: str,
    marks: dict[str, str],
    scales: tuple[ShareScale, ShareScale],
    rows: Mapping[str, Mapping[str, tuple[float, float]]],
    *,
    wide: str = "",
) -> str:
    """Return the text of an SVG: a row for each name, and on it a dot for each design on either scale.

    Args:
        words: what the picture shows, for those who do not see it.
        marks: class of the colour by design; the first is drawn on top.
        scales: left and right.
        rows: share on the left and on the right, by design, by the name of the row.
        wide: design with a larger dot, so that it is seen below another that lies on it.
    """
    bottom = HEAD_PX + ROW_PX * len(rows)
    drawing = Drawing(WIDE_PX, bottom + AXIS_PX, words)
    drawing.rectangle(0, 0, (WIDE_PX, bottom + AXIS_PX), "sheet")
    draw_legend(drawing, 20, marks)
    middle = NAMES_PX + (WIDE_PX - NAMES_PX - GAP_PX) / 2
    spans = ((NAMES_PX, middle), (middle + GAP_PX, WIDE_PX - 20))
    drawn = [Scale(each.low, each.high, *span) for each, span in zip(scales, spans, strict=True)]
    for each, scale in zip(scales, drawn, strict=True):
        drawing.text(scale.from_px, 50, each.words, "note")
        draw_shares(drawing, scale, (HEAD_PX - 6, bottom), each.ticks)
        at, css = each.line
        drawing.line((scale.at(at), HEAD_PX - 6), (scale.at(at), bottom), css)
    for place, (name, designs) in enumerate(rows.items()):
        y = HEAD_PX + ROW_PX * (place + 0.5)
        drawing.text(NAMES_PX - 16, y + 4, name, "end")
        for design, css in reversed(marks.items()):
            for scale, share in zip(drawn, designs[design], strict=True):
                drawing.circle(scale.at(share), y, WIDE_DOT_PX if design == wide else DOT_PX, f"mark {css}")
    return standalone(drawing)


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
