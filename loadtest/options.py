"""What a load test is told: flags for Locust's parser and for ours, and their values, checked."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from controller.domain.arrival_process import arrival_process_from_document, read_arrivals
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from loadtest.payloads import load_payloads
from loadtest.protocol import Protocol
from loadtest.run_folder import RunFolder
from loadtest.schedule import make_schedule, read_schedule
from loadtest.target import parse_target

if TYPE_CHECKING:
    import argparse

    from controller.domain.arrival_process import ArrivalProcess
    from loadtest.payloads import Payloads
    from loadtest.schedule import Schedule
    from loadtest.target import Target

FLAGS: dict[str, dict[str, Any]] = {
    "--arrivals": {"metavar": "FILE|JSON", "help": "arrivals document, as a file or in place"},
    "--seed": {"type": int, "default": 0, "help": "one seed gives one schedule (default 0)"},
    "--duration": {"type": float, "metavar": "S", "help": "how long requests arrive, seconds"},
    "--payloads": {"default": "short", "metavar": "short|imdb|FILE", "help": "texts to send (default short)"},
    "--protocol": {"choices": ("v1", "v2"), "default": "v2", "help": "KServe protocol (default v2)"},
    "--out": {"metavar": "FOLDER", "help": "where schedule.csv, requests.csv and load.json go"},
    "--schedule": {"metavar": "FILE", "help": "replay this schedule.csv instead of drawing one from --arrivals"},
    "--warm-up-s": {"type": float, "default": 0.0, "help": "requests due before this instant are not measured"},
    "--max-in-flight": {"type": int, "default": 2000, "help": "above it a send is skipped (default 2000)"},
    "--timeout-s": {"type": float, "default": 30.0, "help": "longest wait for an answer (default 30)"},
    "--model-name": {"default": "distilbert", "help": "model to ask for (default distilbert)"},
    "--start-at-s": {"type": float, "help": "time zero of the run, seconds since 1970 (default: when ready)"},
    "--slo-quantile": {"type": float, "metavar": "Q", "help": "of an objective to judge by, such as 0.95"},
    "--slo-s": {"type": float, "metavar": "S", "help": "latency that this share of requests must keep, seconds"},
    "--overwrite": {"action": "store_true", "help": "replace the run that --out holds"},
}
"""Flags that Locust does not have itself; --host it has."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadOptions:
    """Checked options, with everything that a run needs from files already read.

    Attributes:
        duration_s: how long requests arrive; of a replay without --duration, the last instant.
        source: what the schedule came from, for load.json.
        start_at_s: wall clock of time zero, None for as soon as everything is ready.
        slo: what load.json judges by, if anything.
    """

    target: Target
    protocol: Protocol
    payloads: Payloads
    schedule: Schedule
    duration_s: float
    seed: int | None
    folder: RunFolder
    warm_up_s: float
    max_in_flight: int
    timeout_s: float
    start_at_s: float | None
    source: dict[str, object]
    slo: LatencySlo | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add our flags to a parser, Locust's or our own."""
    for flag, details in FLAGS.items():
        parser.add_argument(flag, **details)


def check_options(given: argparse.Namespace) -> LoadOptions:
    """Check flags, read what they name and fix the schedule.

    Raises:
        BadInputError: the first flag that cannot be used.
    """
    target = parse_target(given.host or "")
    protocol = Protocol.of(given.protocol, _model_name(given.model_name))
    _check_numbers(given)
    folder = _folder(given)
    payloads = load_payloads(given.payloads)
    schedule, duration_s = _schedule(given, payloads)
    if given.warm_up_s >= duration_s:
        raise BadInputError(
            f"--warm-up-s: needs less than the {duration_s:g} s of the run, or nothing is measured; "
            f"got {given.warm_up_s:g}"
        )
    names = ("host", "arrivals", "schedule", "payloads", "protocol", "model_name")
    return LoadOptions(
        target=target,
        protocol=protocol,
        payloads=payloads,
        schedule=schedule,
        duration_s=duration_s,
        seed=None if given.schedule else given.seed,
        folder=folder,
        warm_up_s=given.warm_up_s,
        max_in_flight=given.max_in_flight,
        timeout_s=given.timeout_s,
        start_at_s=given.start_at_s,
        source={name: getattr(given, name) for name in names},
        slo=_slo(given),
    )


