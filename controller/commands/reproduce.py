"""`tidegate reproduce PAPER`: published figures, reproduced, and ours beside them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from controller.commands.model_inputs import check_seed
from controller.commands.output import print_json
from controller.errors import BadInputError
from controller.reports.whole_file import write_whole
from controller.reproduce import batch
from controller.reproduce.batch_contest import bouts

if TYPE_CHECKING:
    import argparse

PAPERS = ("batch",)
DEFAULT_HOURS = 24
MOST_HOURS = 48
DOCUMENT = "reproduce.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("paper", choices=PAPERS, help="batch: Ali et al., SC 2020")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"for {DOCUMENT} and the figures")
    parser.add_argument("--seed", type=int, default=1, help="of all traces and simulations; default 1")
    parser.add_argument(
        "--hours", type=int, default=DEFAULT_HOURS, help=f"of a day that are judged; default {DEFAULT_HOURS}"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Run the reproduction, write its document and figures, print; return the exit code.

    Raises:
        BadInputError: a seed or hours that make no sense, or a folder that cannot be written to.
    """
    check_seed(arguments.seed)
    if not 1 <= arguments.hours <= MOST_HOURS:
        raise BadInputError(f"--hours: needs a whole number from 1 to {MOST_HOURS}, got {arguments.hours!r:.40}")
    folder: Path = arguments.out
    _make(folder)
    done = _with_progress(folder, arguments.seed, arguments.hours)
    document = {"schema": 1, "seed": arguments.seed, "papers": [done.reproduction.to_document()]}
    write_whole(folder / DOCUMENT, json.dumps(document, indent=1, allow_nan=False) + "\n")
    if arguments.json:
        print_json(document)
    else:
        sys.stdout.write(f"{done.text}\n")
    sys.stderr.write(f"written: {folder / DOCUMENT} and {len(done.reproduction.figures)} figures beside it\n")
    return 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"--out: {folder} cannot be made ({error.strerror}); name another folder") from error


def _with_progress(folder: Path, seed: int, hours: int) -> batch.Done:
    from tqdm import tqdm  # noqa: PLC0415  only commands with a bar need it

    is_terminal = sys.stderr.isatty()
    with tqdm(total=batch.STEPS, unit="run", disable=not is_terminal, file=sys.stderr, dynamic_ncols=True) as bar:

        def tell(step: str) -> None:
            bar.set_postfix_str(step)
            bar.update()

        return batch.reproduce(folder, bouts(seed, hours), seed=seed, tell=tell)
