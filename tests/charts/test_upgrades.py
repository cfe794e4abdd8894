"""What an upgrade changes and what it leaves alone; what hooks bring along, and in which order."""

import shutil
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.needs("helm")

CHARTS = Path(__file__).parents[2] / "charts"
LOAD = ('host="http://x.y.svc"', 'arrivals={"kind": "poisson", "rate_rps": 5}')
HOOK, WEIGHT, POLICY = "helm.sh/hook", "helm.sh/hook-weight", "helm.sh/hook-delete-policy"


def hooks(documents, when):
    return [each for each in documents if when in each["metadata"].get("annotations", {}).get(HOOK, "").split(",")]


@pytest.fixture
def next_version(tmp_path):
    def copy(chart):
        shutil.copytree(CHARTS / chart, tmp_path / chart)
        about = yaml.safe_load((tmp_path / chart / "Chart.yaml").read_text())
        about |= {"version": "9.9.9", "appVersion": "9.9.9"}
        (tmp_path / chart / "Chart.yaml").write_text(yaml.safe_dump(about))
        return tmp_path / chart

    return copy


@pytest.mark.parametrize("values", ["knative-values.yaml", "kserve-values.yaml"])
def test_a_newer_chart_alone_makes_no_new_revision(helm, next_version, values):
    values = CHARTS / "inference-service" / "ci" / values
    before = helm.render("inference-service", values=values)
    after = helm.render(next_version("inference-service"), values=values)
    services = [[each for each in documents if "containerConcurrency" in str(each)] for documents in (before, after)]
    assert services[0] == services[1] != []


def test_warm_settings_on_revisions_are_none_of_the_charts_business(helm, case):
    chart, path = case
    kinds = {each["kind"] for each in helm.render(chart, values=path)}
    assert not kinds & {"Revision", "Configuration", "PodAutoscaler"}


def test_the_same_values_are_the_same_campaign(helm, only):
    names = {only(helm.render("loadtest", *LOAD, *more), "Job")["metadata"]["name"] for more in ((), ("workers=0",))}
    assert len(names) == 1


def test_another_seed_is_another_campaign(helm, only):
    one, other = (only(helm.render("loadtest", *LOAD, f"seed={seed}"), "Job")["metadata"]["name"] for seed in (1, 2))
    assert one != other


def test_a_master_and_its_workers_get_the_same_schedule(helm, only):
    documents = helm.render("loadtest", *LOAD, "workers=3", "seed=7")
    master, workers = [each for each in documents if each["kind"] == "Job"]
    flags = [set(job["spec"]["template"]["spec"]["containers"][0]["args"]) for job in (master, workers)]
    assert {'--arrivals={"kind":"poisson","rate_rps":5}', "--seed=7"} <= flags[0] & flags[1]
    assert "--expect-workers=3" in flags[0]
    assert workers["spec"]["parallelism"] == workers["spec"]["completions"] == 3
    assert f"--master-host={only(documents, 'Service')['metadata']['name']}" in flags[1]


@pytest.mark.parametrize("when", ["pre-install", "pre-upgrade", "pre-delete", "post-delete"])
def test_a_hooks_job_runs_after_its_rights_and_leaves_nothing(helm, when):
    found = hooks(helm.render("tidegate"), when)
    weights = {each["kind"]: int(each["metadata"]["annotations"][WEIGHT]) for each in found}
    assert weights["ServiceAccount"] <= weights["ClusterRole"] < weights["ClusterRoleBinding"] < weights["Job"]
    assert {each["metadata"]["annotations"][POLICY] for each in found} == {"before-hook-creation,hook-succeeded"}


def test_the_hook_applies_every_definition_as_it_is(helm, only):
    found = hooks(helm.render("tidegate"), "pre-upgrade")
    files = {path.name: path.read_text() for path in (CHARTS / "tidegate" / "crds").glob("*.yaml")}
    assert only(found, "ConfigMap")["data"] == files != {}
    container = only(found, "Job")["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", "controller.reconcilers.crds", "apply"]
    assert container["args"] == [f"/definitions/{name}" for name in sorted(files)]


def test_the_definitions_can_be_left_to_somebody_else(helm):
    documents = helm.render("tidegate", 'crds={"upgrade": false}')
    assert hooks(documents, "pre-install") == hooks(documents, "pre-upgrade") == []


def test_the_operator_and_its_hooks_are_told_the_same(helm, only):
    flags = ['controller={"watchNamespaces": ["one"], "prometheus": {"url": "http://p:9090"}}']
    documents = helm.render("tidegate", *flags)
    release = only(hooks(documents, "pre-delete"), "Job")["spec"]["template"]["spec"]["containers"][0]
    operator = only(documents, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert release["env"] == operator["env"]
    assert release["args"] == ["operator", "--release"]


def test_a_first_model_finds_the_operator_beside_it(helm, only):
    documents = helm.render("tidegate", 'inference-service={"enabled": true}')
    service = only([each for each in documents if each["apiVersion"].startswith("serving.knative")], "Service")
    told = {each["name"]: each["value"] for each in service["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert told["TIDEGATE_CONTROLLER_URL"] == "https://tidegate-controller.home.svc:8443"
    assert only(documents, "InferenceTuning")["spec"]["targetRef"]["name"] == service["metadata"]["name"]
