"""`tidegate detect`: changes of rate or dispersion in a list of counts, as they would have been noticed online."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.change_tracker import ChangeTracker
from controller.arrivals.detector import Detector
from controller.commands.output import print_json, print_table
from controller.domain.documents import read_numbers
from controller.errors import BadInputError

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from controller.arrivals.alarm import Alarm
    from controller.arrivals.change_points import Segment
    from controller.arrivals.change_tracker import Change


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
    title = f"{{}} in {counts.size} bins of {arguments.bin_s:g} s"
    if not arguments.changes:
        if arguments.json:
            print_json({"alarms": [asdict(alarm) for alarm in alarms]})
        else:
            _print_alarms(alarms, title)
        return 0
    tracker = ChangeTracker(bin_s=arguments.bin_s)
    changes = [change for count in counts.tolist() if (change := tracker.update(count)) is not None]
    # ruptures takes a third of a second to import, which alarms need not wait for.
    from controller.arrivals.hindsight import find_changes  # noqa: PLC0415

    stretches = find_changes(counts, bin_s=arguments.bin_s)
    if arguments.json:
        found = {"alarms": alarms, "changes": changes, "stretches": stretches}
        print_json({name: [asdict(each) for each in values] for name, values in found.items()})
    else:
        _print_alarms(alarms, title)
        _print_changes(changes, stretches, title)
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


def _print_alarms(alarms: list[Alarm], title: str) -> None:
    print_table(
        title.format("alarms"),
        [(f"bin {alarm.alarm_bin}", _describe(alarm)) for alarm in alarms] or [("alarms", "none")],
        why="a likelihood ratio of over-dispersed counts passed its level; the bin named is the last one it used.",
    )


def _describe(alarm: Alarm) -> str:
    unit = " per second" if alarm.kind == "rate" else " (Fano factor)"
    return f"{alarm.kind} {alarm.before:.3g} to {alarm.after:.3g}{unit}, since bin {alarm.change_bin}"


def _print_changes(changes: list[Change], stretches: list[Segment], title: str) -> None:
    print_table(
        title.format("changes"),
        [(f"bin {change.named_bin}", _describe_change(change)) for change in changes] or [("changes", "none")],
        why="two laws were likelier than one beyond doubt, modulation considered.",
    )
    print_table(
        title.format("stretches"),
        [
            (f"from bin {each.first_bin}", f"rate {each.rate_rps:.3g} per second, Fano factor {each.fano:.3g}")
            for each in stretches
        ],
        why="of all ways to cut the series in hindsight this is the likeliest for its number of cuts.",
    )


def _describe_change(change: Change) -> str:
    return (
        f"rate {change.rate_before_rps:.3g} to {change.rate_after_rps:.3g} per second, Fano factor "
        f"{change.fano_before:.3g} to {change.fano_after:.3g}, since bin {change.change_bin}"
    )
