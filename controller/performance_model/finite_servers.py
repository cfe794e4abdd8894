"""Simulation under each server law: calls without bound, one server with c workers, or pods behind an activator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from controller.performance_model.batch_durations import draw_batches_s
from controller.performance_model.simulation_result import SimulationResult
from controller.performance_model.simulator import PodSimulator
from controller.performance_model.timer_batches import cut_timer_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.service_time import ServiceTimes
    from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServerLaw, ServingConfig


def simulate(  # noqa: PLR0913  requests, a setting, and a platform with its chance
    law: ServerLaw,
    arrival_s: NDArray[np.float64],
    tokens: NDArray[np.int64] | None = None,
    *,
    config: ServingConfig,
    service: ServiceTimes,
    rng: np.random.Generator,
    autoscaler: AutoscalerSettings | None = None,
    shape: InstanceShape | None = None,
    initial_scale: int = 1,
    until_s: float = 0.0,
) -> SimulationResult:
    """Serve these requests and return what was seen.

    Args:
        law: of the platform.
        arrival_s: shape (n,), ascending, from 0.
        tokens: lengths, shape (n,); 1 each if None.
        config: the setting; a law ignores knobs it does not have.
        service: seconds of a batch.
        rng: noise of service times.
        autoscaler: for `knative_pods`.
        shape: for `knative_pods` and `finite_work_conserving`.
        initial_scale: instances at time 0, for `knative_pods`.
        until_s: instances are simulated, and paid for, at least until then.
    """
    if law == "infinite_timer":
        return _simulate_infinite_timer(arrival_s, tokens, config=config, service=service, rng=rng)
    if law == "finite_work_conserving":
        # One server that is always there; each of its workers has a core unless the shape says otherwise.
        config = replace(config, min_scale=1, max_scale=1, container_concurrency=0)
        initial_scale = 1
    simulator = PodSimulator(
        config, service=service, rng=rng, autoscaler=autoscaler, shape=shape, initial_scale=initial_scale
    )
    return replace(simulator.run(arrival_s, tokens, until_s=until_s), server_law=law)


def _simulate_infinite_timer(
    arrival_s: NDArray[np.float64],
    tokens: NDArray[np.int64] | None,
    *,
    config: ServingConfig,
    service: ServiceTimes,
    rng: np.random.Generator,
) -> SimulationResult:
    """Batches leave when full or T after their first request, and no call waits for another (Ali et al. 2020)."""
    lengths = np.ones(arrival_s.size, dtype=np.int64) if tokens is None else tokens
    starts, leaves_s = cut_timer_batches(
        arrival_s, max_batch_size=config.max_batch_size, max_queue_delay_s=config.max_queue_delay_s
    )
    sizes = np.diff(np.append(starts, arrival_s.size))
    longest = np.maximum.reduceat(lengths, starts) if starts.size else lengths
    batch_s = draw_batches_s(service, sizes, longest, memory_mb=config.memory_mb, rng=rng)
    latency_s = np.repeat(leaves_s + batch_s, sizes) - arrival_s
    return SimulationResult(
        server_law="infinite_timer",
        arrival_s=arrival_s,
        latency_s=latency_s,
        request_class=np.full(arrival_s.size, "ok"),
        batch_size=sizes,
        padded_tokens=sizes * longest,
        batch_s=batch_s,
        instances=(),
        until_s=float((arrival_s + latency_s).max(initial=0.0)),
    )
