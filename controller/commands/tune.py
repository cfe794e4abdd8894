"""`tidegate tune`: let Optuna search the cheapest setting inside the objective; each trial is a real run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from controller.commands import trials
from controller.commands.output import print_json
from controller.commands.trials_table import dollars, milliseconds, short, trials_table
from controller.domain.arrival_process import arrival_process_to_document, read_arrivals
from controller.domain.quantities import decimal_text, duration_text
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError, NothingFeasibleError
from controller.sweeps.model_choice import check_payloads
from controller.sweeps.sweep_document import API_VERSION, MOST_TRIALS, sweep_from_document

if TYPE_CHECKING:
    import argparse

    from controller.sweeps.records import TrialRecord
    from controller.sweeps.sweep_document import Sweep

SPACE: list[dict[str, object]] = [
    {"name": "maxBatchSize", "values": [1, 2, 4, 8, 16, 32]},
    {"name": "batchTokens", "min": 128, "max": 4096, "scale": "log"},
    {"name": "maxQueueDelay", "values": ["0s", "2ms", "5ms", "10ms", "20ms"]},
    {"name": "minScale", "values": [0, 1]},
    {"name": "maxScale", "values": [1, 2, 4, 0]},
    {"name": "target", "values": [1, 2, 5, 10, 25, 50, 100]},
]
"""What is searched; a Sweep document states its own. Workers stay at 1 (servers have one core here), and
containerConcurrency at none: what exceeds it would wait where the batcher cannot see it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--arrivals", type=Path, required=True, metavar="A", help="arrivals document (JSON)")
    parser.add_argument("--slo-quantile", type=float, required=True, metavar="q", help="such as 0.95")
    parser.add_argument("--slo-s", type=float, required=True, metavar="L", help="bound of that quantile in seconds")
    parser.add_argument("--trials", type=int, default=12, help="real runs (default 12)")
    parser.add_argument("--duration-s", type=float, default=20.0, help="of each run's load (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the schedule and of the search (default 0)")
    parser.add_argument("--payloads", default="short", help="short, imdb, or a file with one text a line")
    trials.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Search, print what was found against the untuned default, and write the page; 3 when nothing was feasible."""
    sweep = tune_sweep(arguments)
    folder = arguments.out or Path("runs") / sweep.name
    campaign = trials.Campaign(sweep, folder, arguments.platform, arguments.model, arguments.resume)
    result = trials.run_campaign("tune", campaign)
    if result is None:
        return trials.EXIT_INTERRUPTED
    page = trials.write_page(folder)
    default = result.records[0]
    if arguments.json:
        print_json(
            {
                **trials.result_document(campaign, result),
                "feasible": result.best is not None,
                "default": default.to_document(),
            }
        )
    else:
        sys.stdout.write(
            f"{trials_table(result.records, sweep.slo)}\n\n{conclusion(result.best, default, sweep.slo)}\n"
        )
    sys.stderr.write(f"page: {page}\n")
    if result.best is None:
        raise NothingFeasibleError(
            f"none of {len(result.records)} trials kept p{100 * sweep.slo.quantile:g} within "
            f"{milliseconds(sweep.slo.bound_s)}; raise --slo-s, lower the arrivals, or try more --trials"
        )
    return 0


def tune_sweep(arguments: argparse.Namespace) -> Sweep:
    """Return the sweep that these flags mean; it is kept in the folder, and `tidegate sweep` could run it.

    Raises:
        BadInputError: a flag or the arrivals cannot be used.
    """
    slo = LatencySlo(arguments.slo_quantile, arguments.slo_s)
    if not 1 <= arguments.trials <= MOST_TRIALS:
        raise BadInputError(f"--trials: needs a whole number from 1 to {MOST_TRIALS}, got {arguments.trials}")
    if not 1 <= arguments.duration_s <= 86400:
        raise BadInputError(f"--duration-s: needs 1 to 86400 seconds, got {arguments.duration_s:g}")
    if not 0 <= arguments.seed < 2**31:
        raise BadInputError(f"--seed: needs a whole number from 0 to {2**31 - 1}, got {arguments.seed}")
    check_payloads(arguments.payloads)
    process = read_arrivals(arguments.arrivals)
    document = {
        "apiVersion": API_VERSION,
        "kind": "Sweep",
        "metadata": {"name": f"tune-{arguments.seed}"},
        "spec": {
            "parameters": SPACE,
            "strategy": "Optuna",
            "workload": {
                "arrivals": arrival_process_to_document(process),
                "seed": arguments.seed,
                "duration": duration_text(arguments.duration_s),
                "payloads": arguments.payloads,
            },
            "objective": {
                "slo": {"quantile": decimal_text(slo.quantile), "latency": duration_text(slo.bound_s)},
            },
            "maxTrials": arguments.trials,
        },
    }
    return sweep_from_document(document, where="tune:", base=Path())


def conclusion(best: TrialRecord | None, default: TrialRecord, slo: LatencySlo) -> str:
    """Return what was found, in words, and how it compares to the untuned default."""
    if best is None:
        closest = f"the untuned default had {milliseconds(default.figures.slo_quantile_s)}"
        return f"nothing found inside {milliseconds(slo.bound_s)}; {closest}"
    setting = ", ".join(f"{short(name)} {value:g}" for name, value in best.parameters.items())
    if best is default:
        return f"best: the untuned default ({setting}); no trial was cheaper inside the objective"
    if default.state != "Complete":
        return f"best: trial {best.number} ({setting}); the untuned default has no figures ({default.why})"
    mine, theirs = best.figures, default.figures
    saved = 1 - mine.cost_per_million_usd / theirs.cost_per_million_usd
    kept = "" if default.is_feasible(slo) else ", which is outside the objective"
    return (
        f"best: trial {best.number} ({setting})\n"
        f"p95 {milliseconds(mine.p95_s)} at {dollars(mine.cost_per_million_usd)} per million requests; the untuned "
        f"default: {milliseconds(theirs.p95_s)} at {dollars(theirs.cost_per_million_usd)}{kept} "
        f"({abs(saved):.0%} {'saved' if saved >= 0 else 'more'})"
    )
