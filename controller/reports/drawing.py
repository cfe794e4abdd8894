"""A small pen for SVG: scales from numbers to pixels, lines, dots and text.

Written by hand rather than with a plotting library so that colours follow the reader's light or dark page through CSS,
text stays text, a run always gives the same bytes, and the picture of a long run stays small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [low, high] to pixels; a logarithmic one takes positive numbers only. Values outside are clipped."""

    low: float
    high: float
    from_px: float
    to_px: float
    is_log: bool = False

    def px(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return pixel positions, same shape as the values."""
        clipped = np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)
        low, high = (math.log(self.low), math.log(self.high)) if self.is_log else (self.low, self.high)
        portion = ((np.log(clipped) if self.is_log else clipped) - low) / ((high - low) or 1.0)
        return self.from_px + portion * (self.to_px - self.from_px)

    def at(self, value: float) -> float:
        """Return the pixel position of one value."""
        return float(self.px(value))

    def ticks(self, most: int) -> list[float]:
        """Return round numbers inside the scale: powers of ten, or steps of 1, 2 or 5 times one."""
        if self.is_log:
            powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            return [10.0**power for power in powers]
        raw = (self.high - self.low) / max(most, 1)
        if raw <= 0:
            return [self.low]
        power = 10.0 ** math.floor(math.log10(raw))
        return self._steps(next(power * each for each in (1, 2, 5, 10) if power * each >= raw * (1 - 1e-9)))

    def time_ticks(self, most: int) -> list[float]:
        """Return instants at steps that people count time in."""
        raw = (self.high - self.low) / max(most, 1)
        return self._steps(next((step for step in TIME_STEPS_S if step >= raw), TIME_STEPS_S[-1]))

    def _steps(self, step: float) -> list[float]:
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(step * each, 9) for each in range(first, last + 1)]


@dataclass(slots=True)
class Drawing:
    """One picture under construction; `label` says in words what it shows."""

    width: float
    height: float
    label: str
    _parts: list[str] = field(default_factory=list[str])

    def line(self, start: tuple[float, float], end: tuple[float, float], css: str) -> None:
        """Draw a straight line."""
        self._parts.append(f'<path class="{css}" d="M{_p(start[0])} {_p(start[1])}L{_p(end[0])} {_p(end[1])}"/>')

    def polyline(self, x: NDArray[np.float64], y: NDArray[np.float64], css: str) -> None:
        """Draw a line through points; it is broken where a point is NaN."""
        known = np.isfinite(x) & np.isfinite(y)
        breaks = np.flatnonzero(~known)
        pieces = zip(np.split(x, breaks), np.split(y, breaks), np.split(known, breaks), strict=True)
        path = "".join(_path(xs[ok], ys[ok]) for xs, ys, ok in pieces if ok.sum() > 1)
        if path:
            self._parts.append(f'<path class="{css}" d="{path}"/>')

    def area(self, x: NDArray[np.float64], y: NDArray[np.float64], floor: float, css: str) -> None:
        """Fill between a line and a horizontal floor."""
        if x.size > 1:
            closed = f"V{_p(floor)}H{_p(float(x[0]))}Z"
            self._parts.append(f'<path class="{css}" d="{_path(x, y)}{closed}"/>')

    def dots(self, x: NDArray[np.float64], y: NDArray[np.float64], css: str) -> None:
        """Draw dots as one path of points with round caps; CSS sets their size by the stroke's width."""
        if x.size:
            path = "".join(f"M{_p(a)} {_p(b)}h0" for a, b in zip(x.tolist(), y.tolist(), strict=True))
            self._parts.append(f'<path class="{css}" d="{path}"/>')

    def rectangle(self, left: float, top: float, size: tuple[float, float], css: str) -> None:
        """Draw a filled rectangle of (width, height)."""
        width, height = (_p(max(each, 0.0)) for each in size)
        self._parts.append(f'<rect class="{css}" x="{_p(left)}" y="{_p(top)}" width="{width}" height="{height}"/>')

    def circle(self, x: float, y: float, radius: float, css: str) -> None:
        """Draw a circle."""
        self._parts.append(f'<circle class="{css}" cx="{_p(x)}" cy="{_p(y)}" r="{radius}"/>')

    def triangle(self, x: float, y: float, css: str) -> None:
        """Draw a small upward triangle with its tip at a point."""
        self._parts.append(f'<path class="{css}" d="M{_p(x)} {_p(y)}l3.5 6h-7z"/>')

    def text(self, x: float, y: float, content: str, css: str = "") -> None:
        """Write text; the class sets its anchor and look. What comes from a run is escaped here."""
        self._parts.append(f'<text class="{css}" x="{_p(x)}" y="{_p(y)}">{escape(content)}</text>')

    def svg(self, css: str = "", *, style: str = "", standalone: bool = False) -> str:
        """Return the picture; a standalone one is a file of its own and carries its style."""
        head = f'xmlns="http://www.w3.org/2000/svg" width="{_p(self.width)}" ' if standalone else ""
        inner = f"<style>{style}</style>" if style else ""
        return (
            f'<svg {head}class="{css}" viewBox="0 0 {_p(self.width)} {_p(self.height)}" role="img" '
            f'aria-label="{escape(self.label)}">{inner}{"".join(self._parts)}</svg>'
        )


def steps(
    at: Sequence[float], values: Sequence[float], until: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the corners of a step line that takes values[i] from at[i] to at[i + 1], the last one until `until`."""
    edges = np.append(np.asarray(at, dtype=np.float64), until)
    return np.repeat(edges, 2)[1:-1], np.repeat(np.asarray(values, dtype=np.float64), 2)


def thin(
    x: NDArray[np.float64], y: NDArray[np.float64], *, most: int, cell_px: float = 1.5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep one dot of each cell of pixels, in cells grown until at most `most` dots are left.

    No region that had a dot loses its last one, so outliers survive however many ordinary dots there are.
    """
    rows = 1 << 20  # more rows than any picture has pixels, so that one whole number names a cell
    while x.size:
        cells = np.unique(np.round(x / cell_px) * rows + np.round(y / cell_px))
        if cells.size <= most:
            return np.floor(cells / rows) * cell_px, np.mod(cells, rows) * cell_px
        cell_px *= 1.25
    return x, y


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    points = [f"{_p(a)} {_p(b)}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    return "M" + "L".join(points)


def _p(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if math.isfinite(value) else "0"
