"""`tidegate reproduce PAPER`: published figures, reproduced, and ours beside them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from controller.commands.model_inputs import check_seed
from controller.commands.output import print_json
from controller.errors import BadInputError
from controller.reports.whole_file import write_whole
from controller.reproduce.papers import PAPERS, Order

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from controller.reproduce.rows import Done

ALL = "all"
HOURLY = ("batch", ALL)
"""What judges hours of traffic."""
DEFAULT_HOURS = 24
MOST_HOURS = 48
DOCUMENT = "reproduce.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    known = "; ".join(f"{name}: {paper.title}" for name, paper in PAPERS.items())
    parser.add_argument("paper", choices=(*PAPERS, ALL), help=f"{known}; {ALL}: one after the other")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"for {DOCUMENT} and the figures")
    parser.add_argument("--seed", type=int, default=1, help="of all traces, functions and simulations; default 1")
    parser.add_argument("--hours", type=int, help=f"of a day that batch is judged on; default {DEFAULT_HOURS}")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Run the reproduction, write its document and figures, print; return the exit code, 0 whatever holds.

    Raises:
        BadInputError: a seed or hours that make no sense, or a folder that cannot be written to.
    """
    check_seed(arguments.seed)
    order = Order(arguments.out, arguments.seed, _hours(arguments.hours, arguments.paper))
    _make(order.folder)
    done = _with_progress(tuple(PAPERS) if arguments.paper == ALL else (arguments.paper,), order)
    papers = [each.reproduction.to_document() for each in done.values()]
    document = {"schema": 1, "seed": order.seed, "papers": papers}
    write_whole(order.folder / DOCUMENT, json.dumps(document, indent=1, allow_nan=False) + "\n")
    if arguments.json:
        print_json(document)
    else:
        sys.stdout.write(f"{_text(done)}\n")
    count = sum(len(each.reproduction.figures) for each in done.values())
    sys.stderr.write(f"written: {order.folder / DOCUMENT} and {count} figure{'s' * (count > 1)} beside it\n")
    return 0


def _hours(hours: int | None, paper: str) -> int:
    if hours is None:
        return DEFAULT_HOURS
    if not 1 <= hours <= MOST_HOURS:
        raise BadInputError(f"--hours: needs a whole number from 1 to {MOST_HOURS}, got {hours!r:.40}")
    if paper not in HOURLY:
        raise BadInputError(f"--hours: {paper} judges no hours of traffic, got {hours}; leave it out")
    return hours


def _make(folder: Path) -> None:
    """Make the folder and write to it once: minutes of work should not end at a folder that takes nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"--out: {folder} cannot be made ({error.strerror}); name another folder") from error
    try:
        with TemporaryFile(dir=folder) as probe:
            probe.write(b"0")
    except OSError as error:
        remedy = "make it writable or name another folder"
        raise BadInputError(f"--out: {folder} cannot be written to ({error.strerror}); {remedy}") from error


def _text(done: Mapping[str, Done]) -> str:
    if len(done) == 1:
        return next(iter(done.values())).text
    return "\n\n\n".join(f"{name}: {PAPERS[name].title}\n\n{each.text}" for name, each in done.items())


def _with_progress(names: Sequence[str], order: Order) -> dict[str, Done]:
    from tqdm import tqdm  # noqa: PLC0415  only commands with a bar need it

    steps, is_terminal = sum(PAPERS[name].steps for name in names), sys.stderr.isatty()
    with tqdm(total=steps, unit="run", disable=not is_terminal, file=sys.stderr, dynamic_ncols=True) as bar:

        def tell(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        return {name: PAPERS[name].reproduce(order, tell) for name in names}
