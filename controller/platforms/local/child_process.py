"""What a child process does between fork and exec: its cores, and that it dies with the activator."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_PR_SET_PDEATHSIG = 1


def prepare_child(cpus: Collection[int]) -> Callable[[], None]:
    """Return what to run in the child before exec.

    On Linux the kernel kills the child when its parent dies, also by SIGKILL, so that no server is left behind.

    Args:
        cpus: cores the child may use; empty for all.
    """
    parent = os.getpid()
    # Looked up before the fork: loading a library in the child of a process with threads may deadlock.
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def before_exec() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        if cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)

    return before_exec
