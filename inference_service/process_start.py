"""When this process was started, for the stages of a cold start."""

from __future__ import annotations

import os
import time
from pathlib import Path


def seconds_since_exec(started_at_s: float, now_s: float) -> float:
    """Seconds between the exec and `now_s` (wall clock).

    Args:
        started_at_s: what the platform noted when it started us; 0: ask the kernel, which knows it to 10 ms.
        now_s: wall clock.
    """
    if 0 < started_at_s <= now_s:
        return now_s - started_at_s
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        # Field 22 of proc(5): ticks after boot; the first field after the name is number 3.
        ticks = int(fields[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return time.process_time()
