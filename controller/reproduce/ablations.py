"""`tidegate reproduce ablations`: ours without one of its parts, on scenes that ask for it; what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.domain.slo import ALLOWED_VIOLATION_RATIO
from controller.reports.whole_file import write_whole
from controller.reproduce import ablation_buffer
from controller.reproduce.ablation_scenes import FULL, PARTS, SCENES, TRIED, designs
from controller.reproduce.figure_parts import ShareScale, dot_rows
from controller.reproduce.rehearsal import rehearse
from controller.reproduce.rows import Done, Reproduction, Requirement, Row
from controller.reproduce.table import requirement_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from controller.reproduce.rehearsal import Rehearsed

PAPER = "ablations"
STEPS = sum(1 + len(parts) for parts in TRIED.values()) + len(ablation_buffer.TRIED)
"""What the progress counts."""
FIGURE = "ablations.svg"
WITHOUT = "without the part named"
MARKS = {FULL: "tidegate", WITHOUT: "defaults"}
SCALES = (
    ShareScale("cost over the whole loop's", -0.5, 0.1, (-0.4, -0.3, -0.2, -0.1, 0.0), (0.0, "axis")),
    ShareScale(
        "windows violated (from 20 % on at the edge)",
        0.0,
        0.2,
        (0.0, 0.05, 0.1, 0.15, 0.2),
        (ALLOWED_VIOLATION_RATIO, "bound"),
    ),
)
NOISE = 0.01
"""A part must earn more than this, of the cost or of the windows."""


@dataclass(frozen=True, slots=True)
class Ablated:
    """One design on one scene.

    Attributes:
        scene: its name.
        design: the whole loop, or what it is without.
        usd_per_million: all instances, their starts and idle time included.
        window_violation_ratio: share of windows.
        changes: hot, warm and slow ones.
    """

    scene: str
    design: str
    usd_per_million: float
    window_violation_ratio: float
    changes: int

    @property
    def broken(self) -> float:
        """Share of windows that violate beyond what the objective allows."""
        return max(0.0, self.window_violation_ratio - ALLOWED_VIOLATION_RATIO)


def reproduce(folder: Path, *, seed: int, tell: Callable[[str], None]) -> Done:
    """Run each scene with the whole loop and without the parts that it asks for, and write the figure.

    Args:
        folder: that exists.
        seed: of arrivals and noise.
        tell: called before each of `STEPS`.

    Raises:
        BadInputError: the folder cannot be written to.
    """
    found: list[Ablated] = []
    known = designs()
    for scene, make in SCENES.items():
        met = make(seed)
        for design in (FULL, *TRIED[scene]):
            tell(f"{scene}: {design}")
            found.append(_outcome(scene, design, rehearse(met, known[design])))
    found += _buffered(seed, tell)
    write_whole(folder / FIGURE, ablation_figure(found))
    required = requirements(found)
    text = f"{ablation_table(found)}\n\n{requirement_table(required)}"
    return Done(Reproduction(PAPER, list(_rows(found)), required, [FIGURE]), text)


def loss(without: Ablated, full: Ablated) -> float:
    """Return what taking a part out costs; below 0 where it pays.

    The objective comes first, as in a decision: where either breaks it, the share of windows by which it is broken
    more; else the money, relatively.
    """
    if without.broken or full.broken:
        return without.broken - full.broken
    return without.usd_per_million / full.usd_per_million - 1


def requirements(found: Sequence[Ablated]) -> list[Requirement]:
    """Return for each part whether it earns something on some scene; the value is the largest loss, negated."""
    full = _whole(found)
    required: list[Requirement] = []
    for part in PARTS:
        losses = [(loss(each, full[each.scene]), each.scene) for each in found if each.design == part]
        largest, where = max(losses)
        text = f"{part}: gain at the scene that needs it"
        required.append(Requirement(text, 0.0 - largest, -NOISE, where, holds=largest >= NOISE))
    return required


def ablation_table(found: Sequence[Ablated]) -> str:
    """Return every design by scene, with its difference from the whole loop."""
    full = _whole(found)
    lines: list[str] = []
    for each in found:
        if each.design == FULL:
            lines.append(f"{each.scene:<32}{'USD a mio.':>12}{'windows viol.':>15}{'changes':>9}{'costs':>9}")
        share = f"{100 * each.window_violation_ratio:.2f} %"
        lost = "" if each.design == FULL else f"{100 * loss(each, full[each.scene]):+.1f} %"
        lines.append(f"  {each.design:<30}{each.usd_per_million:>12.4g}{share:>15}{each.changes:>9}{lost:>9}".rstrip())
    lines.append("  costs: more USD, or more windows beyond the objective where one breaks it")
    return "\n".join(lines)


def ablation_figure(found: Sequence[Ablated]) -> str:
    """Return the text of an SVG: a row for each part that was taken out, cost on the left and windows on the right."""
    full = _whole(found)
    rows: dict[str, dict[str, tuple[float, float]]] = {}
    for each in found:
        if each.design == FULL:
            continue
        whole = full[each.scene]
        rows[f"{each.scene}: {each.design.removeprefix('without ')}"] = {
            FULL: (0.0, whole.window_violation_ratio),
            WITHOUT: (each.usd_per_million / whole.usd_per_million - 1, each.window_violation_ratio),
        }
    return dot_rows("Cost and windows violated, with and without a part, by scene.", MARKS, SCALES, rows)


def _whole(found: Sequence[Ablated]) -> dict[str, Ablated]:
    """Return what the whole loop did, by scene."""
    return {each.scene: each for each in found if each.design == FULL}


def _buffered(seed: int, tell: Callable[[str], None]) -> Iterator[Ablated]:
    scene, name = ablation_buffer.BufferScene(seed), ablation_buffer.SCENE
    for design in ablation_buffer.TRIED:
        tell(f"{name}: {design}")
        found = scene.verdict(design)
        usd = 1e6 * found.cost_per_request_usd
        yield Ablated(name, design, usd, found.window_violation_ratio, len(found.changes) - 1)


def _outcome(scene: str, design: str, run: Rehearsed) -> Ablated:
    return Ablated(scene, design, run.usd_per_million, run.window_violation_ratio, len(run.changes))


def _rows(found: Sequence[Ablated]) -> Iterator[Row]:
    full = _whole(found)
    for each in found:
        if each.design == FULL:
            continue
        whole = full[each.scene]
        pairs = (
            ("cost", "USD a million", each.usd_per_million, whole.usd_per_million),
            ("windows violated", "%", 100 * each.window_violation_ratio, 100 * whole.window_violation_ratio),
            ("changes of setting", "1", float(each.changes), float(whole.changes)),
        )
        for quantity, unit, without, ours in pairs:
            yield Row(quantity=quantity, unit=unit, design=each.design, reproduced=without, ours=ours, trace=each.scene)
