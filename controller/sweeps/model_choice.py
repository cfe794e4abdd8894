"""Which model a run serves: checked, and the demo's one prepared, before anything else is started."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from controller.errors import BadInputError

GENERATED_MODELS = ("demo", "fake")


def check_model(model: str) -> None:
    """Return when the model is demo, fake or a prepared folder.

    Raises:
        BadInputError: it is none of them.
    """
    if model not in GENERATED_MODELS and not (Path(model) / "manifest.json").is_file():
        raise BadInputError(
            f"model {model}: has no manifest.json; give demo, fake, or a folder made by tidegate prepare"
        )


async def prepare_model(model: str) -> None:
    """Return when the model can be served; the demo's is prepared once, which takes some seconds.

    Raises:
        BadInputError: it is neither demo, fake nor a prepared folder, or cannot be prepared.
    """
    check_model(model)
    if model != "demo":
        return
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inference_service.prepare", model),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await child.communicate()
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise
    if child.returncode:
        words = said.decode(errors="replace").strip().splitlines() or [f"exit code {child.returncode}"]
        raise BadInputError(f"model {model}: {words[-1]}")
