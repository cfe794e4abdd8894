"""`tidegate operator`: the tuning loop of a cluster, for every InferenceTuning and Sweep in it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

from controller.reconcilers.operator_settings import read_operator_settings
from controller.reconcilers.release import release_all
from controller.reconcilers.run import operate, stop_by_signal

if TYPE_CHECKING:
    import argparse

    from controller.reconcilers.operator_settings import OperatorSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `operator`; its settings are environment variables TIDEGATE_*."""
    parser.add_argument(
        "--release", action="store_true", help="give every service its own settings back, and end: before a removal"
    )
    parser.epilog = "settings: environment variables TIDEGATE_* (docs/operator.md)"


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM; services go on with the settings that they have."""
    settings = read_operator_settings(os.environ)
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    for chatty in ("kopf", "aiohttp.access", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return asyncio.run(release_all(settings) if arguments.release else _operate(settings))


async def _operate(settings: OperatorSettings) -> int:
    return await operate(settings, stop_by_signal())
