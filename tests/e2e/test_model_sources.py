"""The three ways a model reaches a pod, each through the chart and each with a right answer of real weights."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("cluster")

PREPARED = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "demo"
WITHOUT_A_MODEL = {"repository": "dev.local/tidegate-inference", "tag": "1"}
WITH_A_MODEL = "dev.local/tidegate-demo:1"
ALONE = {"link": {"enabled": False}, "autoscaling": {"window": "6s"}}
TEXTS = ["a warm and wonderful film", "a dreadful, boring mess"]

SERVE = "tar -cf /srv/distilbert.tar -C /mnt/models . && exec python -m http.server -d /srv 8000"
FETCH = """
import sys, tarfile, urllib.request
uri, folder = sys.argv[1:]
with urllib.request.urlopen(uri) as answer, tarfile.open(fileobj=answer, mode="r|") as archive:
    archive.extractall(folder)
"""


def labels(namespace, service):
    answer = namespace.ask(service, "/v1/models/distilbert:predict", {"instances": TEXTS})
    return [each["label"] for each in answer["predictions"]]


@pytest.fixture
def beyond(namespace):
    """Put an object that no namespace holds; it is removed at the end of the test, also of one that failed."""
    made = []

    def put(document):
        made.append(json.dumps(document))
        namespace.put(document)

    yield put
    for document in made:
        # A volume stays until its claim has gone with the namespace, so nobody waits here.
        namespace.kubectl("delete", "-f", "-", "--ignore-not-found", "--wait=false", text=document)


@pytest.fixture
def volume_folder():
    """A folder of the node that holds the prepared model in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="tidegate-models-") as folder:
        Path(folder).chmod(0o755)  # the server is not its owner
        shutil.copytree(PREPARED, Path(folder) / "distilbert")
        yield folder


def claim(name, folder):
    """Return a volume and a claim on it; a folder of the node stands in for storage over the network."""
    shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    host = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": folder, "type": "Directory"}}
    wanted = {"volumeName": name, "resources": {"requests": {"storage": "1Gi"}}}
    return (
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": shared | host},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": shared | wanted},
    )


def archive_server():
    """Return a pod and its address; it stands in for a bucket and offers the model as an archive over HTTP."""
    container = {
        "name": "models",
        "image": WITH_A_MODEL,
        "command": ["sh", "-c", SERVE],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        "volumeMounts": [{"name": "srv", "mountPath": "/srv"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "srv", "emptyDir": {}}], "terminationGracePeriodSeconds": 0}
    address = {"selector": {"app": "models"}, "ports": [{"port": 8000}]}
    return (
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "models", "labels": {"app": "models"}}, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "models"}, "spec": address},
    )


def fetcher(name, prefix):
    """Return what KServe fetches such addresses with.

    It stands in for KServe's storage-initializer, whose image no registry of the test has: as that one, it is given an
    address and a folder, fetches the archive and unpacks it there. All around it is KServe's own doing.
    """
    container = {"name": "storage-initializer", "image": WITH_A_MODEL, "command": ["python", "-c", FETCH]}
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ClusterStorageContainer",
        "metadata": {"name": name},
        "spec": {"container": container, "supportedUriFormats": [{"prefix": prefix}], "workloadType": "initContainer"},
    }


def test_a_model_in_the_image_answers_also_helm_test(namespace):
    namespace.install("distilbert", ALONE)
    assert labels(namespace, "distilbert") == ["positive", "negative"]
    assert "Phase:          Succeeded" in namespace.helm("test", "distilbert")


def test_a_model_on_a_volume_answers(namespace, beyond, volume_folder):
    volume, claimed = claim(namespace.name, volume_folder)
    beyond(volume)
    namespace.put(claimed)
    model = {"source": "pvc", "pvc": {"claimName": "models", "subPath": "distilbert"}}
    namespace.install("distilbert", {**ALONE, "image": WITHOUT_A_MODEL, "model": model}, platform="kserve")
    assert labels(namespace, "distilbert-predictor") == ["positive", "negative"]


def test_a_model_that_kserve_fetches_answers_through_a_runtime_of_the_chart(namespace, beyond):
    # The prefix names this namespace, so the fetcher is for no other test's models.
    address = f"http://models.{namespace.name}.svc:8000/"
    beyond(fetcher(namespace.name, address))
    namespace.put(*archive_server())
    namespace.wait("pod/models")
    values = {
        "image": WITHOUT_A_MODEL,
        "model": {"source": "storageUri", "storageUri": f"{address}distilbert.tar"},
        "servingRuntime": {"create": True, "name": "tidegate"},
    }
    namespace.install("distilbert", {**ALONE, **values}, platform="kserve")
    assert namespace.get("inferenceservice", "distilbert")["spec"]["predictor"]["model"]["runtime"] == "tidegate"
    assert labels(namespace, "distilbert-predictor") == ["positive", "negative"]
