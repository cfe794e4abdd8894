"""The command `tidegate`: names of commands only; each is imported when it is called.

A command is a module `controller.commands.NAME` with `add_arguments(parser)` and `run(arguments) -> exit code`.
`serve`, `prepare` and `load` belong to the other two packages and are handed over by exec.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import TYPE_CHECKING, NoReturn

from controller.errors import TidegateError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: dict[str, str] = {
    "demo": "the main job on this machine: bursty traffic, the loop at work, a report",
    "serve": "answer requests over HTTP with a prepared model",
    "prepare": "turn a DistilBERT classifier into what the server loads",
    "load": "send a seeded, open-loop schedule of requests",
    "control": "run the tuning loop against the platform on this machine",
    "operator": "run the tuning loop of a cluster, for every InferenceTuning and Sweep in it",
    "tune": "search a setting with real runs of one schedule",
    "sweep": "run the trials of a Sweep document",
    "predict": "latency and cost of one setting",
    "optimize": "the cheapest setting inside an objective, or the fastest inside a budget",
    "simulate": "replay arrivals through a simulated platform",
    "fit": "the arrival process behind a list of instants",
    "detect": "changes of rate or dispersion in a list of counts",
    "report": "the page and the figures of a run",
    "reproduce": "a published system's figures, reproduced, and ours beside them",
}
MODULES = {"operator": "operate"}
"""Modules whose name differs from their command's: `operator` is one of Python's own."""
HANDED_OVER = {"serve": "inference_service", "prepare": "inference_service.prepare", "load": "loadtest"}
EXTRAS = {"operator": "operator"}
EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Answers a bad flag with one line; `--help` shows the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; no traceback reaches the user."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "--version"):
        _print_help() if name != "--version" else _print_version()
        return 0 if arguments else 2
    if name not in COMMANDS:
        sys.stderr.write(f"tidegate: unknown command {name!r}; known are {', '.join(COMMANDS)}\n")
        return 2
    try:
        return _run(name, arguments[1:])
    except TidegateError as error:
        sys.stderr.write(f"tidegate {name}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"tidegate {name}: interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough; stdout must not complain once more at exit.
        sys.stdout = None  # type: ignore[assignment]
        return 0


def _run(name: str, rest: list[str]) -> int:
    if name in HANDED_OVER:
        from controller.commands import hand_over  # noqa: PLC0415  imported on demand

        return hand_over.run(HANDED_OVER[name], rest)
    try:
        command = importlib.import_module(f"controller.commands.{MODULES.get(name, name)}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("controller", "inference_service", "loadtest"):
            raise
        extra = EXTRAS.get(name, "demo")
        sys.stderr.write(f"tidegate {name}: needs the package {error.name}; install the extra: tidegate[{extra}]\n")
        return 2
    parser = _Parser(prog=f"tidegate {name}", description=COMMANDS[name], allow_abbrev=False)
    command.add_arguments(parser)
    return int(command.run(parser.parse_args(rest)))


def _print_version() -> None:
    from importlib.metadata import version  # noqa: PLC0415  costs 30 ms that other commands need not pay

    sys.stdout.write(f"tidegate {version('tidegate')}\n")


def _print_help() -> None:
    width = max(map(len, COMMANDS))
    rows = "\n".join(f"  {name:<{width}}  {purpose}" for name, purpose in COMMANDS.items())
    sys.stdout.write(
        "usage: tidegate COMMAND [options]; tidegate COMMAND --help tells a command's own\n\n"
        "Keeps a scale-to-zero model endpoint inside its latency objective at the lowest cost while its traffic bursts."
        f"\n\n{rows}\n\n"
        "exit codes: 0 done, 1 failed while running, 2 bad input, 3 nothing feasible, 4 run invalid, 130 interrupted\n"
    )
