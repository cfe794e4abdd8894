"""Commands that belong to the other packages: this process becomes theirs, so no package imports another."""

from __future__ import annotations

import importlib.util
import os
import sys


def run(module: str, rest: list[str]) -> int:
    """Replace this process by `python -m module rest…`; returns only when the module is not installed."""
    if importlib.util.find_spec(module) is None:
        sys.stderr.write(f"tidegate: the package {module} is not installed; install the extra: tidegate[demo]\n")
        return 2
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *rest])  # noqa: S606  our own interpreter, no shell
    return 1
