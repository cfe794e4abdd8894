"""Flags that `predict` and `optimize` share, and the checks of what they hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from controller.domain.prices import DEFAULT_PRICE_LIST
from controller.domain.serving_config import ServerLaw
from controller.errors import BadInputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from controller.domain.service_time import ServiceTimes

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
            memories: Sequence[int] = range(first, last + 1, step)
        else:
            memories = sorted({int(part) for part in text.split(",")})
    except ValueError as error:
        raise BadInputError(f"memory: needs MB such as 2048, 1024,2048 or 1280:3008:64, got {text!r}") from error
    if not memories or min(memories) < 1:
        raise BadInputError(f"memory: needs at least one positive number of MB, got {text!r}")
    return tuple(memories)


def choose_memory(service: ServiceTimes, memory_mb: int | None) -> int:
    """Return the memory a cost is computed for: the one given, or the only one that was measured.

    Raises:
        BadInputError: there is none, or several.
    """
    if memory_mb is not None:
        if memory_mb < 1:
            raise BadInputError(f"memory: needs a positive number of MB, got {memory_mb}")
        return memory_mb
    if len(service.memories_mb) == 1:
        return service.memories_mb[0]
    listed = f" (one of {', '.join(map(str, service.memories_mb))})" if service.memories_mb else ""
    raise BadInputError(f"memory: cost needs it; give --memory-mb{listed}")
