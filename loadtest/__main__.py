"""`python -m loadtest`: the load test without Locust's own options and output; `tidegate load` becomes this."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, NoReturn

from controller.errors import BadInputError, TidegateError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtest.load_run import LoadRun


class OneLineParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without repeating its usage."""

    def error(self, message: str) -> NoReturn:
        """Raise BadInputError."""
        raise BadInputError(f"{message}; see --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one load test and return the exit code."""
    parser = OneLineParser(
        prog="tidegate load", description="Send a seeded schedule of requests, open loop.", allow_abbrev=False
    )
    parser.add_argument("--host", required=True, metavar="URL", help="base URL of the service")
    try:
        # NumPy takes a while to import, and Ctrl-C meanwhile is no reason for a traceback.
        from loadtest.options import add_arguments, check_options  # noqa: PLC0415  see the comment

        add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="print load.json on stdout instead of the table")
        given = parser.parse_args(arguments)
        options = check_options(given)
        options.target.address()
        # Locust takes most of a second to import; bad input should not wait for it.
        from loadtest.one_process import run_load  # noqa: PLC0415  see the comment

        run = run_load(options)
    except TidegateError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    _show(run, options.folder.path, as_json=given.json)
    return 1 if run.exit_code is None else run.exit_code


def _show(run: LoadRun, folder: Path, *, as_json: bool) -> None:
    document = run.document
    if run.exit_code == 130:
        lies = f"what was seen lies in {folder}" if document else "before anything was due"
        sys.stderr.write(f"interrupted; {lies}\n")
    elif document and document["why"]:
        sys.stderr.write(f"run invalid: {document['why']}\n")
    if document:
        from loadtest.report import table  # noqa: PLC0415  brings NumPy, see main

        sys.stdout.write(f"{json.dumps(document) if as_json else table(document)}\n")


if __name__ == "__main__":
    sys.exit(main())
