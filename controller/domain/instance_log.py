"""Rows of instances.csv: the life of each instance of a run, which is what a run costs.

Times are seconds since the start of the run. An instance that never became ready has no `ready_s`, one that still ran
when the run ended no `stopped_s`; both are NaN in a row and an empty cell in the file.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

INSTANCE_COLUMNS = ("instance", "revision", "started_s", "ready_s", "stopped_s", "vcpu", "memory_mb")
LARGEST_MEMORY_MB = 2**40
"""Of an instance, an exabyte; what is beyond it would overflow in the cost."""


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """The life of one instance; it is billed from start to stop."""

    instance: str
    revision: str
    started_s: float
    ready_s: float
    stopped_s: float
    vcpu: float
    memory_mb: int

    def billed_s(self, from_s: float, until_s: float) -> float:
        """Return the seconds of its life inside [from_s, until_s]; idle and starting time count too."""
        stopped = until_s if math.isnan(self.stopped_s) else min(self.stopped_s, until_s)
        return max(0.0, stopped - max(self.started_s, from_s))


def write_instance_log(path: Path, rows: Iterable[InstanceRow]) -> None:
    """Write instances.csv; it appears under its name only when it is whole."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(INSTANCE_COLUMNS)
        for row in rows:
            times = ["" if math.isnan(t) else f"{t:.6f}" for t in (row.started_s, row.ready_s, row.stopped_s)]
            writer.writerow((row.instance, row.revision, *times, row.vcpu, row.memory_mb))
    partial.replace(path)


def read_instance_log(path: Path) -> Sequence[InstanceRow]:
    """Read instances.csv.

    Raises:
        BadInputError: the file is missing, or a line is not a row of it.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != INSTANCE_COLUMNS:
                raise BadInputError(f"{path}: line 1 needs the columns {','.join(INSTANCE_COLUMNS)}")
            return [_row(cells, f"{path}: line {line}") for line, cells in enumerate(reader, start=2)]
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); give the folder of a finished run") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path}: is no table of text; give the folder of a finished run") from error


def _row(cells: list[str], where: str) -> InstanceRow:
    try:
        name, revision, *times, vcpu, memory_mb = cells
        started_s, ready_s, stopped_s = (math.nan if cell == "" else float(cell) for cell in times)
        row = InstanceRow(name, revision, started_s, ready_s, stopped_s, float(vcpu), int(memory_mb))
    except ValueError as error:
        raise BadInputError(f"{where}: needs {len(INSTANCE_COLUMNS)} cells with numbers; got {cells!r:.200}") from error
    if not abs(row.memory_mb) <= LARGEST_MEMORY_MB:
        raise BadInputError(f"{where}: needs a memory_mb up to {LARGEST_MEMORY_MB}; got {memory_mb:.40}")
    return row
