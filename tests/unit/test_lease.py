"""One operator acts at a time: two replicas never hold the Lease at once, and nobody waits for one that is gone."""

import asyncio
import contextlib
import random

import pytest

from controller.platforms.cluster_client import ClusterCallError, ConflictError, ForbiddenError
from controller.platforms.fake_cluster import FakeCluster
from controller.platforms.watched import seconds_of
from controller.reconcilers.lease import LASTS_S, RENEW_S, Lease, LostLeaseError

pytestmark = pytest.mark.looptime

PATH = "/apis/coordination.k8s.io/v1/namespaces/ops/leases/tidegate-controller"
AWAY = ClusterCallError("cluster: no answer", status=0)
BEGAN_S = 1_767_225_600.0


class VersionedCluster(FakeCluster):
    """Refuses a change of an object that has changed since it was read; between two calls others have their turn."""

    async def patch(self, path, change, *, kind="merge"):
        await asyncio.sleep(0)
        wanted = change["metadata"].get("resourceVersion") if isinstance(change, dict) else None
        known = self.objects.get(path, {}).get("metadata", {}).get("resourceVersion")
        if wanted is not None and known is not None and wanted != known:
            raise ConflictError("cluster: answered 409: the object has been modified", status=409)
        return await super().patch(path, change, kind=kind)


def wall():
    return BEGAN_S + asyncio.get_running_loop().time()


def replica(cluster, name):
    return Lease(cluster, "ops", "tidegate-controller", holder=name, wall=wall)


def holder(cluster):
    return cluster.objects[PATH]["spec"]["holderIdentity"]


@pytest.fixture
def cluster():
    return VersionedCluster()


@contextlib.asynccontextmanager
async def working(work):
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, LostLeaseError):
            await task


async def test_the_first_replica_has_it_at_once(cluster):
    await replica(cluster, "a").acquire()
    assert asyncio.get_running_loop().time() == 0
    assert cluster.objects[PATH]["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": LASTS_S,
        "renewTime": "2026-01-01T00:00:00.000000Z",
    }


async def test_of_two_that_begin_together_one_has_it(cluster):
    async with working(replica(cluster, "a").acquire()) as one, working(replica(cluster, "b").acquire()) as other:
        await asyncio.sleep(LASTS_S - 1)
        assert [one.done(), other.done()].count(True) == 1


async def test_of_two_that_find_it_expired_one_takes_it(cluster):
    await replica(cluster, "gone").acquire()
    await asyncio.sleep(LASTS_S + 1)
    async with working(replica(cluster, "a").acquire()) as one, working(replica(cluster, "b").acquire()) as other:
        await asyncio.sleep(LASTS_S - 1)
        assert [one.done(), other.done()].count(True) == 1


async def test_a_holder_that_renews_is_never_replaced(cluster):
    first = replica(cluster, "a")
    await first.acquire()
    async with working(first.keep()) as keeping, working(replica(cluster, "b").acquire()) as waiting:
        await asyncio.sleep(600)
        assert (keeping.done(), waiting.done(), holder(cluster)) == (False, False, "a")
        assert wall() - seconds_of(cluster.objects[PATH]["spec"]["renewTime"]) <= RENEW_S


async def test_who_waits_takes_over_when_the_holder_has_died_and_not_before(cluster):
    await replica(cluster, "a").acquire()
    async with working(replica(cluster, "b").acquire()) as waiting:
        await asyncio.sleep(LASTS_S)
        assert not waiting.done()
        await asyncio.sleep(RENEW_S)
        assert waiting.done()
    assert holder(cluster) == "b"


async def test_who_releases_it_lets_the_next_one_have_it_at_once(cluster):
    first = replica(cluster, "a")
    await first.acquire()
    async with working(replica(cluster, "b").acquire()) as waiting:
        await asyncio.sleep(1)
        await first.release()
        await asyncio.sleep(RENEW_S / 2)
        assert waiting.done()
    assert holder(cluster) == "b"


async def test_who_never_had_it_releases_nothing(cluster):
    await replica(cluster, "a").acquire()
    await replica(cluster, "b").release()
    assert holder(cluster) == "a"


