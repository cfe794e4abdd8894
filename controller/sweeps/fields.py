"""Read a closed document: each field is taken with its type, and what is left over is an error that names its path.

The sweep document uses it; the path in a message is what `kubectl` would print, such as `spec.parameters[1].vaules`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar, cast

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

_KINDS: dict[type, str] = {str: "a text", int: "a whole number", dict: "an object", list: "a list"}


def typed(value: object, kind: type[T], where: str) -> T:
    """Return `value` when it is a `kind` (a boolean is no number).

    Raises:
        BadInputError: it is something else.
    """
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    raise BadInputError(f"{where}: needs {_KINDS.get(kind, kind.__name__)}, got {value!r}")


@dataclass(slots=True)
class Fields:
    """The fields of one object that were not taken yet."""

    document: Mapping[str, object]
    where: str
    """Path of the object in the document, after the name of the file: `FILE: spec.objective`."""
    known: list[str] = field(default_factory=list[str])

    @classmethod
    def of(cls, value: object, where: str) -> Fields:
        """Start reading an object.

        Raises:
            BadInputError: it is none, or a key is no text.
        """
        document = cast("dict[object, object]", typed(value, dict, where.removesuffix(":")))
        for key in document:
            typed(key, str, f"{where.removesuffix(':')}: key {key!r}")
        return cls(cast("dict[str, object]", document), where)

    def path(self, name: str) -> str:
        """Return the path of a field, as messages print it."""
        return f"{self.where}{' ' if self.where.endswith(':') else '.'}{name}"

    def has(self, name: str) -> bool:
        """Return whether the field is there, and count it as known."""
        self.known.append(name)
        return self.document.get(name) is not None

    def take(self, name: str, kind: type[T]) -> T:
        """Return a required field.

        Raises:
            BadInputError: it is missing or of another type.
        """
        if not self.has(name):
            self._refuse_unknown()  # a misspelt name is the likelier mistake, so it is told first
            raise BadInputError(f"{self.path(name)}: is missing; it needs {_KINDS.get(kind, kind.__name__)}")
        return typed(self.document[name], kind, self.path(name))

    def take_or(self, name: str, default: T) -> T:
        """Return an optional field of the default's type."""
        return typed(self.document[name], type(default), self.path(name)) if self.has(name) else default

    def take_choice(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """Return a field that is one of a closed set of words.

        Raises:
            BadInputError: missing without a default, or another word.
        """
        value = self.take(name, str) if default is None else self.take_or(name, default)
        if value not in choices:
            raise BadInputError(
                f"{self.path(name)}: {value!r} is not one of {', '.join(choices)}{hint(value, choices)}"
            )
        return value

    def finish(self, *more: str) -> None:
        """Refuse fields that nobody took; `more` are further names that would have been taken.

        Raises:
            BadInputError: there is such a field.
        """
        self.known.extend(more)
        self._refuse_unknown(final=True)

    def _refuse_unknown(self, *, final: bool = False) -> None:
        for name in self.document:
            if name in self.known:
                continue
            likely = hint(name, self.known)
            if likely or final:
                known = likely or f"; known are {', '.join(dict.fromkeys(self.known))}"
                raise BadInputError(f"{self.path(name)}: unknown field{known}")


def hint(word: str, known: Sequence[str]) -> str:
    """Return `; did you mean …?` for a word close to a known one, else nothing."""
    by_lower = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""
