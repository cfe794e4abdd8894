"""Arrival processes: what the optimiser assumes of traffic and what a load test replays.

Four kinds: Poisson, Markovian (`Map`, which covers Markov-modulated and on-off), recorded, and one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.arrival_map import FASTEST_PER_S, SLOWEST_PER_S, Map, mmpp, on_off
from controller.domain.arrival_sampling import sample_map, sample_poisson
from controller.domain.documents import (
    as_list,
    as_object,
    get_matrix,
    get_number,
    get_text,
    get_vector,
    read_json,
    read_numbers,
)
from controller.errors import BadInputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


SHORTEST_PHASE_S = 1e-3
"""Phases are walked through one by one and begin again, so far shorter ones would never reach the end of a run."""


@dataclass(frozen=True, slots=True)
class PoissonProcess:
    """Independent arrivals at a constant rate; a rate of 0 is silence."""

    rate_rps: float

    def __post_init__(self) -> None:
        if self.rate_rps != 0 and not SLOWEST_PER_S <= self.rate_rps <= FASTEST_PER_S:
            bounds = f"{SLOWEST_PER_S:g} to {FASTEST_PER_S:g}"
            raise BadInputError(f"poisson: rate_rps needs 0 or a number from {bounds}, got {self.rate_rps!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Recorded instants, replayed as they are.

    Attributes:
        times_s: shape (n,), ascending, from 0, read-only.
    """

    times_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        times = np.array(self.times_s, dtype=np.float64)
        if times.ndim != 1 or times.size == 0:
            raise BadInputError("trace: needs at least one arrival instant")
        if not np.isfinite(times).all() or times.min() < 0:
            raise BadInputError("trace: needs finite instants of at least 0 s")
        if (np.diff(times) < 0).any():
            raise BadInputError("trace: needs instants in ascending order; sort them")
        times.flags.writeable = False
        object.__setattr__(self, "times_s", times)


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of a `Phases`."""

    duration_s: float
    arrivals: ArrivalProcess

    def __post_init__(self) -> None:
        if not (np.isfinite(self.duration_s) and self.duration_s >= SHORTEST_PHASE_S):
            raise BadInputError(
                "phases: duration_s needs a positive number of seconds, "
                f"at least {SHORTEST_PHASE_S:g}, got {self.duration_s!r}"
            )


@dataclass(frozen=True, slots=True)
class Phases:
    """Processes one after the other, begun again when the last is over."""

    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if not self.phases:
            raise BadInputError("phases: needs at least one phase")


ArrivalProcess = PoissonProcess | Map | Trace | Phases


def as_map(process: PoissonProcess | Map) -> Map:
    """Return a Poisson process as a Map with one phase, a Map as it is."""
    if isinstance(process, Map):
        return process
    return Map(np.array([[-process.rate_rps]]), np.array([[process.rate_rps]]))


def sample_arrivals(process: ArrivalProcess, *, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw sorted arrival instants in [0, duration_s); a Map starts in its stationary phase.

    The same process, duration and generator state give the same instants.

    Returns:
        Shape (n,).
    """
    match process:
        case PoissonProcess():
            return sample_poisson(process.rate_rps, duration_s=duration_s, rng=rng)
        case Map():
            return sample_map(process.D0, process.D1, process.stationary, duration_s=duration_s, rng=rng)
        case Trace():
            return process.times_s[process.times_s < duration_s].copy()
        case Phases():
            return _sample_phases(process, duration_s, rng)


