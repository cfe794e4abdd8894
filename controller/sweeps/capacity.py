"""What one core serves: answers a second by the wall clock while more is asked of it than it can give.

A calm run first tells roughly what a core can do, from the servers' own CPU counter; that figure is too low where
batches were small and too high where neighbours take time from the core. The second run asks for twice as much, and
what is answered then is the capacity.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.request_log import read_request_log
from controller.errors import TemporaryError
from controller.profiling.profiler import Profiler
from controller.sweeps.live_run import run_live

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from controller.domain.request_log import RequestLog
    from controller.domain.service_time import TokenServiceTimes
    from controller.platforms.protocol import Platform
    from controller.sweeps.live_run import LiveRun
    from controller.telemetry.merge import HeartbeatMerge
    from controller.telemetry.outbox import Outbox

CALM_RPS = 60.0
CALM_S = 3.0
BEYOND = 2.0
"""The second run asks for so many times what the first one, or an earlier second one, seems to allow."""
FULL_S = 7.0
FILLING_S = 1.0
"""The first second is left out: the queue, and with it the batches, must grow first."""
SATURATED = 0.95
"""A core that answers more than this share of what is asked was not asked for enough."""
MOST_RUNS = 4
SHARED = 0.6
"""A saturated core answers more than its calm CPU time promises, since batches are full. One that answers less than
this share of it works for other programs, too, and a schedule drawn to that figure would prove nothing."""
MOST_ASKED_RPS = 1200.0
"""What one load generator sends in time with certainty."""
LEAST_CPU_S = 0.05


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


async def measure_capacity(plan: LiveRun, say: Callable[[str], None]) -> float:
    """Return requests a second that one core answers, measured with a plan's model, payloads, setting and cores.

    Raises:
        TemporaryError: a run failed, the core could not be saturated, or it works for others.
    """
    watch = ServiceWatch(plan)
    await run_live(_probe(plan, "calm", CALM_RPS, CALM_S), loop=watch, progress=say)
    calm_rps = watch.answered_per_cpu_s()
    found_rps, asked_rps = calm_rps, CALM_RPS
    for number in range(1, MOST_RUNS):
        probe = _probe(plan, f"full-{number}", min(MOST_ASKED_RPS, BEYOND * found_rps), FULL_S)
        await run_live(probe, loop=None, progress=say)
        found_rps, asked_rps = answers_and_arrivals_rps(read_request_log(probe.folder / "requests.csv"))
        if SHARED * calm_rps <= found_rps < SATURATED * asked_rps:
            return found_rps
        if found_rps < SHARED * calm_rps:
            say(f"  only {found_rps:.0f} of {calm_rps:.0f} answers/s: other programs use this core; once more")
            found_rps = calm_rps
    raise TemporaryError(
        f"capacity: could not be told, the last of {MOST_RUNS} runs asked for {asked_rps:.0f} requests/s; "
        "close programs that use the servers' core, or take a larger model"
    )


def _probe(plan: LiveRun, name: str, rate_rps: float, duration_s: float) -> LiveRun:
    return replace(
        plan,
        folder=plan.folder / name,
        arrivals={"kind": "poisson", "rate_rps": rate_rps},
        config=replace(plan.config, min_scale=1, max_scale=1),
        duration_s=duration_s,
        tail_s=1.5,
    )


def answers_and_arrivals_rps(log: RequestLog) -> tuple[float, float]:
    """Return answers and arrivals a second of the part of a run in which the queue was long."""
    done_s = log.done_s[log.answered]
    answers = np.count_nonzero((done_s >= FILLING_S) & (done_s < FULL_S))
    arrivals = np.count_nonzero((log.intended_s >= FILLING_S) & (log.intended_s < FULL_S))
    return answers / (FULL_S - FILLING_S), arrivals / (FULL_S - FILLING_S)
