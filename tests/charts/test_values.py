"""What values are taken, what is refused with which words, and what an unset value leaves out."""

import json
from pathlib import Path

import pytest
import yaml

from inference_service.settings import Settings

pytestmark = pytest.mark.needs("helm")

CHARTS = Path(__file__).parents[2] / "charts"
NAMES = ("controller", "inference-service", "loadtest", "tidegate")
DIGEST = "sha256:" + "0" * 64
IMAGE = f'image={{"repository": "registry.example.com/x", "tag": "7", "digest": "{DIGEST}"}}'
LOAD = ('host="http://x.y.svc"', 'arrivals={"kind": "poisson", "rate_rps": 5}')


def server(documents):
    [service] = [each for each in documents if each["kind"] in ("Service", "InferenceService")]
    spec = service["spec"]
    return spec["template"]["spec"] if service["kind"] == "Service" else spec["predictor"]


def environment(pod):
    return {each["name"]: each.get("value") for each in pod["containers"][0].get("env", [])}


@pytest.mark.parametrize("chart", NAMES)
def test_every_chart_passes_the_strict_linter(helm, chart):
    done = helm.run("lint", "--strict", str(CHARTS / chart))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("chart", "flag", "name"),
    [
        ("controller", "replicas=2", "replicas"),
        ("controller", 'networkPolicy={"enable": true}', "enable"),
        ("inference-service", 'server={"maxBatchsize": 8}', "maxBatchsize"),
        ("inference-service", 'tuning={"bounds": {"memory": {"max": 1}}}', "memory"),
        ("loadtest", 'arrivals={"kind": "poisson", "rate_rps": 5, "seed": 1}', "seed"),
        ("tidegate", "crd=true", "crd"),
        ("tidegate", 'controller={"watchNamespace": []}', "watchNamespace"),
    ],
)
def test_an_unknown_value_is_refused_by_its_name(helm, chart, flag, name):
    assert f"'{name}'" in helm.refusal(chart, flag)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (('model={"source": "storageUri", "storageUri": "s3://a/b"}',), "needs platform=kserve, got platform=knative"),
        (('model={"source": "pvc"}',), "model.pvc.claimName: is empty"),
        (('platform="kserve"', 'model={"source": "storageUri"}'), "model.storageUri: is empty"),
        (('model={"source": "pvc", "path": "/x", "pvc": {"claimName": "c"}}',), "is for model.source=image"),
        (('platform="kserve"', 'servingRuntime={"create": true}'), "needs model.source=storageUri or pvc"),
        (('platform="kserve"', 'autoscaling={"target": 2.5}'), "must be whole with platform=kserve"),
        (('model={"name": "a"}', 'server={"env": {"TIDEGATE_MODEL_NAME": "b"}}'), "server.env.TIDEGATE_MODEL_NAME"),
    ],
)
def test_values_that_exclude_each_other_are_refused_with_a_remedy(helm, flags, words):
    assert words in helm.refusal("inference-service", *flags)


@pytest.mark.parametrize(("flag", "words"), [(LOAD[0], "arrivals: is missing"), (LOAD[1], "host: is missing")])
def test_a_campaign_needs_a_host_and_arrivals(helm, flag, words):
    assert words in helm.refusal("loadtest", flag)


@pytest.mark.parametrize("chart", NAMES)
def test_schemas_are_closed_everywhere(chart):
    def walk(node, path):
        if isinstance(node, dict):
            if "properties" in node:
                assert node.get("additionalProperties") is False, path
            for key, each in node.items():
                walk(each, f"{path}/{key}")
        elif isinstance(node, list):
            for each in node:
                walk(each, path)

    walk(json.loads((CHARTS / chart / "values.schema.json").read_text()), chart)


def test_bounds_are_those_of_the_resource():
    definition = yaml.safe_load((CHARTS / "tidegate" / "crds" / "tidegate.dev_inferencetunings.yaml").read_text())
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema = json.loads((CHARTS / "inference-service" / "values.schema.json").read_text())
    tuning = schema["properties"]["tuning"]["properties"]
    assert tuning["bounds"]["properties"].keys() == spec["bounds"]["properties"].keys()
    assert tuning["limits"]["properties"].keys() == spec["limits"]["properties"].keys()
    assert tuning.keys() - {"enabled"} == spec.keys() - {"targetRef"}


@pytest.mark.parametrize("chart", NAMES)
def test_the_readme_lists_every_value(chart):
    def leaves(node, path=""):
        for key, each in node.items():
            if isinstance(each, dict) and each and key not in ("resources", "arrivals"):
                yield from leaves(each, f"{path}{key}.")
            else:
                yield f"{path}{key}"

    readme = (CHARTS / chart / "README.md").read_text()
    values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    assert [name for name in leaves(values) if f"| {name} |" not in readme] == []


def test_a_digest_wins_over_a_tag(helm, only):
    wanted = f"registry.example.com/x@{DIGEST}"
    operator = only(helm.render("controller", IMAGE), "Deployment")
    assert operator["spec"]["template"]["spec"]["containers"][0]["image"] == wanted
    assert server(helm.render("inference-service", IMAGE))["containers"][0]["image"] == wanted
    campaign = only(helm.render("loadtest", IMAGE, *LOAD), "Job")
    assert campaign["spec"]["template"]["spec"]["containers"][0]["image"] == wanted


def test_settings_that_are_not_given_are_left_to_the_server(helm):
    assert environment(server(helm.render("inference-service", 'link={"enabled": false}'))) == {}


@pytest.mark.parametrize("platform", ["knative", "kserve"])
def test_settings_that_are_given_are_rendered_by_the_servers_names(helm, platform):
    given = {"maxBatchSize": 16, "batchTokens": 1048576, "maxQueueDelay": "5ms", "requestTimeout": "1.5m"}
    documents = helm.render(
        "inference-service", f'platform="{platform}"', f"server={json.dumps(given)}", 'link={"enabled": false}'
    )
    assert environment(server(documents)) == {
        "TIDEGATE_MAX_BATCH_SIZE": "16",
        "TIDEGATE_BATCH_TOKENS": "1048576",
        "TIDEGATE_MAX_QUEUE_DELAY_S": "0.005",
        "TIDEGATE_REQUEST_TIMEOUT_S": "90",
    }


@pytest.mark.parametrize(
    ("flags", "concurrency"),
    [
        ((), 12),
        (('server={"maxBatchSize": 1}',), 4),
        (('server={"maxBatchSize": 5}',), 8),
        (('server={"maxBatchSize": 16, "workers": 2}',), 48),
        (('tuning={"enabled": true, "bounds": {"maxBatchSize": {"max": 32}}}',), 48),
        (('tuning={"enabled": false, "bounds": {"maxBatchSize": {"max": 32}}}',), 12),
        (('server={"maxBatchSize": 16}', "containerConcurrency=10"), 10),
    ],
)
@pytest.mark.parametrize("platform", ["knative", "kserve"])
def test_container_concurrency_covers_one_and_a_half_of_the_largest_batches(helm, platform, flags, concurrency):
    pod = server(helm.render("inference-service", f'platform="{platform}"', *flags))
    assert pod["containerConcurrency"] == concurrency


def test_the_servers_defaults_in_the_formula_are_the_servers(helm):
    settings = Settings(model="demo")
    given = {"maxBatchSize": settings.max_batch_size, "workers": settings.workers}
    with_defaults = server(helm.render("inference-service", f"server={json.dumps(given)}"))
    assert server(helm.render("inference-service"))["containerConcurrency"] == with_defaults["containerConcurrency"]
