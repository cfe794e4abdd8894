"""Every values file against a real API server, which checks all and keeps nothing."""

from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.needs("helm", "cluster")

NOT_ON_EVERY_CLUSTER = {"monitoring.coreos.com", "tidegate.dev"}
"""Groups whose definitions come with somebody else's chart, or with ours."""
BEHIND_FLAGS = "knative-pvc-values"
"""Its volume, node selector and toleration are off in Knative unless config-features says otherwise."""


@pytest.fixture(scope="session")
def served(kubectl):
    return {line.partition("/")[0] for line in kubectl("api-versions").stdout.split()}


def group(document):
    return document["apiVersion"].rpartition("/")[0] or "v1"


def test_the_api_server_takes_what_is_rendered(helm, case, kubectl, served, record_property):
    chart, path = case
    documents = helm.render(chart, values=path, namespace="default")
    known = [each for each in documents if group(each) in served]
    unknown = {group(each) for each in documents} - served
    record_property("objects_not_tried", len(documents) - len(known))
    assert unknown <= NOT_ON_EVERY_CLUSTER
    done = kubectl("apply", "--dry-run=server", "--filename=-", given=yaml.safe_dump_all(known))
    if Path(path).stem == BEHIND_FLAGS:
        assert "Persistent volume claim support is disabled" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
