"""Environments of a Lambda function: cold starts, keep-alive, the limits of concurrency and of new environments.

The law `infinite_timer` lets every call start at once. Here its calls meet a platform: a call takes the environment
that became idle last, so that the others can age; where none is idle a new one starts, which takes its INIT and is
billed; one that was idle for longer than the keep-alive is gone. A call beyond the concurrency, or beyond the rate at
which environments start, is throttled (429): its requests are rejected and cost nothing. Limits: AWS Lambda's quotas
and its page on scaling behaviour; INIT is billed since August 2025.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.cost import MB_PER_VCPU
from controller.domain.instance_log import InstanceRow
from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.performance_model.simulation_result import SimulationResult

LONGEST_INIT_S = 10.0
"""An INIT that is not done by then is cut off and run again inside the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionLimits:
    """How environments come and go; the defaults are those of an account, with environments that never age."""

    init_s: float = 0.0
    """From the call that needs a new environment to its handler."""
    keep_alive_s: float = math.inf
    """How long an idle environment waits for its next call; Lambda promises nothing, 45 to 60 minutes were seen."""
    concurrency: int = 1000
    """Calls in parallel."""
    starts: int = 1000
    """New environments that may start at once; what is not used does not add up."""
    starts_per_s: float = 100.0
    """New environments a second beyond those: 1,000 in ten seconds."""

    def __post_init__(self) -> None:
        if not 0 <= self.init_s < math.inf or not self.keep_alive_s >= 0:
            raise BadInputError(
                f"environments: needs an INIT and a keep-alive of 0 s or more, got {self.init_s} and "
                f"{self.keep_alive_s}"
            )
        if self.concurrency < 1 or self.starts < 1 or not self.starts_per_s > 0:
            raise BadInputError(
                "environments: needs a concurrency, starts and starts a second above 0, got "
                f"{self.concurrency}, {self.starts} and {self.starts_per_s}"
            )

    @property
    def cold_s(self) -> float:
        """Seconds that a cold call takes, and is billed, beyond a warm one."""
        return self.init_s if self.init_s <= LONGEST_INIT_S else LONGEST_INIT_S + self.init_s


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """What became of calls.

    Attributes:
        is_cold: shape (n_calls,), whether a call started an environment.
        is_throttled: shape (n_calls,).
        lives: of each environment: started, last idle from, in order of starts; it is gone a keep-alive after that.
    """

    is_cold: NDArray[np.bool_]
    is_throttled: NDArray[np.bool_]
    lives: list[tuple[float, float]]


def serve_calls(leaves_s: NDArray[np.float64], call_s: NDArray[np.float64], limits: FunctionLimits) -> Served:
    """Send calls to environments.

    Args:
        leaves_s: when each call is made, shape (n_calls,), ascending.
        call_s: seconds of each on a warm environment, same shape.
        limits: of the platform.
    """
    cold, throttled = np.zeros((2, leaves_s.size), dtype=np.bool_)
    started: list[float] = []
    idle_from: list[float] = []
    idle: deque[tuple[float, int]] = deque()
    busy: list[tuple[float, int]] = []
    tokens, refilled_s = float(limits.starts), 0.0
    for call, (now_s, seconds) in enumerate(zip(leaves_s.tolist(), call_s.tolist(), strict=True)):
        while busy and busy[0][0] <= now_s:
            idle.append(heappop(busy))
        while idle and idle[0][0] + limits.keep_alive_s < now_s:
            idle.popleft()
        if len(busy) >= limits.concurrency:
            throttled[call] = True
            continue
        if idle:
            end_s, environment = now_s + seconds, idle.pop()[1]
        else:
            tokens = min(limits.starts, tokens + (now_s - refilled_s) * limits.starts_per_s)
            refilled_s = now_s
            if tokens < 1:
                throttled[call] = True
                continue
            tokens -= 1
            cold[call] = True
            end_s, environment = now_s + limits.cold_s + seconds, len(started)
            started.append(now_s)
            idle_from.append(end_s)
        idle_from[environment] = end_s
        heappush(busy, (end_s, environment))
    return Served(cold, throttled, list(zip(started, idle_from, strict=True)))


def with_environments(
    unlimited: SimulationResult, limits: FunctionLimits, *, memory_mb: int | None
) -> SimulationResult:
    """Return what a simulation of calls without bound would have seen on a platform with limits.

    Environments are listed as instances, from their start until they are gone; calls are paid, INIT included, and
    instances are not. Throttled calls are no batches.

    Args:
        unlimited: of the law `infinite_timer`; batches in the order in which they leave.
        limits: of the platform.
        memory_mb: of the function, for the list of environments.
    """
    firsts = np.cumsum(unlimited.batch_size) - unlimited.batch_size
    leaves_s = unlimited.arrival_s[firsts] + unlimited.latency_s[firsts] - unlimited.batch_s
    served = serve_calls(leaves_s, unlimited.batch_s, limits)
    extra_s = np.where(served.is_throttled, np.inf, served.is_cold * limits.cold_s)
    request_class = np.full(unlimited.batch_size.size, "ok", dtype=unlimited.request_class.dtype)
    request_class = np.where(served.is_throttled, "rejected", np.where(served.is_cold, "cold_start", request_class))
    latency_s = unlimited.latency_s + np.repeat(extra_s, unlimited.batch_size)
    kept = ~served.is_throttled
    answered = np.isfinite(latency_s)
    until_s = float((unlimited.arrival_s + latency_s)[answered].max(initial=unlimited.arrival_s.max(initial=0.0)))
    return replace(
        unlimited,
        latency_s=latency_s,
        request_class=np.repeat(request_class, unlimited.batch_size),
        batch_size=unlimited.batch_size[kept],
        padded_tokens=unlimited.padded_tokens[kept],
        batch_s=(unlimited.batch_s + extra_s)[kept],
        instances=[_row(place, life, limits, memory_mb or 0, until_s) for place, life in enumerate(served.lives)],
        until_s=until_s,
    )


def _row(place: int, life: tuple[float, float], limits: FunctionLimits, memory_mb: int, until_s: float) -> InstanceRow:
    started_s, idle_s = life
    gone_s = idle_s + limits.keep_alive_s
    stopped_s = gone_s if gone_s <= until_s else math.nan
    name = f"environment-{place + 1}"
    return InstanceRow(
        name, "function", started_s, started_s + limits.cold_s, stopped_s, memory_mb / MB_PER_VCPU, memory_mb
    )
