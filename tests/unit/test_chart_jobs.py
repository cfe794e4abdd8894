"""What the charts run in the operator's image: the check of helm test, and the clean-up after an uninstall."""

import contextlib

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from controller.errors import TemporaryError
from controller.platforms.fake_cluster import FakeCluster
from controller.reconcilers import chart_jobs
from controller.reconcilers.chart_jobs import check, main, remove_traces

API = "/apis/tidegate.dev/v1alpha1"
SERVED = {
    "metadata": {"name": "v1alpha1"},
    "resources": [{"name": n} for n in ("inferencetunings", "sweeps", "sweeptrials")],
}
LEASE = "/apis/coordination.k8s.io/v1/namespaces/home/leases/tidegate-controller"
AUTHORITY = "/api/v1/namespaces/home/secrets/tidegate-ca"


def bundle(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps/tidegate-ca"


@pytest.fixture
def cluster():
    made = FakeCluster()
    for path in (AUTHORITY, LEASE, bundle("shop"), bundle("other"), "/api/v1/namespaces/shop/configmaps/mine"):
        made.put(path, {"metadata": {"name": path.rpartition("/")[2], "namespace": path.split("/")[-3]}})
    return made


@contextlib.asynccontextmanager
async def operator(*answers):
    """Answers with each status in turn, then with the last for ever."""
    left = list(answers)

    async def answer(_request):
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0])

    app = web.Application()
    app.router.add_get("/readyz", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/readyz"))


async def test_an_operator_that_is_ready_passes(cluster):
    cluster.put(API, SERVED)
    async with operator(200) as address:
        await check(cluster, address)


async def test_an_operator_that_starts_is_waited_for(cluster, monkeypatch):
    monkeypatch.setattr(chart_jobs, "_POLL_S", 0.01)
    cluster.put(API, SERVED)
    async with operator(503, 503, 200) as address:
        await check(cluster, address)


async def test_an_operator_that_does_not_come_is_told_with_its_last_word(cluster, monkeypatch):
    monkeypatch.setattr(chart_jobs, "_POLL_S", 0.01)
    cluster.put(API, SERVED)
    async with operator(503) as address:
        with pytest.raises(TemporaryError, match=r"not ready at .*answered 503"):
            await check(cluster, address, patience_s=0.2)
    with pytest.raises(TemporaryError, match="no answer"):
        await check(cluster, f"http://127.0.0.1:{unused_port()}/readyz", patience_s=0.2)


@pytest.mark.parametrize(
    ("served", "missing"),
    [
        (None, "inferencetunings, sweeps, sweeptrials"),
        ({**SERVED, "resources": SERVED["resources"][:2]}, "sweeptrials"),
    ],
)
async def test_definitions_that_are_missing_are_named(cluster, served, missing):
    if served is not None:
        cluster.put(API, served)
    with pytest.raises(TemporaryError, match=f"does not serve {missing}; install charts/tidegate"):
        await check(cluster, "http://127.0.0.1:1/")


async def test_what_the_operator_made_goes_and_nothing_else(cluster):
    await remove_traces(cluster, "home", ["shop"])
    assert set(cluster.objects) == {bundle("other"), "/api/v1/namespaces/shop/configmaps/mine"}


async def test_what_is_gone_already_is_no_trouble(cluster):
    await remove_traces(cluster, "home", ["shop"])
    await remove_traces(cluster, "home", ["shop"])


@pytest.mark.parametrize("arguments", [[], ["check"], ["remove-traces"], ["other", "x"]])
def test_other_words_get_the_usage(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: python -m controller.reconcilers.chart_jobs check ADDRESS")
