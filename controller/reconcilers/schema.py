"""From frozen dataclasses to OpenAPI schemas, and from documents to those dataclasses: one source for both.

Field names are snake_case here and camelCase in a document. `About` says what a field means and may hold; `RULES` of a
class are CEL expressions that the API server checks. The first line of a class's docstring describes the object.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from controller.errors import BadInputError

Schema = dict[str, Any]
T = TypeVar("T")


class Rule(NamedTuple):
    """A CEL expression over `self`, and the message of its refusal."""

    expression: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a field means, and what the API server checks of it beyond its type.

    Attributes:
        text: of `kubectl explain`.
        extra: keywords of OpenAPI, such as `pattern`, `minimum` or `x-kubernetes-int-or-string`.
        rules: CEL expressions over the field.
    """

    text: str
    extra: tuple[tuple[str, Any], ...] = ()
    rules: tuple[Rule, ...] = ()


def about(text: str, *rules: Rule, **extra: Any) -> About:
    """Return what a field means; an underscore in a keyword stands for the dash of `x-kubernetes-…`."""
    keywords = tuple((name.replace("_", "-") if name.startswith("x_") else name, each) for name, each in extra.items())
    return About(text=text, extra=keywords, rules=rules)


class Document(Protocol):
    """A dataclass that stands for an object of a document."""

    RULES: ClassVar[tuple[Rule, ...]]


def camel(name: str) -> str:
    """Return the document's spelling of a field."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def schema_of(kind: type) -> Schema:
    """Return the structural schema of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    properties: Schema = {}
    required: list[str] = []
    for field in fields(kind):
        properties[camel(field.name)] = found = _schema(hints[field.name])
        default = _default_of(field)
        if default is MISSING:
            required.append(camel(field.name))
        elif default is not None:
            found["default"] = default
    schema: Schema = {"type": "object", "description": _first_line(kind), "properties": properties}
    if required:
        schema["required"] = required
    rules = _rules(getattr(kind, "RULES", ()))
    return schema | ({"x-kubernetes-validations": rules} if rules else {})


def _default_of(field: Any) -> Any:
    """Return a field's default as a document writes it; MISSING where it is required, None where it may be absent."""
    if field.default is not MISSING:
        return None if field.default is None else [] if field.default == () else field.default
    if field.default_factory is MISSING:
        return MISSING
    # An object whose own fields all have defaults: an empty one lets the API server fill them in.
    return {}


def _schema(hint: Any) -> Schema:
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        found = _schema(inner)
        for note in notes:
            found |= {"description": note.text} | dict(note.extra)
            if note.rules:
                found["x-kubernetes-validations"] = _rules(note.rules)
        if "x-kubernetes-int-or-string" in found:
            found.pop("type", None)
            found["anyOf"] = [{"type": "integer"}, {"type": "string"}]
        return found
    return _plain_schema(hint)


def _plain_schema(hint: Any) -> Schema:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _schema(next(each for each in arguments if each is not type(None)))
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    if is_dataclass(hint):
        return schema_of(hint)  # type: ignore[arg-type]
    return {"type": {str: "string", int: "integer", bool: "boolean", object: "object"}[hint]}


def _rules(rules: tuple[Rule, ...]) -> list[Schema]:
    return [{"rule": each.expression, "message": each.message} for each in rules]


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def read(kind: type[T], document: object, where: str) -> T:
    """Return the dataclass of a document that the API server has checked; unknown fields are ignored.

    Raises:
        BadInputError: a required field is missing or of another type: the definition in the cluster is another one.
    """
    if not isinstance(document, dict):
        raise BadInputError(f"{where}: needs an object, got {type(document).__name__}; apply the definitions again")
    hints = get_type_hints(kind, include_extras=True)
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        name = camel(field.name)
        if document.get(name) is not None:
            values[field.name] = _value(hints[field.name], document[name], f"{where}.{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise BadInputError(f"{where}.{name}: is missing; apply the definitions again")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    notes: list[About] = []
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        inner = next(each for each in arguments if each is not type(None))
        return _value(Annotated[(inner, *notes)] if notes else inner, value, where)
    if is_dataclass(hint):
        return read(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        items = _of_kind(list, value, where, "a list")
        return tuple(_value(arguments[0], each, f"{where}[{index}]") for index, each in enumerate(items))
    if origin is dict:
        pairs = _of_kind(dict, value, where, "an object")
        return {str(name): _value(arguments[1], each, f"{where}.{name}") for name, each in pairs.items()}
    return _scalar(hint, value, where, is_either=any("x-kubernetes-int-or-string" in dict(n.extra) for n in notes))


def _of_kind(kind: type[T], value: object, where: str, wanted: str) -> T:
    if not isinstance(value, kind):
        raise BadInputError(f"{where}: needs {wanted}, got {value!r:.60}")
    return value


def _scalar(hint: Any, value: Any, where: str, *, is_either: bool) -> Any:
    kinds: tuple[type, ...] = {str: (str,), int: (int,), bool: (bool,), object: (object,)}.get(hint, (str,))
    choices = get_args(hint) if get_origin(hint) is Literal else None
    if is_either:
        kinds = (int, str)
    is_wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds and object not in kinds)
    if is_wrong or (choices and value not in choices):
        wanted = ", ".join(choices) if choices else " or ".join(each.__name__ for each in kinds)
        raise BadInputError(f"{where}: needs {wanted}, got {value!r:.60}")
    return value
