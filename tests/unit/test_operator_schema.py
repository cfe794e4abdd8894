"""Schemas from dataclasses and dataclasses from documents: every kind of field, and refusals that name their path."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import pytest

from controller.errors import BadInputError
from controller.reconcilers.resources import InferenceTuningSpec
from controller.reconcilers.schema import Rule, about, read, schema_of
from controller.reconcilers.status_resources import InferenceTuningStatus
from controller.reconcilers.sweep_resources import SweepSpec, SweepTrialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """What is inside.

    This line is for readers of the code.
    """

    RULES: ClassVar = (Rule("self.deep_name != ''", "deepName must be said"),)
    deep_name: Annotated[str, about("A text.", pattern="^[a-z]*$", maxLength=9)] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """One field of each kind."""

    text: Annotated[str, about("A text.", Rule("self != 'x'", "not x"))]
    number: Annotated[int, about("A number.", minimum=1)] = 3
    is_on: Annotated[bool, about("A switch.")] = False
    choice: Annotated[Literal["One", "Two"], about("A choice.")] = "One"
    inner: Annotated[Inner, about("Another text.")] = field(default_factory=Inner)
    maybe: Annotated[Inner | None, about("Perhaps.")] = None
    items: Annotated[tuple[Inner, ...], about("Several.", maxItems=4)] = ()
    pairs: Annotated[dict[str, int] | None, about("Pairs.")] = None
    either: Annotated[object | None, about("A number or a text.", x_kubernetes_int_or_string=True)] = None
    anything: Annotated[object | None, about("Anything.", x_kubernetes_preserve_unknown_fields=True)] = None


PROPERTIES = schema_of(Every)["properties"]


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        (
            "text",
            {
                "type": "string",
                "description": "A text.",
                "x-kubernetes-validations": [{"rule": "self != 'x'", "message": "not x"}],
            },
        ),
        ("number", {"type": "integer", "description": "A number.", "minimum": 1, "default": 3}),
        ("isOn", {"type": "boolean", "description": "A switch.", "default": False}),
        ("choice", {"type": "string", "enum": ["One", "Two"], "description": "A choice.", "default": "One"}),
        (
            "pairs",
            {"type": "object", "additionalProperties": {"type": "integer"}, "description": "Pairs."},
        ),
        (
            "either",
            {
                "description": "A number or a text.",
                "x-kubernetes-int-or-string": True,
                "anyOf": [{"type": "integer"}, {"type": "string"}],
            },
        ),
        (
            "anything",
            {"type": "object", "description": "Anything.", "x-kubernetes-preserve-unknown-fields": True},
        ),
    ],
)
def test_the_schema_of_each_kind_of_field(name, schema):
    assert PROPERTIES[name] == schema


def test_an_object_inside_keeps_its_rules_and_takes_the_fields_words():
    assert PROPERTIES["inner"]["description"] == "Another text."
    assert PROPERTIES["inner"]["x-kubernetes-validations"][0]["message"] == "deepName must be said"
    assert PROPERTIES["inner"]["default"] == {}
    assert "default" not in PROPERTIES["maybe"]


def test_items_of_a_list_are_schemas_of_their_own():
    assert PROPERTIES["items"]["type"] == "array"
    assert PROPERTIES["items"]["items"]["description"] == "What is inside."
    assert PROPERTIES["items"]["default"] == []


def test_only_what_has_no_default_is_required():
    assert schema_of(Every)["required"] == ["text"]
    assert "required" not in schema_of(Inner)


def test_the_first_line_of_the_class_describes_the_object():
    assert schema_of(Inner)["description"] == "What is inside."


def test_a_whole_document_is_read():
    document = {
        "text": "t",
        "number": 5,
        "isOn": True,
        "choice": "Two",
        "inner": {"deepName": "a"},
        "maybe": {},
        "items": [{"deepName": "b"}, {}],
        "pairs": {"x": 1},
        "either": "7",
        "anything": {"free": [1, 2.5]},
    }
    assert read(Every, document, "spec") == Every(
        text="t",
        number=5,
        is_on=True,
        choice="Two",
        inner=Inner(deep_name="a"),
        maybe=Inner(),
        items=(Inner(deep_name="b"), Inner()),
        pairs={"x": 1},
        either="7",
        anything={"free": [1, 2.5]},
    )


def test_what_is_absent_or_null_has_its_default():
    assert read(Every, {"text": "t", "number": None, "inner": None}, "spec") == Every(text="t")


def test_fields_of_a_later_version_are_ignored():
    assert read(Inner, {"deepName": "a", "later": {"x": 1}}, "spec") == Inner(deep_name="a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": 1}, r"spec\.text: needs str, got 1"),
        ({"number": "5"}, r"spec\.number: needs int, got '5'"),
        ({"number": True}, r"spec\.number: needs int, got True"),
        ({"number": 5.5}, r"spec\.number: needs int, got 5\.5"),
        ({"isOn": "yes"}, r"spec\.isOn: needs bool, got 'yes'"),
        ({"choice": "Three"}, r"spec\.choice: needs One, Two, got 'Three'"),
        ({"inner": []}, r"spec\.inner: needs an object, got list"),
        ({"inner": {"deepName": 4}}, r"spec\.inner\.deepName: needs str, got 4"),
        ({"items": [{}, {"deepName": []}]}, r"spec\.items\[1\]\.deepName: needs str"),
        ({"items": {"deepName": "a"}}, r"spec\.items: needs a list"),
        ({"pairs": {"x": "1"}}, r"spec\.pairs\.x: needs int"),
        ({"pairs": [1]}, r"spec\.pairs: needs an object"),
        ({"either": [1]}, r"spec\.either: needs int or str"),
        ({"either": True}, r"spec\.either: needs int or str"),
    ],
)
def test_a_value_of_another_type_names_its_path(change, message):
    with pytest.raises(BadInputError, match=message):
        read(Every, {"text": "t", **change}, "spec")


def test_a_required_field_that_is_missing_is_named_with_a_remedy():
    with pytest.raises(BadInputError, match=r"spec\.text: is missing; apply the definitions again"):
        read(Every, {}, "spec")


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_what_is_no_object_is_refused(document):
    with pytest.raises(BadInputError, match="spec: needs an object"):
        read(Every, document, "spec")


def test_a_value_in_a_refusal_is_cut():
    with pytest.raises(BadInputError) as refused:
        read(Every, {"text": "t", "choice": "x" * 10_000}, "spec")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("kind", [InferenceTuningSpec, InferenceTuningStatus, SweepSpec, SweepTrialSpec])
def test_every_resource_has_a_schema_and_reads_its_own_field_names(kind):
    assert schema_of(kind)["type"] == "object"
