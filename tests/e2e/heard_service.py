"""What pods tell of their service times in heartbeats, reckoned as the loop reckons it.

The bench listens where a controller would. Servers report each second what their batches took; the loop's own profiler
makes a law of it, corrected for the cores that the pods share.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

from controller.domain.service_time import service_times_from_document
from controller.profiling.profiler import Profiler
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox
from controller.telemetry.reception import Desk, SharedSecret
from controller.telemetry.server import TelemetryServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.domain.service_time import ServiceTimes
    from controller.domain.serving_config import InstanceShape

PAUSE_S = 1.0


class Listener:
    """Takes heartbeats in a thread of its own until it is closed.

    Args:
        host: address of this machine that pods reach.
        shape: what one pod is, with the cores that all of them share.
        live: how many pods there are now, those that start included.
    """

    def __init__(self, host: str, shape: InstanceShape, live: Callable[[], int]) -> None:
        self._host, self._live = host, live
        self._began_s = time.monotonic()
        self._profiler = Profiler(shape)
        self._profiling = threading.Lock()
        self._merge = HeartbeatMerge(started_at_s=time.time())
        self._secret = secrets.token_hex(16)
        self._start_cpu_s: dict[str, float] = {}
        self._url = ""
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise SystemExit(f"bench: no listener for heartbeats on {host} within 10 s")

    def environment(self) -> dict[str, str]:
        """What a server is told so that it is heard here."""
        return {"TIDEGATE_CONTROLLER_URL": self._url, "TIDEGATE_CONTROLLER_TOKEN": self._secret}

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def write(self, path: Path) -> None:
        """Write down what is known by now, for `read_heard`."""
        with self._profiling:
            fit, starts_cpu_s = self._profiler.fit(), list(self._start_cpu_s.values())
        if not starts_cpu_s:
            raise SystemExit("bench: no pod was heard; look whether pods reach the node's address")
        document = {
            "service": fit.service.to_document(),
            "relative_error": fit.relative_error,
            "batches": fit.batches,
            "cold_start_cpu_s": statistics.median(starts_cpu_s),
        }
        path.write_text(json.dumps(document, indent=1) + "\n")

    async def _listen(self) -> None:
        server = TelemetryServer(SharedSecret(self._secret, Desk(self._merge, Outbox(), self._now)))
        self._url = await server.start(self._host)
        self._ready.set()
        try:
            while not self._stop.is_set():
                await asyncio.sleep(PAUSE_S)
                with self._profiling:
                    self._look()
        finally:
            await server.aclose()

    def _look(self) -> None:
        instances = self._merge.instances()
        for seen in instances:
            # CPU is counted from exec: before it is ready some of the start is missing, and a second later the first
            # answers are in it.
            if seen.heartbeat.ready:
                self._start_cpu_s.setdefault(seen.heartbeat.boot_id, seen.heartbeat.counters["cpu_s"])
        self._profiler.observe(instances, self._now(), live=self._live())

    def _now(self) -> float:
        return time.monotonic() - self._began_s


def read_heard(path: Path) -> tuple[ServiceTimes, float, str]:
    """Return the law, the CPU seconds of a start, and a line about them."""
    heard: dict[str, Any] = json.loads(path.read_text())
    service = service_times_from_document(heard["service"], where=str(path))
    start_cpu_s: float = heard["cold_start_cpu_s"]
    about = f"of {heard['batches']:.0f} batches pods told a law of service times within {heard['relative_error']:.1%},"
    about += f" and {start_cpu_s:.2f} s of CPU for a start"
    return service, start_cpu_s, about
