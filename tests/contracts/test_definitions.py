"""The definitions of our resources: files equal types, schemas are structural, what we write validates against them."""

import copy
import json
import re
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from controller.domain.prices import ClusterPrices
from controller.domain.serving_config import NO_TOKEN_BOUND, ServingConfig
from controller.domain.slo import LatencySlo
from controller.monitor.detection import default_detection
from controller.monitor.traffic import Traffic
from controller.platforms.protocol import PlatformState
from controller.platforms.watched import pod_seen
from controller.reconcilers.conditions import Aspect, conditions
from controller.reconcilers.crds import KINDS, definition, main, write
from controller.reconcilers.resources import InferenceTuningSpec
from controller.reconcilers.schema import read
from controller.reconcilers.sweep_resources import SweepSpec, SweepTrialSpec
from controller.reconcilers.tuning_status import Known, aspects, cold_start_of, status_of
from controller.settings import LoopSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "charts" / "tidegate" / "crds"
RULES = yaml.safe_load((ROOT / "tests" / "e2e" / "resource_rules.yaml").read_text())
NAMES = [kind.name for kind in KINDS]
SCHEMAS = {
    kind.name: definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] for kind in KINDS
}
PYTHON = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
TARGET = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "s"}
OBJECTIVE = {"slo": {"quantile": "0.95", "latency": "500ms"}}


def nodes(schema, path):
    """Every schema in a schema, with its path."""
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from nodes(each, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}[]")


ALL_NODES = {
    f"{name}.{path}": node
    for name, schemas in SCHEMAS.items()
    for part in ("spec", "status")
    for path, node in nodes(schemas[part], part)
}


