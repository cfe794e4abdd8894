"""Tables whose rows have named fields: a list of objects in plain Python, one structured array where code is compiled.

The functions that work on them (`table[k].field`) are the same. A row's class gives the fields, their order and their
defaults; `float` and `int` are the only types.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

Row = TypeVar("Row")


class PlainTables:
    """Makes lists of objects and lists of numbers."""

    def rows(self, kind: Callable[[], Row], size: int) -> list[Row]:
        """Return `size` rows with their defaults."""
        return [kind() for _ in range(size)]

    def row(self, table: Sequence[Row]) -> Row:
        """Return the only row of a table, to be read and written."""
        return table[0]

    def numbers(self, values: Sequence[Any] | NDArray[Any]) -> Any:
        """Return numbers to be indexed one by one."""
        return values if isinstance(values, list) else cast("NDArray[Any]", values).tolist()

    def grown(self, table: Any, extra: Any) -> Any:
        """Return a table followed by the rows of another."""
        return table + extra

    def fill(self, table: Any, column: str, values: NDArray[Any], *, start: int = 0) -> None:
        """Set a column from row `start` on."""
        for row, value in zip(table[start:], values.tolist(), strict=False):
            setattr(row, column, value)

    def column(self, kind: Callable[[], Any], table: Any, name: str, *, start: int = 0, stop: int) -> NDArray[Any]:
        """Return a copy of one column from row `start` to before `stop`."""
        import numpy as np  # noqa: PLC0415  the activator uses rows only, and starts without numpy

        return np.array([getattr(row, name) for row in table[start:stop]], dtype=dtype_of(kind)[name])

    def objects(self, table: Any, kind: Callable[..., Row], stop: int) -> Sequence[Row]:
        """Return the first rows as objects, to be read only."""
        del kind
        return table[:stop]


class CompiledTables:
    """Makes structured arrays and plain arrays; see `PlainTables` for the meaning of each method."""

    def rows(self, kind: Callable[[], Any], size: int) -> Any:
        """See `PlainTables.rows`."""
        import numpy as np  # noqa: PLC0415

        table = np.zeros(size, dtype=dtype_of(kind))
        for name, value in _defaults_of(kind):
            table[name] = value
        return table

    def row(self, table: Sequence[Row]) -> Row:
        """See `PlainTables.row`."""
        import numpy as np  # noqa: PLC0415

        rows = cast("Any", table)
        return rows.view(np.dtype((np.record, rows.dtype)))[0]

    def numbers(self, values: Sequence[Any] | NDArray[Any]) -> Any:
        """See `PlainTables.numbers`."""
        import numpy as np  # noqa: PLC0415

        return np.ascontiguousarray(values)

    def grown(self, table: Any, extra: Any) -> Any:
        """See `PlainTables.grown`."""
        import numpy as np  # noqa: PLC0415

        return np.concatenate((table, extra)) if len(table) else extra

    def fill(self, table: Any, column: str, values: NDArray[Any], *, start: int = 0) -> None:
        """See `PlainTables.fill`."""
        table[column][start : start + values.size] = values

    def column(self, kind: Callable[[], Any], table: Any, name: str, *, start: int = 0, stop: int) -> NDArray[Any]:
        """See `PlainTables.column`."""
        del kind
        return table[name][start:stop].copy()

    def objects(self, table: Any, kind: Callable[..., Row], stop: int) -> Sequence[Row]:
        """See `PlainTables.objects`."""
        return [kind(*row) for row in table[:stop].tolist()]


Tables = PlainTables | CompiledTables


@cache
def dtype_of(kind: Callable[[], Any]) -> np.dtype[Any]:
    """Return the type of a structured array with the fields of a row."""
    import numpy as np  # noqa: PLC0415

    codes = {"float": np.float64, "int": np.int64}
    return np.dtype([(each.name, codes[cast("str", each.type)]) for each in fields(cast("Any", kind))])


@cache
def _defaults_of(kind: Callable[[], Any]) -> tuple[tuple[str, float], ...]:
    """Return the defaults that are not 0; memory of zeros need not be touched before it is used."""
    return tuple((name, value) for name, value in asdict(kind()).items() if value)


def with_room(tables: Tables, kind: Callable[[], Row], ring: Sequence[Row], first: int, count: int) -> tuple[Any, int]:
    """Return a ring with a free place, doubled where it had none, and where its oldest row is now."""
    if count + 1 < len(ring):
        return ring, first
    straight = tables.grown(ring[first:], ring[:first]) if len(ring) else tables.rows(kind, 0)
    return tables.grown(straight, tables.rows(kind, max(64, len(ring)))), 0
