"""Panels of a figure: all share one time axis and one left margin, so that what happens at once stands in line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.reports import formats
from controller.reports.drawing import Drawing, Scale

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDE_PX = 920.0
NARROW_PX = 360.0
AXIS_PX = 34.0
"""Height of the time axis with its labels."""
TITLE_PX = 20.0
"""Height of the line of words above a panel."""
TIME_UNITS = (("h", 3600), ("min", 60))
LEAST_UNITS = 10
"""A unit is used on a time axis that is longer than so many of it."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The paper of a figure: how wide, and where time runs on it."""

    width: float
    time: Scale

    @property
    def is_narrow(self) -> bool:
        """Whether it is made for a phone."""
        return self.width < 600

    @property
    def left(self) -> float:
        """Where panels begin."""
        return self.time.from_px

    @property
    def right(self) -> float:
        """Where panels end."""
        return self.time.to_px


def sheet(width: float, until_s: float) -> Sheet:
    """Return a sheet whose time runs from 0 to `until_s` seconds."""
    margin = 46.0 if width < 600 else 58.0
    return Sheet(width, Scale(0.0, max(until_s, 1.0), margin, width - 10.0))


def both_sizes(draw: Callable[[Sheet], Drawing], until_s: float) -> str:
    """Return a figure twice, for wide pages and for phones; the page's style shows one of them.

    Scaled down from a wide page, the words of a figure would be too small to read on a phone.
    """
    wide, narrow = (draw(sheet(width, until_s)) for width in (WIDE_PX, NARROW_PX))
    return wide.svg("figure wide") + narrow.svg("figure narrow")


def draw_title(drawing: Drawing, paper: Sheet, top: float, words: Sequence[str], css: str = "") -> None:
    """Write the name of a panel in its colour and, at the right end, what to see in it.

    Args:
        drawing: to write on.
        paper: its sheet; a narrow one has room for the first note only.
        top: of the panel.
        words: the name, then notes.
        css: the class of the column, where the panel is one column's.
    """
    name, *notes = words
    drawing.text(paper.left, top + 14, name, f"title {css}")
    if notes:
        drawing.text(paper.right, top + 14, notes[0] if paper.is_narrow else ", ".join(notes), "note end")


def panel_name(paper: Sheet, column: str, what: str) -> str:
    """Return the name of a column's panel; a phone has no room for what it shows, and needs it less."""
    return formats.title_of(column) if paper.is_narrow else f"{formats.title_of(column)}: {what}"


def draw_values(drawing: Drawing, paper: Sheet, scale: Scale, labels: Sequence[tuple[float, str]]) -> None:
    """Draw hairlines at values with their labels in the left margin."""
    for value, label in labels:
        y = scale.at(value)
        drawing.line((paper.left, y), (paper.right, y), "hair")
        drawing.text(paper.left - 6, y + 4, label, "end")


def draw_time_axis(drawing: Drawing, paper: Sheet, y: float) -> None:
    """Draw the time axis under the last panel of a figure."""
    drawing.line((paper.left, y), (paper.right, y), "axis")
    ticks = paper.time.time_ticks(5 if paper.is_narrow else 11)
    unit, unit_s = next((each for each in TIME_UNITS if paper.time.high > LEAST_UNITS * each[1]), ("s", 1))
    for tick in ticks:
        x = paper.time.at(tick)
        drawing.line((x, y), (x, y + 4), "axis")
        label = f"{tick / unit_s:g}" + (f" {unit}" if tick == ticks[-1] else "")
        drawing.text(min(x, paper.right - 8), y + 17, label, "middle")
