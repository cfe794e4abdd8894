"""The load test as Locust sees it: `locust -f loadtest/locustfile.py --headless --host URL --arrivals …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from locust import events

# Locust puts this folder on the path; the packages are beside it when the project is not installed.
sys.path.append(str(Path(__file__).parent.parent))

from controller.errors import BadInputError, TidegateError
from loadtest.load_run import LoadRun
from loadtest.options import add_arguments, check_options
from loadtest.report import table
from loadtest.shapes import OneUserPerProcess
from loadtest.users import OpenLoopUser

if TYPE_CHECKING:
    from locust.env import Environment

__all__ = ["OneUserPerProcess", "OpenLoopUser"]


@events.init_command_line_parser.add_listener
def add_our_flags(parser: Any, **_: Any) -> None:
    """Add the flags of a run to Locust's own."""
    add_arguments(parser)


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Check everything before Locust starts; bad input ends the process with one line."""
    given = environment.parsed_options
    try:
        if given is None or not (given.headless or given.worker):
            raise BadInputError("--headless: is missing; a schedule runs once, without the web page")
        options = check_options(given)
        if not given.worker:
            options.target.address()
        run = OpenLoopUser.load_run = LoadRun(options, environment)
        run.attach()
    except TidegateError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


@events.quit.add_listener
def say(**_: Any) -> None:
    """Print the classes of requests and, for an invalid run, why."""
    run = OpenLoopUser.load_run
    if run is not None and run.document is not None:
        sys.stderr.write(f"{table(run.document)}\n")
        if run.document["why"]:
            sys.stderr.write(f"run invalid: {run.document['why']}\n")
