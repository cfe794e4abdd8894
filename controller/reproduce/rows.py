"""What every reproduction hands over: rows of "published, reproduced, ours", and what is required of ours."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One quantity of one design.

    Attributes:
        quantity: what was measured or computed.
        unit: of the three numbers.
        design: the system that `reproduced` is of.
        batch_size: B, where one is fixed.
        published: lowest and highest figure that was published, None where there is none.
        reproduced: of the design, by us.
        ours: of tidegate under the same circumstances.
        kind: how the two came about.
        trace: arrivals, where traffic was replayed.
        service: whose service times.
    """

    quantity: str
    unit: str
    design: str
    batch_size: int | None = None
    published: tuple[float, float] | None = None
    reproduced: float | None = None
    ours: float | None = None
    kind: Literal["simulated", "executed"] = "simulated"
    trace: str | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that ours must keep, and the worst that was seen of it.

    Attributes:
        text: what is required, in words.
        worst: the worst value, and `where`.
        bound: what it may be at most.
        where: of the worst value; where the requirement is missed, all places that miss it, the worst first.
        holds: whether it is kept everywhere.
    """

    text: str
    worst: float
    bound: float
    where: str
    holds: bool


def at_most(text: str, bound: float, values: Mapping[str, float]) -> Requirement:
    """Return a requirement that no value exceeds the bound.

    Args:
        text: what is required, in words.
        bound: what each value may be at most.
        values: what was seen, by the name of its place; at least one.
    """
    missed = sorted((name for name, value in values.items() if value > bound), key=lambda name: -values[name])
    worst = max(values, key=lambda name: values[name])
    return Requirement(text, values[worst], bound, "; ".join(missed) if missed else worst, holds=not missed)


@dataclass(frozen=True, slots=True)
class Reproduction:
    """One paper, done."""

    paper: str
    rows: Sequence[Row]
    requirements: Sequence[Requirement]
    figures: Sequence[str]

    def to_document(self) -> dict[str, object]:
        """Return it as JSON; figures are paths relative to the document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Done:
    """The document of a reproduction and its tables for a terminal."""

    reproduction: Reproduction
    text: str
