"""What one core serves: a short live run beyond saturation, read from the servers' own CPU counter.

Requests per CPU second, the server's HTTP and tokenising included, is the capacity of a core whatever the load
generator or the activator can push through, so the figure needs no exact saturation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from controller.errors import TemporaryError
from controller.profiling.profiler import Profiler
from controller.sweeps.live_run import run_live

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.domain.service_time import TokenServiceTimes
    from controller.platforms.protocol import Platform
    from controller.sweeps.live_run import LiveRun
    from controller.telemetry.merge import HeartbeatMerge
    from controller.telemetry.outbox import Outbox

PROBE_RPS = 300.0
PROBE_S = 8.0
"""About 2,400 requests. A shared core drifts by a tenth within seconds, and the schedule is drawn to this figure."""
LEAST_CPU_S = 0.5


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was measured: requests one core answers in a second, and the law of service times behind it."""

    rps: float
    service: TokenServiceTimes


class ServiceWatch:
    """A loop that decides nothing: it reads heartbeats for the law of service times and for CPU per request."""

    def __init__(self, plan: LiveRun) -> None:
        self._profiler = Profiler(plan.shape)
        self._first: dict[str, tuple[float, float]] = {}
        self._last: dict[str, tuple[float, float]] = {}

    async def __call__(self, platform: Platform, merge: HeartbeatMerge, outbox: Outbox, folder: Path) -> None:
        """Watch until cancelled."""
        del outbox, folder
        while True:
            state = await platform.state()
            self._look(merge, state.at_s, state.ready + state.starting)
            await platform.advance(state.at_s + 0.5)

    def service(self) -> TokenServiceTimes:
        """Return the law of service times so far."""
        return self._profiler.fit().service

    def answered_per_cpu_s(self) -> float:
        """Return answers per CPU second of all servers, their start left out.

        Raises:
            TemporaryError: the servers did too little to tell.
        """
        answered = sum(last[0] - self._first[boot][0] for boot, last in self._last.items())
        cpu_s = sum(last[1] - self._first[boot][1] for boot, last in self._last.items())
        if cpu_s < LEAST_CPU_S:
            raise TemporaryError(f"capacity: the servers worked only {cpu_s:.2f} s of CPU; is the model answering?")
        return answered / cpu_s

    def _look(self, merge: HeartbeatMerge, now_s: float, live: int) -> None:
        instances = merge.instances()
        self._profiler.observe(instances, now_s, live=live)
        for seen in instances:
            beat = seen.heartbeat
            if beat.ready:
                counters = (beat.counters["answered"], beat.counters["cpu_s"])
                self._first.setdefault(beat.boot_id, counters)
                self._last[beat.boot_id] = counters


async def measure_capacity(plan: LiveRun, say: Callable[[str], None]) -> Capacity:
    """Run the probe with a plan's model, payloads, setting and cores, into the plan's folder."""
    watch = ServiceWatch(plan)
    probe = replace(
        plan,
        arrivals={"kind": "poisson", "rate_rps": PROBE_RPS},
        config=replace(plan.config, min_scale=1, max_scale=1),
        duration_s=PROBE_S,
        tail_s=1.5,
    )
    await run_live(probe, loop=watch, progress=say)
    return Capacity(watch.answered_per_cpu_s(), watch.service())
