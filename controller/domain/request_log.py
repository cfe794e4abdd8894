"""Rows of requests.csv: what the load generator saw of each request of a schedule, and of schedule.csv.

Times are seconds since the start of the run. Latency is what a user feels: done minus *intended*, so a late generator
or a full connection pool cannot hide the queue. A request that got no answer has no latency and counts as late.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

RequestClass = Literal["ok", "warm_up", "cold_start", "rejected", "expired", "error"]
"""ok; warm_up: sent before measuring began; cold_start: met a service without a ready instance; rejected: 429;
expired: 504, its deadline passed in the queue; error: anything else that was no right answer."""
REQUEST_COLUMNS = ("index", "intended_s", "sent_s", "done_s", "status", "class", "tokens")
LARGEST_COUNT = 2**53
"""Of a whole number in a row; NumPy holds 64 bits."""


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request. `done_s` is NaN when nothing came back; `status` is 0 without an HTTP answer."""

    index: int
    intended_s: float
    sent_s: float
    done_s: float
    status: int
    request_class: RequestClass
    tokens: int


@dataclass(frozen=True, slots=True)
class RequestLog:
    """Rows in order of arrival, as columns of equal length."""

    intended_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    status: NDArray[np.int64]
    request_class: NDArray[np.str_]
    tokens: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Iterable[RequestRow]) -> RequestLog:
        """Collect rows, sorted by intended time; warm-up requests are left out."""
        kept = sorted((row for row in rows if row.request_class != "warm_up"), key=lambda row: row.index)
        return cls(
            np.array([row.intended_s for row in kept], dtype=np.float64),
            np.array([row.sent_s for row in kept], dtype=np.float64),
            np.array([row.done_s for row in kept], dtype=np.float64),
            np.array([row.status for row in kept], dtype=np.int64),
            np.array([row.request_class for row in kept], dtype=np.str_),
            np.array([row.tokens for row in kept], dtype=np.int64),
        )

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Whether each request got a right answer (cold starts included)."""
        return np.isin(self.request_class, ("ok", "cold_start"))

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """Done minus intended; infinite for a request without a right answer."""
        return np.where(self.answered, self.done_s - self.intended_s, math.inf)


def write_request_log(path: Path, rows: Iterable[RequestRow]) -> None:
    """Write requests.csv; it appears under its name only when it is whole."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(REQUEST_COLUMNS)
        for row in rows:
            times = (f"{row.intended_s:.6f}", f"{row.sent_s:.6f}", f"{row.done_s:.6f}")
            writer.writerow((row.index, *times, row.status, row.request_class, row.tokens))
    partial.replace(path)


def read_request_log(path: Path) -> RequestLog:
    """Read requests.csv.

    Raises:
        BadInputError: the file is missing, or a line is not a row of it.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != REQUEST_COLUMNS:
                raise BadInputError(f"{path}: line 1 needs the columns {','.join(REQUEST_COLUMNS)}")
            return RequestLog.of([_row(cells, f"{path}: line {line}") for line, cells in enumerate(reader, start=2)])
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); give the folder of a finished run") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path}: is no table of text; give the folder of a finished run") from error


def _row(cells: list[str], where: str) -> RequestRow:
    try:
        index, intended, sent, done, status, name, tokens = cells
        known: dict[str, RequestClass] = {each: each for each in get_args(RequestClass)}
        if name not in known:
            raise BadInputError(f"{where}: class {name!r} is not one of {', '.join(known)}")
        counts = int(index), int(status), int(tokens)
        if max(map(abs, counts)) > LARGEST_COUNT:
            raise BadInputError(f"{where}: needs whole numbers up to {LARGEST_COUNT}; got {cells!r:.200}")
        return RequestRow(counts[0], float(intended), float(sent), float(done), counts[1], known[name], counts[2])
    except ValueError as error:
        raise BadInputError(f"{where}: needs {len(REQUEST_COLUMNS)} cells with numbers; got {cells!r:.200}") from error
