"""charts/loadtest against a service: one process that does everything, then a master with workers."""

import json

import pytest

pytestmark = pytest.mark.needs("cluster")

SERVER = {"model": {"path": "fake"}, "server": {"env": {"TIDEGATE_FAKE_FIXED_S": "0.01"}}}


def campaign(namespace, **values):
    """Install or upgrade the release `load`; returns its newest Job's name."""
    given = {
        "image": {"repository": "dev.local/tidegate-loadtest", "tag": "1"},
        "host": f"http://fake.{namespace.name}.svc.cluster.local",
        "arrivals": {"kind": "poisson", "rate_rps": 10},
        "seed": 7,
        "durationSeconds": 10,
        **values,
    }
    notes = namespace.install_chart("load", "loadtest", given)
    return next(word.removeprefix("job/") for word in notes.split() if word.startswith("job/"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_campaign_prints_what_every_request_came_to(namespace, workers):
    namespace.install("fake", SERVER)
    figures = namespace.figures(campaign(namespace, workers=workers))
    assert figures["failures"] == {}
    assert sum(each["count"] for each in figures["classes"].values()) == figures["requests"] > 50
    assert figures["seeds"] == {"schedule": 7}
    assert figures["generator"]["workers"] == max(1, workers)


def test_other_values_are_another_campaign_and_the_same_ones_are_not_run_again(namespace):
    namespace.install("fake", SERVER)
    first = campaign(namespace)
    begun = namespace.get("job", first)["metadata"]["uid"]
    namespace.figures(first)
    assert campaign(namespace) == first
    assert namespace.get("job", first)["metadata"]["uid"] == begun
    second = campaign(namespace, seed=8)
    assert second != first
    assert namespace.figures(second)["seeds"] == {"schedule": 8}


def test_one_that_reaches_nobody_fails_and_says_why(namespace, until):
    job = campaign(namespace, host=f"http://nobody.{namespace.name}.svc.cluster.local", durationSeconds=5)
    until("the failure", lambda: "Failed" in json.dumps(namespace.get("job", job)["status"].get("conditions") or []))
    assert "nobody" in namespace.kubectl("logs", f"job/{job}")
