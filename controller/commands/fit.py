"""`tidegate fit`: the arrival process behind a list of instants or counts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from controller.arrivals.fit_diagnosis import changes_of_phase
from controller.arrivals.held_out import fit_bins, fit_instants
from controller.arrivals.ladder import KINDS, Among
from controller.commands.detect import SHORTEST_BIN_S, read_counts
from controller.commands.output import format_s, print_json, print_table
from controller.domain.arrival_process import PoissonProcess, arrival_process_to_document, read_times
from controller.domain.arrival_statistics import lag1, scv
from controller.errors import BadInputError

if TYPE_CHECKING:
    import argparse

    from controller.arrivals.fit_diagnosis import Diagnostics, Fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `fit`."""
    seen = parser.add_mutually_exclusive_group(required=True)
    seen.add_argument("--times", type=Path, metavar="FILE", help="arrival instants in s, one a line")
    seen.add_argument("--counts", type=Path, metavar="FILE", help="arrivals in each bin, one a line; needs --bin-s")
    parser.add_argument("--bin-s", type=float, help="width of a bin of --counts in seconds")
    parser.add_argument("--from-s", type=float, help="first second of the observation; default the first instant")
    parser.add_argument("--until-s", type=float, help="last second of the observation; default the last instant")
    parser.add_argument("--kind", choices=KINDS, default="any", help="processes to choose from; default any")
    parser.add_argument("--phases", type=int, choices=(2, 3, 4), default=4, help="phases at most; default 4")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run(arguments: argparse.Namespace) -> int:
    """Read the arrivals, fit, print; return the exit code.

    Raises:
        BadInputError: a flag or file that cannot be used.
    """
    fit = _fit(arguments)
    if arguments.json:
        document = arrival_process_to_document(fit.process)
        print_json({**document, "diagnostics": fit.diagnostics.to_document()})
    else:
        _print(fit)
    return 0


def _fit(arguments: argparse.Namespace) -> Fit:
    among, bin_s, bounds = Among(arguments.kind, arguments.phases), arguments.bin_s, {}
    for name in ("from_s", "until_s"):
        value: float | None = getattr(arguments, name)
        if value is not None and not math.isfinite(value):
            raise BadInputError(f"--{name.replace('_', '-')}: needs a number of seconds, got {value}")
        bounds[name] = value
    if arguments.counts is None:
        if bin_s is not None:
            raise BadInputError("--bin-s: belongs to --counts; instants need no bins")
        return fit_instants(read_times(arguments.times), **bounds, among=among)
    if bin_s is None or not SHORTEST_BIN_S <= bin_s < math.inf:
        raise BadInputError(f"--bin-s: --counts needs a number of seconds of at least {SHORTEST_BIN_S:g}, got {bin_s}")
    if any(value is not None for value in bounds.values()):
        raise BadInputError("--from-s, --until-s: belong to --times; give the counts of the wanted bins only")
    return fit_bins(read_counts(arguments.counts), bin_s, among=among)


def _print(fit: Fit) -> None:
    seen = fit.diagnostics
    rate = f"{seen.rate_rps:.4g} per second, standard error {seen.rate_error_rps:.2g}"
    if seen.rate_interval_rps is not None:
        rate += ", 95 % interval {:.4g} to {:.4g}".format(*seen.rate_interval_rps)
    rows = [
        ("process", _describe(fit)),
        ("rate", rate),
        ("seen", f"{seen.n} arrivals in {seen.duration_s:.6g} s"),
        ("variability of gaps", _variability(seen)),
        *((f"dispersion in {scale} s", "unknown" if idc is None else f"{idc:.4g}") for scale, idc in seen.idc.items()),
        *((f"held out: {each.name}", f"{each.held_out_log_likelihood_per_arrival:.4f}") for each in seen.candidates),
    ]
    if seen.log_likelihood is not None:
        rows.append(("log-likelihood", f"{seen.log_likelihood:.6g}"))
    print_table("arrivals", rows, why=f"{seen.why}.")


def _describe(fit: Fit) -> str:
    process = fit.process
    if isinstance(process, PoissonProcess):
        return "Poisson"
    rates, leave = process.D1.sum(axis=1), -(process.D0 + process.D1).diagonal()
    phases = ", ".join(
        f"{rate:.4g} per second for {format_s(1 / each)}" for rate, each in zip(rates, leave, strict=True)
    )
    changes = changes_of_phase(process, fit.diagnostics.duration_s)
    return (
        f"{len(rates)} phases: {phases} on average; squared coefficient {scv(process):.4g}, "
        f"correlation of neighbours {lag1(process):.3g}; changes seen: {changes:.3g}"
    )


def _variability(seen: Diagnostics) -> str:
    if seen.scv is None or seen.lag1 is None:
        return "unknown"
    return (
        f"squared coefficient {seen.scv:.4g}{_between(seen.scv_interval)}, "
        f"correlation of neighbours {seen.lag1:.3g}{_between(seen.lag1_interval)}"
    )


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.3g} to {interval[1]:.3g})"
