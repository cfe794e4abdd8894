"""The Sweep document: what is read, and the one line that each mistake gets."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from controller.domain.arrival_process import read_arrivals, sample_arrivals
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.sweeps.parameters import Choices, Interval
from controller.sweeps.sweep_document import read_sweep, sweep_from_document

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
DOCUMENT = {
    "apiVersion": "tidegate.dev/v1alpha1",
    "kind": "Sweep",
    "metadata": {"name": "batches"},
    "spec": {
        "parameters": [
            {"name": "maxBatchSize", "values": [8, 1]},
            {"name": "maxQueueDelay", "min": "0s", "max": "30ms", "step": "10ms"},
            {"name": "batchTokens", "min": 64, "max": 2048, "scale": "log"},
        ],
        "strategy": "Optuna",
        "workload": {"arrivals": {"kind": "poisson", "rate_rps": 5}, "seed": 3, "duration": "1m30s", "protocol": "v1"},
        "objective": {"slo": {"quantile": "0.95", "latency": "500ms"}},
        "maxTrials": 12,
        "patience": 4,
    },
}


def parse(document):
    return sweep_from_document(document, where="s.yaml:", base=Path())


def changed(path, value):
    document = copy.deepcopy(DOCUMENT)
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def test_every_field_is_read_into_seconds_and_settings():
    sweep = parse(DOCUMENT)

    assert [parameter.setting for parameter in sweep.parameters] == [
        "max_batch_size",
        "max_queue_delay_s",
        "batch_tokens",
    ]
    assert sweep.parameters[0].domain == Choices((1, 8))
    assert sweep.parameters[1].domain == Choices((0.0, 0.01, 0.02, 0.03))
    assert sweep.parameters[2].domain == Interval(64, 2048, is_whole=True, is_log=True)
    assert sweep.slo == LatencySlo(0.95, 0.5)
    assert (sweep.workload.duration_s, sweep.workload.seed, sweep.workload.protocol) == (90.0, 3, "v1")
    assert (sweep.max_trials, sweep.max_failed_trials, sweep.patience) == (12, 3, 4)


def test_the_shipped_example_is_read_from_yaml_and_the_same_from_json(tmp_path):
    example = EXAMPLES / "sweep.yaml"
    as_json = tmp_path / "sweep.json"
    as_json.write_text(json.dumps(yaml.safe_load(example.read_text())))

    assert read_sweep(example) == read_sweep(as_json)


@pytest.mark.parametrize(
    "path", sorted(set(EXAMPLES.glob("*.json")) - {EXAMPLES / "service-times.json"}), ids=lambda path: path.stem
)
def test_every_arrivals_example_is_read(path, rng):
    assert sample_arrivals(read_arrivals(path), duration_s=20, rng=rng).size


def test_what_kubectl_adds_is_no_mistake():
    document = changed(("metadata", "namespace"), "default")
    document["status"] = {"phase": "Complete"}

    assert parse(document).name == "batches"


def test_a_scale_of_zero_means_no_bound_and_comes_last():
    parameter = {"name": "maxScale", "values": [0, 4, 1]}

    assert parse(changed(("spec", "parameters"), [parameter])).parameters[0].domain == Choices((1, 4, 0))


def test_a_trace_is_read_from_beside_the_document_and_kept_whole(tmp_path):
    (tmp_path / "times.txt").write_text("0.5\n1.5\n")
    document = changed(("spec", "workload", "arrivals"), {"kind": "trace", "file": "times.txt"})
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps(document))

    assert read_sweep(path).workload.arrivals == {"kind": "trace", "times_s": [0.5, 1.5]}


SPEC = ("spec",)
FIRST = ("spec", "parameters", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("apiVersion",), "v1", "s.yaml: apiVersion: 'v1' is not one of tidegate.dev/v1alpha1"),
        (("kind",), "Swepe", "s.yaml: kind: 'Swepe' is not one of Sweep; did you mean 'Sweep'?"),
        (("sepc",), {}, "s.yaml: sepc: unknown field; did you mean 'spec'?"),
        (("metadata", "name"), "Not A Name", "s.yaml: metadata.name: needs lower-case letters"),
        (("metadata", "nmae"), "x", "s.yaml: metadata.nmae: unknown field; did you mean 'name'?"),
        ((*SPEC, "strateggy"), "Grid", "s.yaml: spec.strateggy: unknown field; did you mean 'strategy'?"),
        (
            (*SPEC, "strategy"),
            "grid",
            "s.yaml: spec.strategy: 'grid' is not one of Grid, Random, Optuna; did you mean 'Grid'?",
        ),
        ((*SPEC, "strategy"), "Grid", "s.yaml: spec.patience: a grid is run whole"),
        ((*SPEC, "maxTrials"), None, "s.yaml: spec.maxTrials: is missing; it needs a whole number"),
        ((*SPEC, "maxTrials"), 0, "s.yaml: spec.maxTrials: needs a whole number of at least 1, got 0"),
        ((*SPEC, "maxTrials"), True, "s.yaml: spec.maxTrials: needs a whole number, got True"),
        ((*SPEC, "parameters"), [], "s.yaml: spec.parameters: needs at least one parameter"),
        ((*SPEC, "parameters"), {}, "s.yaml: spec.parameters: needs a list, got {}"),
        (
            (*SPEC, "parameters", 1),
            {"name": "maxBatchSize", "values": [2]},
            "spec.parameters[1].name: maxBatchSize is there twice",
        ),
        (
            (*SPEC, "parameters", 1, "vaules"),
            [1],
            "s.yaml: spec.parameters[1].vaules: unknown field; did you mean 'values'?",
        ),
        ((*FIRST, "name"), "max_batch_size", "spec.parameters[0].name: 'max_batch_size' is not one of maxBatchSize"),
        ((*FIRST, "values"), [], "spec.parameters[0].values: needs between 1 and 1000 values, got 0"),
        ((*FIRST, "values"), [1.5], "spec.parameters[0].values[0]: needs a whole number of at least 0, got 1.5"),
        ((*FIRST, "values"), [4, 4], "spec.parameters[0].values[1]: repeats 4"),
        (
            (*FIRST, "values"),
            [0],
            "spec.parameters[0]: setting max_batch_size: needs a whole number of at least 1, got 0",
        ),
        ((*FIRST, "min"), 1, "spec.parameters[0].min: stands beside values"),
        ((*FIRST,), {"name": "workers", "min": 3, "max": 1}, "spec.parameters[0].min: 3 is above max 1; swap them"),
        ((*FIRST,), {"name": "workers", "min": 1}, "spec.parameters[0].max: is missing; give values, or min and max"),
        (
            (*FIRST,),
            {"name": "workers", "valeus": [1]},
            "spec.parameters[0].valeus: unknown field; did you mean 'values'?",
        ),
        (
            (*FIRST,),
            {"name": "workers", "min": 1, "max": 8, "step": 0},
            "spec.parameters[0].step: needs a step above 0",
        ),
        (
            (*FIRST,),
            {"name": "maxScale", "min": 0, "max": 8, "scale": "log"},
            "spec.parameters[0].min: scale log needs a min above 0",
        ),
        (
            (*FIRST,),
            {"name": "maxQueueDelay", "values": [10]},
            'values[0]: needs a duration with its unit, such as "10ms"',
        ),
        (
            (*FIRST,),
            {"name": "target", "values": [0.7]},
            'values[0]: needs a decimal in quotes, such as "0.7"; got 0.7',
        ),
        ((*SPEC, "workload", "duration"), "500ms", "s.yaml: spec.workload.duration: needs at least 1s, got '500ms'"),
        ((*SPEC, "workload", "duration"), 30, "s.yaml: spec.workload.duration: needs a text, got 30"),
        (
            (*SPEC, "workload", "payloads"),
            "longg",
            "s.yaml: spec.workload.payloads: 'longg' is neither short, imdb nor a file",
        ),
        ((*SPEC, "workload", "seed"), -1, "s.yaml: spec.workload.seed: needs a whole number of at least 0, got -1"),
        ((*SPEC, "workload", "arrivals"), {"kind": "poison"}, "s.yaml: spec.workload.arrivals: unknown kind 'poison'"),
        (
            (*SPEC, "objective", "slo", "quantile"),
            0.95,
            'spec.objective.slo.quantile: needs a decimal in quotes, such as "0.95"',
        ),
        (
            (*SPEC, "objective", "slo", "quantile"),
            "95",
            "spec.objective.slo: slo quantile: needs a number between 0 and 1",
        ),
        ((*SPEC, "objective", "slo", "latency"), None, "spec.objective.slo.latency: is missing"),
        (
            (*SPEC, "targetRef"),
            {"apiVersion": "v1", "kind": "Pod", "name": "x"},
            "spec.targetRef.kind: 'Pod' is not one of Service",
        ),
    ],
)
def test_a_mistake_gets_one_line_with_its_path(path, value, message):
    with pytest.raises(BadInputError) as caught:
        parse(changed(path, value))

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "line 1: is no YAML"),
        ("- 1", "needs an object, got [1]"),
        ("", "needs an object, got None"),
        ("a: &a [*a]", "apiVersion: is missing"),
        ("1: 2", "key 1: needs a text, got 1"),
        ("a: 2026-99-99", "is no YAML"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "s.yaml"
    path.write_text(text)

    with pytest.raises(BadInputError) as caught:
        read_sweep(path)

    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing_or_binary_is_refused(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(BadInputError, match="cannot be read"):
        read_sweep(tmp_path / "missing.yaml")
    with pytest.raises(BadInputError, match="no text in UTF-8"):
        read_sweep(binary)


def test_what_only_a_cluster_uses_is_read_and_changes_nothing_here():
    reference = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "s"}
    spec = {**DOCUMENT["spec"], "targetRefs": [reference, {**reference, "name": "t"}], "cancel": False}
    assert parse({**DOCUMENT, "spec": spec}).parameters == parse(DOCUMENT).parameters


def test_a_mistake_in_one_of_several_targets_names_its_place():
    reference = {"apiVersion": "serving.knative.dev/v1", "kind": "Pod", "name": "s"}
    with pytest.raises(BadInputError, match=r"spec.targetRefs\[0\].kind: 'Pod' is not one of"):
        parse(changed(("spec", "targetRefs"), [reference]))
    both = {**DOCUMENT["spec"], "targetRef": {**reference, "kind": "Service"}, "targetRefs": [reference]}
    with pytest.raises(BadInputError, match="stands beside targetRef"):
        parse({**DOCUMENT, "spec": both})
