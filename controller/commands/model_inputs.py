"""Flags that `predict` and `optimize` share, and the checks of what they hold."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from controller.domain.arrival_map import Map
from controller.domain.arrival_process import PoissonProcess, Trace
from controller.domain.prices import DEFAULT_PRICE_LIST
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import ServerLaw
from controller.errors import BadInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.arrival_process import ArrivalProcess
    from controller.domain.service_time import ServiceTimes

DAY_S = 86_400.0
LONGEST_SIMULATED_S = 7 * DAY_S
LARGEST_MEMORY_MB = 2**24
MOST_MEMORIES = 10_000
MOST_WORKERS = 1024
SERVER_LAWS: tuple[ServerLaw, ...] = get_args(ServerLaw)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags for arrivals, service times, server law, lengths, prices and JSON."""
    parser.add_argument("--arrivals", type=Path, required=True, metavar="A", help="arrivals document (JSON)")
    parser.add_argument("--service-times", type=Path, required=True, metavar="S", help="service-times document (JSON)")
    parser.add_argument(
        "--server-law",
        choices=SERVER_LAWS,
        default="infinite_timer",
        help="how the platform serves: calls without bound (Lambda), one server with c workers, or Knative pods",
    )
    parser.add_argument("--workers", type=int, metavar="c", help="workers per instance; default 1")
    parser.add_argument("--lengths", type=Path, metavar="FILE", help="request lengths in tokens, one a line")
    parser.add_argument(
        "--prices", default=DEFAULT_PRICE_LIST, metavar="LIST", help=f"price list or file; default {DEFAULT_PRICE_LIST}"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def parse_quantiles(text: str) -> tuple[str, ...]:
    """Return the quantiles of a comma-separated list as they were written.

    Raises:
        BadInputError: an entry is no number between 0 and 1.
    """
    quantiles = tuple(part.strip() for part in text.split(","))
    for part in quantiles:
        try:
            inside = 0 < float(part) < 1
        except ValueError:
            inside = False
        if not inside:
            raise BadInputError(f"quantile: needs numbers between 0 and 1 such as 0.5,0.95, got {part!r}")
    return quantiles


def parse_memories(text: str) -> tuple[int, ...]:
    """Return memories from `1024`, `1024,2048` or `1280:3008:64` (first, last, step), ascending.

    Raises:
        BadInputError: anything else.
    """
    try:
        if ":" in text:
            first, last, step = (int(part) for part in text.split(":"))
            # Counted before any is made: a step that is too small would fill the memory.
            if step > 0 and (last - first) // step >= MOST_MEMORIES:
                raise BadInputError(f"memory: at most {MOST_MEMORIES} are tried; widen the step of {text!r:.80}")
            memories: Sequence[int] = range(first, last + 1, step)
        else:
            memories = sorted({int(part) for part in text.split(",")})
    except ValueError as error:
        raise BadInputError(f"memory: needs MB such as 2048, 1024,2048 or 1280:3008:64, got {text!r:.80}") from error
    if not memories or min(memories) < 1:
        raise BadInputError(f"memory: needs at least one positive number of MB, got {text!r:.80}")
    if max(memories) > LARGEST_MEMORY_MB:
        raise BadInputError(f"memory: needs at most {LARGEST_MEMORY_MB} MB, got {text!r:.80}")
    return tuple(memories)


def check_memory(memory_mb: int | None) -> None:
    """Check a memory that was given.

    Raises:
        BadInputError: below 1 MB, or more than any machine has.
    """
    if memory_mb is not None and not 1 <= memory_mb <= LARGEST_MEMORY_MB:
        raise BadInputError(
            f"memory: needs a positive number of MB, at most {LARGEST_MEMORY_MB}, got {memory_mb!r:.40}"
        )


def check_seed(seed: int) -> None:
    """Check a seed.

    Raises:
        BadInputError: it is negative.
    """
    if seed < 0:
        raise BadInputError(f"--seed: needs a whole number of at least 0, got {seed!r:.40}")


def choose_memory(service: ServiceTimes, memory_mb: int | None) -> int:
    """Return the memory a cost is computed for: the one given, or the only one that was measured.

    Raises:
        BadInputError: there is none, or several.
    """
    if memory_mb is not None:
        check_memory(memory_mb)
        return memory_mb
    if len(service.memories_mb) == 1:
        return service.memories_mb[0]
    listed = f" (one of {', '.join(map(str, service.memories_mb))})" if service.memories_mb else ""
    raise BadInputError(f"memory: cost needs it; give --memory-mb{listed}")


def choose_workers(service: ServiceTimes, workers: int | None) -> ServiceTimes:
    """Return the service times with this many workers sharing an instance's CPU; unchanged if None.

    Raises:
        BadInputError: fewer than one, or more than any instance has.
    """
    if workers is None:
        return service
    if not 1 <= workers <= MOST_WORKERS:
        raise BadInputError(
            f"--workers: needs a whole number of at least 1 and at most {MOST_WORKERS}, got {workers!r:.40}"
        )
    return replace(service, workers=workers) if isinstance(service, TokenServiceTimes) else service


def simulated_duration_s(process: ArrivalProcess, requests: int) -> float:
    """Return how long to simulate: a trace and phases once, and about so many requests of a stationary process.

    A stationary process is given a day at most, so rare requests are fewer.

    Raises:
        BadInputError: a trace or phases longer than a week.
    """
    match process:
        case PoissonProcess() | Map():
            return min(requests / process.rate_rps, DAY_S)
        case Trace():
            duration_s = math.nextafter(float(process.times_s[-1]), math.inf)
        case _:
            duration_s = sum(phase.duration_s for phase in process.phases)
    if duration_s > LONGEST_SIMULATED_S:
        raise BadInputError(
            f"arrivals: last until {duration_s:.6g} s, at most {LONGEST_SIMULATED_S:g} s (a week) are simulated; "
            "let them begin near 0, or cut them"
        )
    return duration_s


def check_stable(process: ArrivalProcess, mean_service_s: NDArray[np.float64], workers: int) -> None:
    """Check that one server can serve a stationary process.

    Args:
        process: arrivals; traces and phases end, so any rate will do.
        mean_service_s: shape (B,), by batch size.
        workers: of the server.

    Raises:
        BadInputError: requests arrive at least as fast as the best batch size serves them.
    """
    if not isinstance(process, PoissonProcess | Map):
        return
    capacity_rps = workers * float(np.max(np.arange(1, mean_service_s.size + 1) / mean_service_s))
    if process.rate_rps >= capacity_rps:
        raise BadInputError(
            f"queue: unstable, {process.rate_rps:.4g} requests arrive per second and {workers} worker(s) serve at most "
            f"{capacity_rps:.4g}; lower the rate, or raise --workers or --max-batch-size"
        )