def _slo(given: argparse.Namespace) -> LatencySlo | None:
    if (given.slo_quantile is None) != (given.slo_s is None):
        raise BadInputError("--slo-quantile: belongs together with --slo-s; give both or neither")
    return None if given.slo_quantile is None else LatencySlo(given.slo_quantile, given.slo_s)


def _model_name(name: str) -> str:
    if name and all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in name):
        return name
    raise BadInputError(f"--model-name: needs letters, digits, dots, dashes or underscores, got {name!r}")


def _check_numbers(given: argparse.Namespace) -> None:
    if given.seed < 0:
        raise BadInputError(f"--seed: needs a whole number of at least 0, got {given.seed}")
    if given.max_in_flight < 1:
        raise BadInputError(f"--max-in-flight: needs at least 1, got {given.max_in_flight}")
    if given.duration is not None and not 0 < given.duration < math.inf:
        raise BadInputError(f"--duration: needs a positive number of seconds, got {given.duration:g}")
    if not 0 < given.timeout_s < math.inf:
        raise BadInputError(f"--timeout-s: needs a positive number of seconds, got {given.timeout_s:g}")
    if not 0 <= given.warm_up_s < math.inf:
        raise BadInputError(f"--warm-up-s: needs a number of seconds of at least 0, got {given.warm_up_s:g}")
    if given.start_at_s is not None and not abs(given.start_at_s - time.time()) < 3600:
        raise BadInputError(
            f"--start-at-s: needs seconds since 1970, within an hour of now ({time.time():.0f}); "
            f"got {given.start_at_s:g}"
        )


def _folder(given: argparse.Namespace) -> RunFolder:
    if not given.out:
        raise BadInputError("--out: is missing; name the folder that the results go to")
    folder = RunFolder(Path(given.out), Path(given.schedule) if given.schedule else None, overwrite=given.overwrite)
    if not getattr(given, "worker", False):  # a worker of Locust's leaves writing to the master
        folder.check()
    return folder


def _schedule(given: argparse.Namespace, payloads: Payloads) -> tuple[Schedule, float]:
    if given.schedule and given.arrivals:
        raise BadInputError("--schedule: replaces --arrivals; give one of them")
    if given.schedule:
        schedule = read_schedule(Path(given.schedule), payloads)
        last_s = float(schedule.intended_s[-1])
        if given.duration is not None and last_s > given.duration:
            raise BadInputError(
                f"--duration: {given.schedule} lasts until {last_s:g} s, got {given.duration:g}; raise it"
            )
        return schedule, given.duration or max(last_s, 1e-6)
    if not given.arrivals:
        raise BadInputError("--arrivals: is missing; give an arrivals document, or --schedule with a saved schedule")
    if given.duration is None:
        raise BadInputError("--duration: is missing; say for how many seconds requests shall arrive")
    process = read_arrivals_option(given.arrivals)
    return make_schedule(process, duration_s=given.duration, seed=given.seed, payloads=payloads), given.duration


def read_arrivals_option(text: str) -> ArrivalProcess:
    """Return the arrivals of a document in place (it begins with a brace) or of the file of that name.

    Raises:
        BadInputError: no JSON, or no valid document.
    """
    if not text.lstrip().startswith("{"):
        return read_arrivals(Path(text))
    try:
        document = cast("object", json.loads(text))
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"--arrivals: no JSON ({error}); quote it as one argument or give a file") from error
    return arrival_process_from_document(document, where="--arrivals", base=Path.cwd())
