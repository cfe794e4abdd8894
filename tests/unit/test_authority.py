"""The link's authority in the cluster: made once, shared by replicas, its public part in each namespace."""

import asyncio
import base64
import time

import pytest

from controller.errors import BadInputError, TemporaryError
from controller.platforms.cluster_client import ClusterCallError
from controller.platforms.fake_cluster import FakeCluster
from controller.reconcilers.authority import AGAIN_S, Bundle, ensure_authority
from controller.telemetry.tls import make_authority

SECRET = "/api/v1/namespaces/ops/secrets/tidegate-ca"  # noqa: S105  a path
MAP = "/api/v1/namespaces/team/configmaps/tidegate-ca"
AWAY = ClusterCallError("cluster: no answer", status=0)


class Late(FakeCluster):
    """Another replica makes an object between our look and our own."""

    async def create(self, path, document):
        if SECRET not in self.objects:
            made = {name: base64.b64encode(each).decode() for name, each in OTHER.to_pem().items()}
            await super().create(path, {**document, "data": made})
        return await super().create(path, document)


OTHER = make_authority(time.time())


@pytest.fixture
def cluster():
    return FakeCluster()


async def test_the_first_call_makes_it_and_the_next_ones_find_it(cluster):
    made = await ensure_authority(cluster, "ops")
    found = await ensure_authority(cluster, "ops")
    assert found.to_pem() == made.to_pem()
    assert set(cluster.objects[SECRET]["data"]) == {"ca.crt", "ca.key"}


async def test_of_two_operators_that_make_it_at_once_both_use_one():
    assert (await ensure_authority(Late(), "ops")).to_pem() == OTHER.to_pem()


async def test_an_outage_makes_no_second_authority(cluster):
    made = await ensure_authority(cluster, "ops")
    cluster.refusal = AWAY
    with pytest.raises(TemporaryError):
        await ensure_authority(cluster, "ops")
    cluster.refusal = None
    assert (await ensure_authority(cluster, "ops")).to_pem() == made.to_pem()


@pytest.mark.parametrize(
    "data",
    [None, {}, {"ca.crt": "", "ca.key": ""}, {"ca.crt": "!", "ca.key": "bm8="}, {"ca.crt": "bm8=", "ca.key": "bm8="}],
)
async def test_a_secret_that_holds_something_else_is_refused_in_words(cluster, data):
    cluster.put(SECRET, {"metadata": {"name": "tidegate-ca"}, "data": data})
    with pytest.raises(BadInputError, match="Secret tidegate-ca: ca"):
        await ensure_authority(cluster, "ops")


@pytest.mark.looptime
async def test_only_the_public_part_is_published_and_comes_back_when_somebody_removes_it(cluster):
    bundle = Bundle(cluster, OTHER)
    await bundle.publish("team")
    assert cluster.objects[MAP]["data"] == {"ca.crt": OTHER.to_pem()["ca.crt"].decode()}
    await cluster.delete(MAP)
    await bundle.publish("team")
    assert MAP not in cluster.objects
    await asyncio.sleep(AGAIN_S)
    await bundle.publish("team")
    assert MAP in cluster.objects


async def test_a_bundle_that_could_not_be_published_is_published_at_the_next_call(cluster):
    bundle = Bundle(cluster, OTHER)
    cluster.refusal = AWAY
    with pytest.raises(TemporaryError):
        await bundle.publish("team")
    cluster.refusal = None
    await bundle.publish("team")
    assert MAP in cluster.objects
