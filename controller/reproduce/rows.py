"""What every reproduction hands over: rows of "published, reproduced, ours", and what is required of ours."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence


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

    def to_document(self) -> dict[str, object]:
        """Return the row as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that ours must keep, and the worst that was seen of it.

    Attributes:
        text: what is required, in words.
        worst: the worst value, and `where`.
        bound: what it may be at most.
        where: of the worst value; what is tried at several sizes names all that miss it.
        holds: whether it is kept everywhere.
    """

    text: str
    worst: float
    bound: float
    where: str
    holds: bool

    def to_document(self) -> dict[str, object]:
        """Return it as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reproduction:
    """One paper, done."""

    paper: str
    rows: Sequence[Row]
    requirements: Sequence[Requirement]
    figures: Sequence[str]

    def to_document(self) -> dict[str, object]:
        """Return it as JSON; figures are paths relative to the document."""
        return {
            "paper": self.paper,
            "rows": [row.to_document() for row in self.rows],
            "requirements": [each.to_document() for each in self.requirements],
            "figures": list(self.figures),
        }


@dataclass(frozen=True, slots=True)
class Done:
    """The document of a reproduction and its tables for a terminal."""

    reproduction: Reproduction
    text: str