def _sample_phases(process: Phases, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    start, pieces = 0.0, [np.zeros(0)]
    while start < duration_s:
        for phase in process.phases:
            length = min(phase.duration_s, duration_s - start)
            if length <= 0:
                break
            pieces.append(start + sample_arrivals(phase.arrivals, duration_s=length, rng=rng))
            start += length
    return np.concatenate(pieces)


def read_arrivals(path: Path) -> ArrivalProcess:
    """Read an arrivals document.

    Raises:
        BadInputError: unreadable, no JSON, or no valid document.
    """
    document = read_json(path, remedy='give an arrivals document such as {"kind": "poisson", "rate_rps": 10}')
    return arrival_process_from_document(document, where=str(path), base=path.parent)


def arrival_process_from_document(document: object, *, where: str, base: Path) -> ArrivalProcess:
    """Parse an arrivals document; keys it does not need, such as `diagnostics`, are ignored.

    Args:
        document: what JSON gave.
        where: file or key it came from, for the messages.
        base: folder that the `file` of a trace is relative to.

    Raises:
        BadInputError: not an object, unknown kind, missing key, wrong type or value, no arrivals at all.
    """
    process = _parse(document, where, base)
    if isinstance(process, PoissonProcess) and process.rate_rps == 0:
        raise BadInputError(f"{where}: rate_rps is 0, so nothing would ever arrive; give a positive rate")
    return process


def _parse(document: object, where: str, base: Path) -> ArrivalProcess:
    fields = as_object(document, where)
    kind = get_text(fields, "kind", where)
    try:
        return _parse_kind(kind, fields, where, base)
    except BadInputError as error:
        # Values raise without knowing the file; parsing already names it.
        raise error if str(error).startswith((where, str(base))) else BadInputError(f"{where}: {error}") from error


def _parse_kind(kind: str, fields: dict[str, object], where: str, base: Path) -> ArrivalProcess:
    match kind:
        case "poisson":
            return PoissonProcess(get_number(fields, "rate_rps", where))
        case "mmpp":
            return mmpp(get_vector(fields, "rates_rps", where), get_matrix(fields, "switching_per_s", where))
        case "map":
            return Map(get_matrix(fields, "D0", where), get_matrix(fields, "D1", where))
        case "on_off":
            names = ("on_rps", "on_s", "off_s")
            return on_off(**{name: get_number(fields, name, where) for name in names})
        case "trace":
            return _parse_trace(fields, where, base)
        case "phases":
            stretches = as_list(fields.get("phases"), f"{where}: phases")
            return Phases(tuple(_parse_phase(s, f"{where}: phases[{i}]", base) for i, s in enumerate(stretches)))
        case _:
            raise BadInputError(f"{where}: unknown kind {kind!r}; known are poisson, mmpp, map, on_off, trace, phases")


def _parse_phase(document: object, where: str, base: Path) -> Phase:
    fields = as_object(document, where)
    return Phase(get_number(fields, "duration_s", where), _parse(fields.get("arrivals"), f"{where}.arrivals", base))


def _parse_trace(fields: dict[str, object], where: str, base: Path) -> Trace:
    if "times_s" in fields:
        return Trace(get_vector(fields, "times_s", where))
    return Trace(read_times(base / get_text(fields, "file", where)))


def read_times(path: Path) -> NDArray[np.float64]:
    """Read arrival instants in seconds, one a line, ascending, at least 0.

    Returns:
        Shape (n,), n >= 1.

    Raises:
        BadInputError: unreadable, empty, a line that is no number, negative or out of order.
    """
    times, lines = read_numbers(path, what="arrival instant in seconds")
    if times[0] < 0:
        raise BadInputError(f"{path}: line {lines[0]}: instants must not be negative, got {times[0]:g}")
    falls = np.flatnonzero(np.diff(times) < 0)
    if falls.size:
        at = int(falls[0]) + 1
        raise BadInputError(
            f"{path}: line {lines[at]}: instants must ascend, got {times[at]:g} after {times[at - 1]:g}; sort the file"
        )
    return times


def arrival_process_to_document(process: ArrivalProcess) -> dict[str, object]:
    """Return the arrivals document of a process; a trace carries its instants in `times_s`."""
    match process:
        case PoissonProcess():
            return {"kind": "poisson", "rate_rps": process.rate_rps}
        case Map():
            return _map_to_document(process)
        case Trace():
            return {"kind": "trace", "times_s": process.times_s.tolist()}
        case Phases():
            phases = [
                {"duration_s": p.duration_s, "arrivals": arrival_process_to_document(p.arrivals)}
                for p in process.phases
            ]
            return {"kind": "phases", "phases": phases}


def _map_to_document(process: Map) -> dict[str, object]:
    rates = np.diag(process.D1)
    if (np.diag(rates) == process.D1).all():
        switching = process.D0 - np.diag(np.diag(process.D0))
        return {"kind": "mmpp", "rates_rps": rates.tolist(), "switching_per_s": switching.tolist()}
    return {"kind": "map", "D0": process.D0.tolist(), "D1": process.D1.tolist()}
