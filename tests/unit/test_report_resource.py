"""`tidegate report sweep/NAME`: a Sweep in a cluster becomes the folder and the page that one machine makes."""

import json

import pytest

from controller.commands.report_resource import read_sweep, resource_of, write_folder
from controller.errors import BadInputError
from controller.platforms.fake_cluster import FakeCluster
from controller.reports.sweep_report import write_sweep_report
from controller.sweeps.from_cluster import record_of

OURS = "/apis/tidegate.dev/v1alpha1/namespaces/shop"


async def a_cluster():
    """One Sweep with two trials that ended and one that runs, and a trial that an earlier Sweep of its name left."""
    cluster = FakeCluster()
    spec = {"objective": {"slo": {"quantile": "0.95", "latency": "250ms"}}, "cancel": False}
    sweep = await cluster.create(f"{OURS}/sweeps", {"metadata": {"name": "s"}, "spec": spec})
    await cluster.patch(f"{OURS}/sweeps/s/status", {"status": {"phase": "Running"}})
    figures = {"requests": 10, "p50": "10ms", "p95": "20ms", "p99": "30ms", "atObjective": "20.0ms", "attainment": "1"}
    statuses = [
        {"phase": "Complete", "figures": {**figures, "costPerMillionUsd": "1.5"}},
        {"phase": "Failed", "why": "no node takes its load pod"},
        {"phase": "Running"},
    ]
    for number, status in enumerate(statuses):
        metadata = {
            "name": f"s-{number:03}",
            "labels": {"tidegate.dev/sweep": "s"},
            "ownerReferences": [{"uid": sweep["metadata"]["uid"]}],
        }
        parameters = [{"name": "maxQueueDelay", "value": "5ms"}]
        await cluster.create(
            f"{OURS}/sweeptrials", {"metadata": metadata, "spec": {"number": number, "parameters": parameters}}
        )
        await cluster.patch(f"{OURS}/sweeptrials/s-{number:03}/status", {"status": status})
    left = {"metadata": {"name": "s-009", "labels": {"tidegate.dev/sweep": "s"}}, "spec": {"number": 9}}
    await cluster.create(f"{OURS}/sweeptrials", left)
    return cluster


async def written(folder):
    document, trials = await read_sweep(await a_cluster(), "shop", "s")
    return write_folder(document, [record_of(each) for each in trials if each["status"]["phase"] != "Running"], folder)


async def test_the_page_of_a_sweep_in_a_cluster_is_that_of_a_folder(tmp_path):
    document, page = write_sweep_report(await written(tmp_path / "s"))
    assert (document["trials"], document["feasible"], document["phase"]) == (2, 1, "Running")
    assert document["best"]["parameters"] == {"max_queue_delay_s": 0.005}
    assert "no node takes its load pod" in page.read_text()


async def test_a_second_report_replaces_the_first_and_a_folder_of_others_is_left_alone(tmp_path):
    folder = await written(tmp_path / "s")
    assert await written(folder) == folder
    assert len(json.loads((folder / "trials.json").read_text())) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(BadInputError, match="holds no sweep"):
        await written(tmp_path / "mine")


async def test_a_sweep_that_is_not_there_is_one_line():
    with pytest.raises(BadInputError, match="namespace shop has no such Sweep"):
        await read_sweep(FakeCluster(), "shop", "s")


def test_a_kind_and_a_name_are_no_folder_unless_there_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resource_of("sweep/a-b") == ("sweep", "a-b")
    assert resource_of("sw/a") == ("sweep", "a")
    assert resource_of("runs/sweep") is None
    (tmp_path / "sweep" / "a-b").mkdir(parents=True)
    assert resource_of("sweep/a-b") is None
