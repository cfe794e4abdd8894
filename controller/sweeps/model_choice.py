"""Which model a run serves: checked, and the demo's one prepared, before anything else is started."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable

PREPARED_MODELS = ("demo", "demo-full")
GENERATED_MODELS = (*PREPARED_MODELS, "fake")
GENERATED_PAYLOADS = ("short", "imdb")


def check_model(model: str) -> None:
    """Return when the model is demo, demo-full, fake or a prepared folder.

    Raises:
        BadInputError: it is none of them.
    """
    try:
        is_known = model in GENERATED_MODELS or (Path(model) / "manifest.json").is_file()
    except (OSError, ValueError):  # a name too long, or one that no folder can have
        is_known = False
    if not is_known:
        raise BadInputError(
            f"model {model}: has no manifest.json; give demo, demo-full, fake, or a folder made by tidegate prepare"
        )


def check_payloads(payloads: str) -> None:
    """Return when the payloads are short, imdb or a file that is there; its lines the load generator checks.

    Raises:
        BadInputError: they are none of them.
    """
    try:
        is_known = payloads in GENERATED_PAYLOADS or Path(payloads).is_file()
    except (OSError, ValueError):  # a name too long, or one that no file can have
        is_known = False
    if not is_known:
        raise BadInputError(f"--payloads: {payloads!r:.82} is neither short, imdb nor a file with one text a line")


async def prepare_model(model: str, tell: Callable[[str], None]) -> None:
    """Return when the model can be served; a demo's is prepared once, which takes some seconds.

    Args:
        model: demo, demo-full, fake, or a prepared folder.
        tell: takes each line that the preparation says.

    Raises:
        BadInputError: it is none of them, or cannot be prepared.
    """
    check_model(model)
    if model not in PREPARED_MODELS:
        return
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inference_service.prepare", model),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    last = "it said nothing"
    try:
        while child.stderr is not None and (line := await child.stderr.readline()):
            last = line.decode(errors="replace").strip()
            tell(f"  {last}")
        code = await child.wait()
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise
    if code:
        raise BadInputError(f"model {model}: {last}")
