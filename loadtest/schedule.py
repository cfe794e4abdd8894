"""The schedule of a run: when each request is due and which text it carries, fixed before the first is sent.

One seed gives one schedule, and schedule.csv gives it back bit for bit: instants are whole microseconds from the start,
in memory as in the file.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.arrival_map import Map
from controller.domain.arrival_process import ArrivalProcess, Phases, PoissonProcess, Trace, sample_arrivals
from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from loadtest.payloads import Payloads

SCHEDULE_COLUMNS = ("index", "intended_s", "tokens", "text_id")
MAX_REQUESTS = 5_000_000
"""A longer schedule is taken for a mistake in a rate or a duration; it would need gigabytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Requests in order of arrival, as columns of shape (n,), n >= 1, read-only.

    Attributes:
        intended_s: seconds from the start of the run, ascending.
        tokens: estimated length of the text.
        text_id: which text of the payloads.
    """

    intended_s: NDArray[np.float64]
    tokens: NDArray[np.int64]
    text_id: NDArray[np.int64]

    def __post_init__(self) -> None:
        for column in (self.intended_s, self.tokens, self.text_id):
            column.flags.writeable = False

    def __len__(self) -> int:
        return len(self.intended_s)

    def rows(self) -> Iterator[tuple[int, str, int, int]]:
        """Rows as schedule.csv has them."""
        columns = (self.intended_s.tolist(), self.tokens.tolist(), self.text_id.tolist())
        for index, (intended_s, tokens, text_id) in enumerate(zip(*columns, strict=True)):
            yield index, f"{intended_s:.6f}", tokens, text_id


def make_schedule(process: ArrivalProcess, *, duration_s: float, seed: int, payloads: Payloads) -> Schedule:
    """Draw a schedule: arrivals from the seed alone, so that they stay the same when the payloads change.

    Raises:
        BadInputError: nothing arrives within the duration, or more than any run can hold.
    """
    expected = _expected_arrivals(process, duration_s)
    if expected > MAX_REQUESTS:
        raise BadInputError(
            f"--arrivals: about {expected:.3g} requests in {duration_s:g} s, more than {MAX_REQUESTS}; "
            "lower the rate or --duration"
        )
    instants = sample_arrivals(process, duration_s=duration_s, rng=np.random.default_rng(seed))
    if not len(instants):
        raise BadInputError(f"--arrivals: nothing arrives within {duration_s:g} s; raise the rate or --duration")
    texts = np.random.default_rng([seed, 1]).integers(len(payloads.texts), size=len(instants))
    return Schedule(np.round(instants, 6), np.array(payloads.tokens, dtype=np.int64)[texts], texts)


def write_schedule(path: Path, schedule: Schedule) -> None:
    """Write schedule.csv."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(SCHEDULE_COLUMNS)
        writer.writerows(schedule.rows())


def read_schedule(path: Path, payloads: Payloads) -> Schedule:
    """Read a saved schedule.csv for a replay with the payloads it was made with.

    Raises:
        BadInputError: unreadable, empty, a line that is no row of it, or other payloads.
    """
    remedy = "give the schedule.csv of a run"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != SCHEDULE_COLUMNS:
                raise BadInputError(f"{path}: line 1 needs the columns {','.join(SCHEDULE_COLUMNS)}; {remedy}")
            return _of(enumerate(reader), path, payloads)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path}: is no table of text; {remedy}") from error


def _of(rows: Iterable[tuple[int, list[str]]], path: Path, payloads: Payloads) -> Schedule:
    intended: list[float] = []
    texts: list[int] = []
    for index, cells in rows:
        where, before = f"{path}: line {index + 2}", intended[-1] if intended else 0.0
        try:
            number, intended_s, tokens, text_id = int(cells[0]), float(cells[1]), int(cells[2]), int(cells[3])
        except (ValueError, IndexError) as error:
            raise BadInputError(f"{where}: needs four numbers, got {','.join(cells)[:60]!r}") from error
        if number != index or not before <= intended_s < np.inf:
            raise BadInputError(f"{where}: rows need rising index and intended_s, got {','.join(cells)[:60]!r}")
        if not 0 <= text_id < len(payloads.texts) or payloads.tokens[text_id] != tokens:
            raise BadInputError(
                f"{where}: text {text_id} with {tokens} tokens is not in --payloads {payloads.name}; "
                "replay with the payloads the schedule was made with"
            )
        intended.append(intended_s)
        texts.append(text_id)
    if not intended:
        raise BadInputError(f"{path}: holds no request; give the schedule.csv of a run")
    text_id = np.array(texts, dtype=np.int64)
    return Schedule(np.array(intended), np.array(payloads.tokens, dtype=np.int64)[text_id], text_id)


def _expected_arrivals(process: ArrivalProcess, duration_s: float) -> float:
    match process:
        case PoissonProcess() | Map():
            return process.rate_rps * duration_s
        case Trace():
            return float(len(process.times_s))
        case Phases():
            cycle_s = sum(phase.duration_s for phase in process.phases)
            cycles = max(1.0, duration_s / cycle_s)
            lengths = [min(phase.duration_s, duration_s) for phase in process.phases]
            return cycles * sum(
                _expected_arrivals(phase.arrivals, s) for phase, s in zip(process.phases, lengths, strict=True)
            )
