"""`tidegate sweep FILE`: run the trials of a Sweep document, each a real run on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from controller.commands import trials
from controller.commands.output import print_json
from controller.commands.trials_table import trials_table
from controller.sweeps.sweep_document import read_sweep

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("file", type=Path, metavar="FILE", help="Sweep document, YAML or JSON (docs/sweeps.md)")
    trials.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run what is left of the sweep, print its table and write its page."""
    sweep = read_sweep(arguments.file)
    folder = arguments.out or Path("runs") / f"sweep-{sweep.name}"
    campaign = trials.Campaign(sweep, folder, arguments.platform, arguments.model, arguments.resume)
    result = trials.run_campaign("sweep", campaign)
    if result is None:
        return trials.EXIT_INTERRUPTED
    page = trials.write_page(folder)
    if arguments.json:
        print_json(trials.result_document(campaign, result))
    else:
        sys.stdout.write(f"{trials_table(result.records, sweep.slo)}\nended: {result.ended}\n")
    sys.stderr.write(f"page: {page}\n")
    return 0
