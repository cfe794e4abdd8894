"""`tidegate report FOLDER | KIND/NAME`: the page and the figures of a demo, a run or a sweep."""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from controller.errors import BadInputError, RunInvalidError
from controller.reports.readme_picture import readme_picture
from controller.reports.report import write_report
from controller.reports.tables import verdict_table
from controller.reports.whole_file import write_whole

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "of",
        metavar="FOLDER|KIND/NAME",
        help="folder of a demo, of one run, or of a sweep or tune; or sweep/NAME in a cluster",
    )
    parser.add_argument("-n", "--namespace", help="of KIND/NAME (default: the kubeconfig's)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the page of KIND/NAME goes")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write one wide picture of it, too, as SVG")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument("--json", action="store_true", help="print report.json on stdout, nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Write report.json and report.html into the folder; 4 when the run is invalid, as its page says too."""
    folder = _fetch(arguments)
    if (folder / "sweep.json").is_file():
        if arguments.picture is not None:
            raise BadInputError(f"--picture: {folder} is a sweep; give the folder of a demo or of one run")
        from controller.reports.sweep_report import write_sweep_report  # noqa: PLC0415  Optuna takes half a second

        document, page = write_sweep_report(folder)
        _tell(arguments, document, "", page)
        return 0
    report, page = write_report(folder)
    if arguments.picture is not None:
        write_whole(arguments.picture, readme_picture(report))
    _tell(arguments, report.to_document(), verdict_table(report, is_terminal=sys.stdout.isatty()), page)
    return RunInvalidError.exit_code if report.why_invalid else 0


def _fetch(arguments: argparse.Namespace) -> Path:
    """Return the folder to report on; what is in a cluster is written into one first."""
    # Only here is a cluster needed, and only then its client.
    from controller.commands.report_resource import fetch_sweep, resource_of  # noqa: PLC0415

    found = resource_of(arguments.of)
    if found is None:
        if arguments.namespace is not None or arguments.out is not None:
            raise BadInputError(f"{arguments.of}: is a folder; -n and --out belong to a resource such as sweep/NAME")
        return Path(arguments.of)
    return fetch_sweep(found[1], arguments.namespace, arguments.out)


def _tell(arguments: argparse.Namespace, document: dict[str, object], table: str, page: Path) -> None:
    if arguments.json:
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
    elif table:
        sys.stdout.write(f"{table}\n\n")
    sys.stderr.write(f"{page}\n")
    if arguments.open:
        webbrowser.open(page.resolve().as_uri())
