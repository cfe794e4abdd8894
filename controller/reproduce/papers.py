"""The papers that can be reproduced, and ours without its parts, each behind one function: one or all can be run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.reproduce import ablations, batch, jbmp, parallel
from controller.reproduce.batch_contest import bouts
from controller.reproduce.jbmp_contest import Effort
from controller.reproduce.overheads import with_overheads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.reproduce.rows import Done

EFFORT = Effort()


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asks for: where to write, what to draw from, and how many hours of a day are judged."""

    folder: Path
    seed: int
    hours: int


@dataclass(frozen=True, slots=True)
class Paper:
    """One published system, or ours without its parts.

    Attributes:
        title: who and where.
        steps: that it tells of.
        reproduce: runs it; the second argument is called before each step.
    """

    title: str
    steps: int
    reproduce: Callable[[Order, Callable[[str], None]], Done]


def _batch(order: Order, tell: Callable[[str], None]) -> Done:
    return batch.reproduce(order.folder, bouts(order.seed, order.hours), seed=order.seed, tell=tell)


def _parallel(order: Order, tell: Callable[[str], None]) -> Done:
    return parallel.reproduce(order.folder, seed=order.seed, tell=tell)


def _jbmp(order: Order, tell: Callable[[str], None]) -> Done:
    done = jbmp.reproduce(order.folder, EFFORT, seed=order.seed, tell=tell)
    return with_overheads(done, "JBMP")


def _ablations(order: Order, tell: Callable[[str], None]) -> Done:
    return ablations.reproduce(order.folder, seed=order.seed, tell=tell)


PAPERS: dict[str, Paper] = {
    batch.PAPER: Paper("Ali et al., SC 2020", batch.STEPS, _batch),
    parallel.PAPER: Paper("Barrak and Ksontini, 2025", parallel.STEPS, _parallel),
    jbmp.PAPER: Paper("Cai et al., APSys 2023", EFFORT.steps, _jbmp),
    ablations.PAPER: Paper("ours without one of its parts", ablations.STEPS, _ablations),
}
