"""`tidegate fit`: the arrival process behind a list of instants."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from controller.arrivals.selection import fit_times
from controller.commands.output import print_json, print_table
from controller.domain.arrival_process import PoissonProcess, arrival_process_to_document, read_times
from controller.errors import BadInputError

if TYPE_CHECKING:
    import argparse

    from controller.arrivals.selection import Diagnostics, Fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `fit`."""
    parser.add_argument("--times", type=Path, required=True, metavar="FILE", help="arrival instants in s, one a line")
    parser.add_argument("--from-s", type=float, help="first second of the observation; default the first instant")
    parser.add_argument("--until-s", type=float, help="last second of the observation; default the last instant")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(arguments: argparse.Namespace) -> int:
    """Read the instants, fit, print; return the exit code.

    Raises:
        BadInputError: a flag or file that cannot be used.
    """
    for name in ("from_s", "until_s"):
        value: float | None = getattr(arguments, name)
        if value is not None and not math.isfinite(value):
            raise BadInputError(f"--{name.replace('_', '-')}: needs a number of seconds, got {value}")
    fit = fit_times(read_times(arguments.times), from_s=arguments.from_s, until_s=arguments.until_s)
    if arguments.json:
        document = arrival_process_to_document(fit.process)
        print_json({**document, "diagnostics": fit.diagnostics.to_document()})
    else:
        _print(fit)
    return 0


def _print(fit: Fit) -> None:
    seen = fit.diagnostics
    rows = [
        ("process", _describe(fit)),
        ("rate", f"{seen.rate_rps:.4g} per second, standard error {seen.rate_error_rps:.2g}"),
        ("seen", f"{seen.n} arrivals in {seen.duration_s:.6g} s"),
        ("variability of gaps", _variability(seen)),
        *((f"dispersion in {scale} s", "unknown" if idc is None else f"{idc:.4g}") for scale, idc in seen.idc.items()),
    ]
    if seen.log_likelihood is not None:
        rows.append(("log-likelihood", f"{seen.log_likelihood:.6g}"))
    print_table("arrivals", rows, why=f"{seen.why}.")


def _describe(fit: Fit) -> str:
    process = fit.process
    if isinstance(process, PoissonProcess):
        return "Poisson"
    rates, switching = process.D1.diagonal(), process.D0
    return (
        f"two phases: {rates[0]:.4g} per second for {1 / switching[0, 1]:.3g} s, "
        f"{rates[1]:.4g} per second for {1 / switching[1, 0]:.3g} s on average"
    )


def _variability(seen: Diagnostics) -> str:
    if seen.scv is None or seen.lag1 is None:
        return "unknown"
    return f"squared coefficient {seen.scv:.4g}, correlation of neighbours {seen.lag1:.3g}"
