"""Rules of the resources on a real API server: what each accepts, what it refuses, and in which words."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((Path(__file__).parent / "resource_rules.yaml").read_text())
API_VERSION = "tidegate.dev/v1alpha1"
TARGET = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "s"}
OBJECTIVE = {"slo": {"quantile": "0.95", "latency": "500ms"}}
VALID = {
    "InferenceTuning": {"targetRef": TARGET, "objective": OBJECTIVE},
    "Sweep": {
        "targetRef": TARGET,
        "objective": OBJECTIVE,
        "parameters": [{"name": "maxBatchSize", "values": [1, 8]}],
        "workload": {"arrivals": {"kind": "poisson", "rate_rps": 5}, "duration": "10s"},
    },
    "SweepTrial": {
        "sweep": "campaign",
        "number": 0,
        "targetRef": TARGET,
        "parameters": [{"name": "maxBatchSize", "value": "8"}],
    },
}
TRIED = ("--dry-run=server", "--validate=false")
"""Nothing is made, and it is the API server that refuses: kubectl itself would stop at the first document."""
REFUSAL = re.compile(r'\w+(?:\.tidegate\.dev)? "([\w-]+)" is invalid:')


def document(kind, name, *changes):
    """A valid document of a kind with these changes by path."""
    made = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": copy.deepcopy(VALID[kind])}
    for path, value in (item for change in changes for item in change.items()):
        *way, last = path.split(".")
        place = made
        for each in way:
            place = place[int(each)] if isinstance(place, list) else place.setdefault(each, {})
        if value is None:
            place.pop(last)
        else:
            place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)
    return made


def listed(documents):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


def words_about(namespace, verb, documents):
    """What the API server says of each of these documents, none of which it takes."""
    with pytest.raises(AssertionError) as refused:
        namespace.kubectl(verb, *TRIED, "-o", "name", "-f", "-", text=listed(documents))
    said, _, _ = str(refused.value).partition("\nassert ")  # what follows is pytest's own view of the failed call
    taken, *parts = REFUSAL.split(said)
    assert "tidegate.dev/" not in taken, taken
    return dict(zip(parts[::2], parts[1::2], strict=True))


def named(cases, which):
    return {f"case-{number}": document(each["kind"], f"case-{number}", each[which]) for number, each in cases}


@pytest.fixture(scope="module")
def brought_in():
    return []


@pytest.fixture
def definitions(namespace, brought_in):
    """A namespace of a cluster that has the definitions of this checkout."""
    if not brought_in:
        folder = str(ROOT / "charts" / "tidegate" / "crds")
        namespace.kubectl("apply", "--server-side", "--force-conflicts", "-f", folder)
        namespace.kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=tidegate")
        brought_in.append(folder)
    return namespace


def assert_refused_as_said(cases, words):
    missed = {
        name: (each["rejected"], words.get(name))
        for number, each in cases
        if each["message"] not in words.get(name := f"case-{number}", "")
    }
    assert missed == {}


@pytest.mark.needs("cluster")
def test_documents_are_accepted_and_refused_as_the_table_says(definitions):
    cases = list(enumerate(RULES["documents"]))
    accepted = listed(list(named(cases, "accepted").values()))
    definitions.kubectl("create", "--dry-run=server", "-f", "-", text=accepted)
    assert_refused_as_said(cases, words_about(definitions, "create", list(named(cases, "rejected").values())))


@pytest.mark.needs("cluster")
def test_changes_are_accepted_and_refused_as_the_table_says(definitions):
    cases = list(enumerate(RULES["changes"]))
    created = [document(each["kind"], f"case-{number}", each.get("created", {})) for number, each in cases]
    definitions.kubectl("create", "-f", "-", text=listed(created))
    changed = [
        document(each["kind"], f"case-{number}", each.get("created", {}), each["accepted"]) for number, each in cases
    ]
    definitions.kubectl("replace", "--dry-run=server", "-f", "-", text=listed(changed))
    assert_refused_as_said(cases, words_about(definitions, "replace", list(named(cases, "rejected").values())))


@pytest.mark.needs("cluster")
def test_what_is_left_out_is_filled_in_and_what_is_not_known_is_refused(definitions):
    text = listed([document("InferenceTuning", "a")])
    spec = json.loads(definitions.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", text=text))["spec"]
    assert (spec["mode"], spec["limits"]) == ("Recommend", {"slowPerHour": 2, "warmPerMinute": 6})
    text = listed([document("InferenceTuning", "a", {"spec.modus": "Apply"})])
    with pytest.raises(AssertionError, match='unknown field "modus"'):
        definitions.kubectl("create", "--dry-run=server", "-f", "-", text=text)


@pytest.mark.needs("cluster")
def test_kubectl_explains_the_objective_in_words(definitions):
    said = " ".join(definitions.kubectl("explain", "tunings.spec.objective.slo").split())
    for words in (
        "The latency objective: this share of requests is answered within the latency.",
        "quantile <string> -required- Share of requests between 0 and 1, such as 0.95.",
        "Longest time from the arrival of a request to its answer, such as 500ms.",
    ):
        assert words in said
