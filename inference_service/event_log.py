"""Structured logs: one JSON object a line on stderr, a constant event name, units in the names of the fields."""

import contextlib
import json
import sys
import time


def log_event(event: str, **values: object) -> None:
    """Write one event. A closed or full stderr never stops the server."""
    line = json.dumps({"event": event, "at_s": round(time.time(), 3)} | values, default=str, ensure_ascii=False)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
