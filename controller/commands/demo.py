"""`tidegate demo`: the main job on one machine."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from controller.demo import DemoSettings, run_demo
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.sweeps.model_choice import check_model, check_payloads

if TYPE_CHECKING:
    import argparse


OWN_NAMES = {"capacity", "tidegate", "defaults", "best_fixed", "demo.json", "report.json", "report.html"}
"""What a demo writes into its folder; nothing else is ever removed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--seed", type=int, default=1, help="of the schedule (default 1)")
    parser.add_argument("--out", type=Path, help="folder of the run (default runs/demo-SEED)")
    parser.add_argument("--model", default="demo", help="demo, demo-full (66 M weights), fake, or a prepared folder")
    parser.add_argument("--slo-quantile", type=float, default=0.95, help="share of answers inside the bound (0.95)")
    parser.add_argument("--slo-s", type=float, default=1.0, help="the bound in seconds (default 1.0)")
    parser.add_argument("--payloads", default="short", help="short, imdb, or a file with one text a line")
    parser.add_argument("--json", action="store_true", help="print report.json on stdout at the end")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in the folder")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; Ctrl-C ends every process it started and says where the partial run lies.

    Raises:
        BadInputError: a flag or the folder cannot be used; an earlier run is then left as it is.
    """
    slo = LatencySlo(arguments.slo_quantile, arguments.slo_s)
    if arguments.seed < 0:
        raise BadInputError(f"--seed: needs a whole number of at least 0, got {arguments.seed}")
    check_model(arguments.model)
    check_payloads(arguments.payloads)
    settings = DemoSettings(
        # Last, because it removes an earlier run: a slip in another flag must not cost one.
        folder=fresh_folder(arguments.out, arguments.seed, overwrite=arguments.overwrite),
        seed=arguments.seed,
        slo=slo,
        model=arguments.model,
        payloads=arguments.payloads,
    )
    try:
        page = asyncio.run(_until_signalled(settings))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say(
            f"tidegate demo: interrupted; every process it started has ended; the partial run lies in {settings.folder}"
        )
        return 130
    if arguments.json:
        sys.stdout.write((settings.folder / "report.json").read_text())
    say(f"report: {page}")
    return 0


async def _until_signalled(settings: DemoSettings) -> Path:
    """Ctrl-C and SIGTERM cancel the demo; pressed again they do not disturb the clean-up."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if task is not None:
            loop.add_signal_handler(number, task.cancel)
    return await run_demo(settings, say)


def fresh_folder(out: Path | None, seed: int, *, overwrite: bool) -> Path:
    """Return an empty folder for the run; an earlier demo in the default place makes room.

    Raises:
        BadInputError: the folder holds something else, or cannot be made.
    """
    folder = out or Path("runs") / f"demo-{seed}"
    try:
        held = {path.name for path in folder.iterdir()} if folder.exists() else set[str]()
        if held and (out is not None) and not overwrite:
            raise BadInputError(f"--out {folder}: holds files already; name another folder or add --overwrite")
        if held and not held <= OWN_NAMES:
            strange = ", ".join(sorted(held - OWN_NAMES)[:3])
            raise BadInputError(f"{folder}: holds {strange}, which no demo wrote; name another folder with --out")
        for name in held:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"{folder}: {error.strerror}; name a folder that can be written with --out") from error
    return folder


def say(line: str) -> None:
    """Print one line of progress at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
