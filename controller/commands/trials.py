"""What `tidegate tune` and `tidegate sweep` share: run the trials, show progress, print the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from controller.commands.trials_table import one_line
from controller.domain.prices import load_prices
from controller.reports.column import latency_quantile, live_column
from controller.reports.run_folder import read_run_folder
from controller.sweeps.live_trials import LiveTrials
from controller.sweeps.model_choice import prepare_model
from controller.sweeps.records import SweepFolder, TrialFigures, read_records
from controller.sweeps.runner import planned_trials, run_sweep

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine, Generator

    from controller.domain.slo import LatencySlo
    from controller.sweeps.records import TrialRecord
    from controller.sweeps.runner import Result, TrialRunner
    from controller.sweeps.sweep_document import Sweep

EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Campaign:
    """A sweep, and how and where it is run."""

    sweep: Sweep
    folder: Path
    platform: str
    model: str
    resume: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that both commands have."""
    parser.add_argument("--platform", choices=("local",), default="local", help="where trials run (default local)")
    parser.add_argument("--model", default="demo", help="demo, fake, or a prepared folder (default demo)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where records and runs go")
    parser.add_argument("--resume", action="store_true", help="go on with the sweep that FOLDER holds")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run_campaign(name: str, campaign: Campaign, runner: TrialRunner | None = None) -> Result | None:
    """Run a sweep to its end and write its page; None when it was interrupted, which has been told.

    Args:
        name: of the command, for messages.
        campaign: what to run.
        runner: of the trials; None for real ones.

    Raises:
        BadInputError: document, folder or model cannot be used.
        TooManyFailuresError: more trials than allowed came to nothing.
    """
    # A grid that cannot be laid out is told before anything is prepared.
    planned = planned_trials(campaign.sweep)
    try:
        with _progress(planned, campaign.sweep.slo) as (say, tell):
            return asyncio.run(_until_signalled(_run(campaign, runner, say, tell)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write(f"tidegate {name}: interrupted; {what_is_left(campaign.folder)}\n")
        return None


def what_is_left(folder: Path) -> str:
    """Say what an interrupted campaign leaves behind."""
    if not (folder / "sweep.json").exists():
        return "no trial had begun"
    finished = len(read_records(folder / "trials.json"))
    return (
        f"every process it started has ended; {finished} finished trials lie in {folder}, "
        "a partial run is marked as such; go on with --resume"
    )


async def _run(
    campaign: Campaign,
    runner: TrialRunner | None,
    say: Callable[[str], None],
    tell: Callable[[TrialRecord], None],
) -> Result:
    if runner is None:
        await prepare_model(campaign.model, say)
        runner = LiveTrials(campaign.sweep, campaign.model, lambda run: figures_of(run, campaign.sweep.slo), say)
    identity: dict[str, object] = {
        "document": campaign.sweep.document,
        "platform": campaign.platform,
        "model": campaign.model,
    }
    folder = SweepFolder(campaign.folder, identity)
    return await run_sweep(campaign.sweep, runner, folder, resume=campaign.resume, tell=tell)


async def _until_signalled(work: Coroutine[None, None, Result]) -> Result:
    """Ctrl-C and SIGTERM cancel the work; pressed again they do not disturb the clean-up."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if task is not None:
            loop.add_signal_handler(number, task.cancel)
    return await work


def figures_of(folder: Path, slo: LatencySlo) -> TrialFigures:
    """Work out what is kept of a run, by the same functions as its own report."""
    run = read_run_folder(folder)
    figures = live_column("trial", run, slo, load_prices().cluster).figures
    answered = figures.by_class["ok"] + figures.by_class["cold_start"]
    return TrialFigures(
        requests=figures.requests,
        rejected=figures.by_class["rejected"],
        errors=figures.requests - answered,
        cold_starts=figures.cold_starts,
        p50_s=figures.p50_s,
        p95_s=figures.p95_s,
        p99_s=figures.p99_s,
        slo_quantile_s=latency_quantile(run.requests.latency_s, slo.quantile),
        window_violation_ratio=figures.window_violation_ratio,
        cost_per_million_usd=figures.cost_per_million_usd,
    )


@contextlib.contextmanager
def _progress(planned: int, slo: LatencySlo) -> Generator[tuple[Callable[[str], None], Callable[[TrialRecord], None]]]:
    """Yield where lines inside a trial go, and where a finished trial is told: a bar on a terminal, else lines."""
    from tqdm import tqdm  # noqa: PLC0415  only these two commands have a bar

    is_terminal = sys.stderr.isatty()
    with tqdm(total=planned, unit="trial", disable=not is_terminal, file=sys.stderr, dynamic_ncols=True) as bar:

        def say(line: str) -> None:
            bar.set_postfix_str(line.strip())

        def tell(record: TrialRecord) -> None:
            with bar.external_write_mode(file=sys.stderr):
                sys.stderr.write(f"trial {record.number + 1}/{planned}  {one_line(record, slo)}\n")
            bar.update()

        yield say, tell


def write_page(folder: Path) -> Path:
    """Write the page of a sweep, with its picture, and return it."""
    from controller.reports.sweep_report import write_sweep_report  # noqa: PLC0415  brings Optuna: half a second

    return write_sweep_report(folder)[1]


def result_document(campaign: Campaign, result: Result) -> dict[str, object]:
    """Return what `--json` prints."""
    return {
        "schema": 1,
        "name": campaign.sweep.name,
        "folder": str(campaign.folder),
        "ended": result.ended,
        "best": result.best.to_document() if result.best else None,
        "trials": [record.to_document() for record in result.records],
    }
