"""`tidegate detect`: changes of rate or dispersion in a list of counts, as they would have been noticed online."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.detector import Detector
from controller.commands.output import print_json, print_table
from controller.domain.documents import read_numbers
from controller.errors import BadInputError

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from controller.arrivals.alarm import Alarm


LARGEST_COUNT = 1e9
SHORTEST_BIN_S = 1e-6
"""No clock counts finer, and rates per second must stay finite."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `detect`."""
    parser.add_argument("--counts", type=Path, required=True, metavar="FILE", help="arrivals in each bin, one a line")
    parser.add_argument("--bin-s", type=float, required=True, help="width of a bin in seconds")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(arguments: argparse.Namespace) -> int:
    """Read the counts, run the detector over them, print; return the exit code.

    Raises:
        BadInputError: a flag or file that cannot be used.
    """
    if not SHORTEST_BIN_S <= arguments.bin_s < math.inf:
        raise BadInputError(
            f"--bin-s: needs a positive number of seconds of at least {SHORTEST_BIN_S:g}, got {arguments.bin_s}"
        )
    counts = read_counts(arguments.counts)
    detector = Detector(bin_s=arguments.bin_s)
    alarms = [alarm for count in counts.tolist() for alarm in detector.update(count)]
    if arguments.json:
        print_json({"alarms": [asdict(alarm) for alarm in alarms]})
    else:
        _print(alarms, counts.size, arguments.bin_s)
    return 0


def read_counts(path: Path) -> NDArray[np.float64]:
    """Read whole numbers from 0 to `LARGEST_COUNT`, one a line; shape (n,), n >= 1.

    Raises:
        BadInputError: unreadable, empty, or a line that holds anything else.
    """
    counts, lines = read_numbers(path, what="count")
    bad = np.flatnonzero((counts < 0) | (counts > LARGEST_COUNT) | (counts != np.rint(counts)))
    if bad.size:
        at = int(bad[0])
        raise BadInputError(
            f"{path}: line {lines[at]}: needs a whole number of at least 0 and at most {LARGEST_COUNT:g}, "
            f"got {counts[at]:g}"
        )
    return counts


def _print(alarms: list[Alarm], n_bins: int, bin_s: float) -> None:
    rows = [(f"bin {alarm.alarm_bin}", _describe(alarm)) for alarm in alarms] or [("alarms", "none")]
    print_table(
        f"alarms in {n_bins} bins of {bin_s:g} s",
        rows,
        why="a likelihood ratio of over-dispersed counts passed its level; the bin named is the last one it used.",
    )


def _describe(alarm: Alarm) -> str:
    unit = " per second" if alarm.kind == "rate" else " (Fano factor)"
    return f"{alarm.kind} {alarm.before:.3g} to {alarm.after:.3g}{unit}, since bin {alarm.change_bin}"