def defaulted(value, schema):
    """The value with the defaults that the API server fills in."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        filled = {name: copy.deepcopy(each["default"]) for name, each in properties.items() if "default" in each}
        return {name: defaulted(each, properties.get(name, {})) for name, each in (filled | value).items()}
    if isinstance(value, list):
        return [defaulted(each, schema.get("items", {})) for each in value]
    return value


def errors(value, schema, where="status"):
    """What is wrong with a value, as the API server would find it."""
    if schema.get("x-kubernetes-int-or-string"):
        return [] if isinstance(value, int | str) and not isinstance(value, bool) else [f"{where}: {value!r}"]
    is_wrong = isinstance(value, bool) and schema["type"] != "boolean"
    if is_wrong or not isinstance(value, PYTHON[schema["type"]]):
        return [f"{where}: needs {schema['type']}, got {value!r}"]
    if isinstance(value, dict):
        return [] if schema.get("x-kubernetes-preserve-unknown-fields") else object_errors(value, schema, where)
    if isinstance(value, list):
        inner = [errors(each, schema["items"], f"{where}[{index}]") for index, each in enumerate(value)]
        return [*bound_errors(len(value), schema, "Items", where), *chain.from_iterable(inner)]
    return text_errors(value, schema, where) if isinstance(value, str) else bound_errors(value, schema, "imum", where)


def bound_errors(value, schema, kind, where):
    low, high = schema.get(f"min{kind}", value), schema.get(f"max{kind}", value)
    return [] if low <= value <= high else [f"{where}: {value} is not from {low} to {high}"]


def text_errors(value, schema, where):
    checks = {
        "is none of those": value in schema.get("enum", [value]),
        "does not match": re.search(schema.get("pattern", ""), value),
        "is no time": schema.get("format") != "date-time" or re.fullmatch(r"[-\d]{10}T[:\d]{8}Z", value),
        "is too long": len(value) <= schema.get("maxLength", 10**9),
    }
    return [f"{where}: {value!r:.60} {words}" for words, holds in checks.items() if not holds]


def object_errors(value, schema, where):
    found = [f"{where}.{name}: is missing" for name in schema.get("required", []) if name not in value]
    for name, each in value.items():
        inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        found += [f"{where}.{name}: is not known"] if inner is None else errors(each, inner, f"{where}.{name}")
    return found


@pytest.mark.parametrize("name", [f"tidegate.dev_{kind.plural}.yaml" for kind in KINDS])
def test_the_files_of_the_chart_are_what_the_types_say(name, tmp_path):
    write(tmp_path)
    assert (FOLDER / name).read_bytes() == (tmp_path / name).read_bytes(), (
        "run: python -m controller.reconcilers.crds write charts/tidegate/crds"
    )


def test_the_chart_has_no_other_definitions(tmp_path):
    assert {each.name for each in FOLDER.iterdir()} == {each.name for each in write(tmp_path)}


def test_writing_twice_gives_the_same_bytes(tmp_path):
    first = [each.read_bytes() for each in write(tmp_path)]
    assert [each.read_bytes() for each in write(tmp_path)] == first


def test_the_command_writes_into_a_new_folder_and_says_what(tmp_path, capsys):
    assert main(["write", str(tmp_path / "a" / "b")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(KINDS)


@pytest.mark.parametrize("arguments", [[], ["write"], ["apply"], ["remove", "x"], ["write", "a", "b"]])
def test_a_command_that_is_none_is_answered_with_its_use(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def offenders(is_sound):
    """Paths of the nodes that are not as they should be."""
    return [path for path, node in ALL_NODES.items() if not is_sound(node)]


def has_type(node):
    if node.get("x-kubernetes-int-or-string"):
        return "type" not in node and node["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    return node["type"] in PYTHON


def has_content(node):
    keys = ("properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields")
    is_whole = set(node.get("required", [])) <= set(node.get("properties", {}))
    if node.get("type") == "object":
        return is_whole and [key in node for key in keys].count(True) == 1
    return is_whole and (node.get("type") != "array" or "items" in node)


def has_words(node):
    return all(each.get("description", "").endswith((".", "…")) for each in node.get("properties", {}).values())


def has_sound_defaults(node):
    defaults = [each for each in node.get("properties", {}).values() if "default" in each]
    return all(errors(defaulted(each["default"], each), each) == [] for each in defaults)


def has_whole_pattern(node):
    return "pattern" not in node or (node["pattern"].startswith("^") and node["pattern"].endswith("$"))


def has_bounded_cost(node):
    """What CEL reads must be bounded, or the API server refuses the definition for its cost."""
    return node.get("type") != "string" or "x-kubernetes-validations" not in node or "maxLength" in node


@pytest.mark.parametrize(
    "is_sound", [has_type, has_content, has_words, has_sound_defaults, has_whole_pattern, has_bounded_cost]
)
def test_every_node_of_a_schema(is_sound):
    assert offenders(is_sound) == []


def test_the_checks_of_nodes_see_what_is_wrong():
    assert errors({"minScale": {"min": 1.5}}, SCHEMAS["InferenceTuning"]["spec"]["properties"]["bounds"]) != []
    assert errors({"phase": "Perhaps"}, SCHEMAS["Sweep"]["status"]) != []
    assert errors({"other": 1}, SCHEMAS["Sweep"]["status"]) == ["status.other: is not known"]


def paths_of(schemas, path):
    """The schema at a JSON path of a printer column."""
    node = {"type": "object", "properties": schemas}
    for part in re.findall(r"\.(\w+)|(\[[^]]*])", path):
        node = node["properties"][part[0]] if part[0] else node["items"]
    return node


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_printer_columns_show_fields_that_exist_in_their_type(kind):
    for heading, path, kind_of_column, _ in kind.columns:
        if path != ".metadata.creationTimestamp":
            assert paths_of(SCHEMAS[kind.name], path)["type"] == kind_of_column, heading


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_a_kind_has_a_status_of_its_own_and_the_names_that_people_type(kind):
    found = definition(kind)
    version = found["spec"]["versions"][0]
    assert found["metadata"]["name"] == f"{kind.plural}.tidegate.dev"
    assert version["subresources"] == {"status": {}}
    assert found["spec"]["names"]["categories"] == ["tidegate"]


def test_no_two_kinds_share_a_name():
    names = [name for kind in KINDS for name in (kind.plural, kind.name.lower(), *kind.short)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "kind", "spec"),
    [
        ("InferenceTuning", InferenceTuningSpec, {"targetRef": TARGET, "objective": OBJECTIVE}),
        (
            "Sweep",
            SweepSpec,
            {
                "targetRef": TARGET,
                "objective": OBJECTIVE,
                "parameters": [{"name": "maxBatchSize", "values": [1, "8"]}],
                "workload": {"arrivals": {"kind": "poisson", "rate_rps": 5.5}, "duration": "10s"},
            },
        ),
        (
            "SweepTrial",
            SweepTrialSpec,
            {"sweep": "a", "number": 0, "targetRef": TARGET, "parameters": [{"name": "workers", "value": "2"}]},
        ),
    ],
)
def test_a_short_document_with_its_defaults_validates_and_is_read_like_one_without(name, kind, spec):
    schema = SCHEMAS[name]["spec"]
    filled = defaulted(spec, schema)
    assert errors(spec, schema) == errors(filled, schema) == []
    assert read(kind, filled, "spec") == read(kind, spec, "spec")


def tuning_status(*, cost=1.5, words="w", **more):
    traffic = Traffic(default_detection())
    traffic.update(0, np.full(5, more.pop("rate", 7)), np.zeros(5, dtype=bool))
    decision = {
        "action": "apply",
        "reason": f"apply: {words}",
        "changes": {"max_batch_size": [8, 16], "max_scale": [0, 4]},
        "prediction": {"p95_s": 0.1, "attainment": 1.0, "cost_per_million_usd": cost},
    }
    known = Known(
        state=PlatformState(9.0, 2, 1, ServingConfig(batch_tokens=NO_TOKEN_BOUND), "s-00001", {}),
        view=SimpleNamespace(traffic=traffic),
        settings=LoopSettings(slo=LatencySlo(0.95, 0.5), prices=ClusterPrices(1e-5, 1e-6)),
        **{
            "counted": {0.1: 90, float("inf"): 10},
            "scraped": None,
            "heard_at_s": 8.0,
            "decision": decision,
            "decided_at_s": 1767225600.0,
            "held": {"min_scale": words},
            "resize_refused": "",
            "has_warm": True,
            "budget_usd": 3.0,
            "changes": 4,
        }
        | more,
    )
    pod = {
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"}]},
    }
    found = conditions(aspects(known), [], wall_s=1767225600.0, generation=3)
    return {
        **status_of(known, cold_start_of([pod_seen(pod)], {"p": {"loaded": 0.5}})),
        "conditions": found,
        "observedGeneration": 3,
    }


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"words": "é" * 5000},
        {"cost": None},
        {"cost": float("inf")},
        {"cost": 1e15},
        {"rate": 10**9},
        {"counted": {}, "heard_at_s": None, "decision": None, "has_warm": None, "budget_usd": None, "held": {}},
        {"resize_refused": "x" * 5000},
    ],
    ids=["usual", "long words", "no cost", "endless cost", "large cost", "large rate", "nothing known", "refused"],
)
def test_a_status_that_we_write_validates(more):
    status = tuning_status(**more)
    assert errors(status, SCHEMAS["InferenceTuning"]["status"]) == []
    assert len(json.dumps(status)) < 16 * 1024


def test_a_condition_that_hinders_validates():
    found = conditions([Aspect("Ready", "False", "Suspended", "x" * 5000)], [], wall_s=0.0, generation=None)
    assert errors({"conditions": found}, SCHEMAS["InferenceTuning"]["status"]) == []


def test_every_rule_has_a_case_in_the_table_of_the_tests_on_a_cluster():
    covered = {
        (case["kind"], case["message"], re.sub(r"\.\d+\b", "[]", path))
        for case in [*RULES["documents"], *RULES["changes"]]
        for path in case["rejected"]
    }
    missing = [
        (name, path, rule["message"])
        for name, schemas in SCHEMAS.items()
        for path, node in nodes(schemas["spec"], "spec")
        for rule in node.get("x-kubernetes-validations", [])
        if not any(
            (kind, message) == (name, rule["message"]) and (changed.startswith(path) or path.startswith(changed))
            for kind, message, changed in covered
        )
    ]
    assert missing == []
