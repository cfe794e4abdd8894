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


def check_model(model: str) -> None:
    """Return when the model is demo, demo-full, fake or a prepared folder.

    Raises:
        BadInputError: it is none of them.
    """
    if model not in GENERATED_MODELS and not (Path(model) / "manifest.json").is_file():
        raise BadInputError(
            f"model {model}: has no manifest.json; give demo, demo-full, fake, or a folder made by tidegate prepare"
        )


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