async def test_who_has_lost_it_does_not_release_it_for_another(cluster):
    first = replica(cluster, "a")
    await first.acquire()
    await asyncio.sleep(LASTS_S + 1)
    await replica(cluster, "b").acquire()
    with pytest.raises(ConflictError):
        await first.release()
    assert holder(cluster) == "b"


async def test_a_restarted_replica_of_the_same_name_goes_on(cluster):
    await replica(cluster, "a").acquire()
    await replica(cluster, "a").acquire()
    assert asyncio.get_running_loop().time() == 0


async def test_it_is_waited_for_an_api_server_that_is_away(cluster):
    cluster.refusal = AWAY
    async with working(replica(cluster, "a").acquire()) as waiting:
        await asyncio.sleep(60)
        assert not waiting.done()
        cluster.refusal = None
        await asyncio.sleep(RENEW_S / 2)
        assert waiting.done()


@pytest.mark.parametrize("status", [0, 500, 503])
async def test_a_holder_goes_on_while_the_api_server_is_away(cluster, status):
    first = replica(cluster, "a")
    await first.acquire()
    async with working(first.keep()) as keeping:
        cluster.refusal = ClusterCallError("cluster: no answer", status=status)
        await asyncio.sleep(300)
        cluster.refusal = None
        await asyncio.sleep(RENEW_S)
        assert not keeping.done()
    assert wall() - seconds_of(cluster.objects[PATH]["spec"]["renewTime"]) <= RENEW_S


async def test_a_holder_ends_when_somebody_else_took_it_meanwhile(cluster):
    first = replica(cluster, "a")
    await first.acquire()
    async with working(first.keep()) as keeping:
        cluster.put(PATH, {"metadata": {}, "spec": {"holderIdentity": "b", "renewTime": "2026-01-01T00:10:00Z"}})
        await asyncio.sleep(RENEW_S)
        with pytest.raises(LostLeaseError, match="b holds it; this replica ends and waits anew"):
            await keeping


async def test_a_refusal_ends_a_holder_only_when_it_lasts(cluster):
    first = replica(cluster, "a")
    await first.acquire()
    async with working(first.keep()) as keeping:
        cluster.refusal = ForbiddenError("cluster: may not", status=403)
        await asyncio.sleep(LASTS_S - 1)
        assert not keeping.done()
        await asyncio.sleep(2 * RENEW_S)
        with pytest.raises(LostLeaseError, match="nobody we know"):
            await keeping


@pytest.mark.parametrize("spec", [{}, {"holderIdentity": "x"}, {"holderIdentity": "", "renewTime": None}, None])
async def test_a_lease_that_says_too_little_is_free(cluster, spec):
    cluster.put(PATH, {"metadata": {}, "spec": spec})
    await replica(cluster, "a").acquire()
    assert holder(cluster) == "a"


class Actor:
    """A replica that acts while it holds the Lease, and dies or leaves now and then."""

    def __init__(self, cluster, name, acting, rng):
        self._cluster, self._name, self._acting, self._rng = cluster, name, acting, rng

    async def live(self):
        while True:
            lease = replica(self._cluster, f"{self._name}-{self._rng.random()}")
            await lease.acquire()
            self._acting.add(self._name)
            assert len(self._acting) == 1, self._acting
            with contextlib.suppress(LostLeaseError, TimeoutError):
                async with asyncio.timeout(self._rng.uniform(1, 60)):
                    await lease.keep()
            self._acting.discard(self._name)
            if self._rng.random() < 0.5:
                await lease.release()
            await asyncio.sleep(self._rng.uniform(0, 20))


@pytest.mark.parametrize("seed", range(5))
async def test_whoever_comes_and_goes_two_never_act_at_once(cluster, seed):
    rng, acting = random.Random(seed), set()
    actors = [asyncio.create_task(Actor(cluster, name, acting, rng).live()) for name in "abc"]
    await asyncio.wait(actors, timeout=1200, return_when=asyncio.FIRST_EXCEPTION)
    failed = [each.exception() for each in actors if each.done()]
    for each in actors:
        each.cancel()
    await asyncio.gather(*actors, return_exceptions=True)
    assert failed == []
