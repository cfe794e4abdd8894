"""`tidegate detect`: changes of rate or dispersion in a list of counts, as they would have been noticed online."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.alarm import Alarm
from controller.arrivals.change_tracker import Change, ChangeTracker
from controller.arrivals.detector import Detector
from controller.commands.output import print_json, print_table
from controller.domain.documents import read_numbers
from controller.errors import BadInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.arrivals.change_points import Segment


WHY = {
    "alarms": "another rate or dispersion became likelier than the old one; the bin named is the last one used.",
    "changes": "two laws were likelier than one beyond doubt, modulation considered.",
    "stretches": "of all ways to cut the series in hindsight this is the likeliest for its number of cuts.",
}
LARGEST_COUNT = 1e9
SHORTEST_BIN_S = 1e-6
"""No clock counts finer, and rates per second must stay finite."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `detect`."""
    parser.add_argument("--counts", type=Path, required=True, metavar="FILE", help="arrivals in each bin, one a line")
    parser.add_argument("--bin-s", type=float, required=True, help="width of a bin in seconds")
    parser.add_argument(
        "--changes",
        action="store_true",
        help="also the changes beyond doubt, as named online, and in hindsight the stretches of one law",
    )
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
    tables: dict[str, Sequence[Alarm | Change | Segment]] = {"alarms": alarms}
    if arguments.changes:
        tables |= _changes_and_stretches(counts, arguments.bin_s)
    if arguments.json:
        print_json({name: [asdict(each) for each in found] for name, found in tables.items()})
        return 0
    for name, found in tables.items():
        rows = [_row(each) for each in found] or [(name, "none")]
        print_table(f"{name} in {counts.size} bins of {arguments.bin_s:g} s", rows, why=WHY[name])
    return 0


def _changes_and_stretches(counts: NDArray[np.float64], bin_s: float) -> dict[str, Sequence[Change | Segment]]:
    tracker = ChangeTracker(bin_s=bin_s)
    changes = [change for count in counts.tolist() if (change := tracker.update(count)) is not None]
    # ruptures takes a third of a second to import, which alarms need not wait for.
    from controller.arrivals.hindsight import find_changes  # noqa: PLC0415

    return {"changes": changes, "stretches": find_changes(counts, bin_s=bin_s)}


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


def _row(each: Alarm | Change | Segment) -> tuple[str, str]:
    """Return the bin from which something is known, and what."""
    if isinstance(each, Alarm):
        known = f"bin {each.alarm_bin}"
        unit = " per second" if each.kind == "rate" else " (Fano factor)"
        what = f"{each.kind} {each.before:.3g} to {each.after:.3g}{unit}, since bin {each.change_bin}"
    elif isinstance(each, Change):
        known = f"bin {each.named_bin}"
        rates = f"rate {each.rate_before_rps:.3g} to {each.rate_after_rps:.3g} per second"
        what = f"{rates}, Fano factor {each.fano_before:.3g} to {each.fano_after:.3g}, since bin {each.change_bin}"
    else:
        known = f"from bin {each.first_bin}"
        what = f"rate {each.rate_rps:.3g} per second, Fano factor {each.fano:.3g}"
    return known, what
