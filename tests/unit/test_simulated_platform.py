import numpy as np
import pytest

from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.errors import TemporaryError
from controller.platforms.simulated import SimulatedPlatform
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox


@pytest.fixture
def merge():
    return HeartbeatMerge()


@pytest.fixture
def platform(merge):
    return SimulatedPlatform(
        service=TokenServiceTimes(per_batch_s=0.01, per_token_s=0.0001, cv=0.1),
        merge=merge,
        outbox=Outbox(),
        rng=np.random.default_rng(1),
        autoscaler=AutoscalerSettings(window_s=6, scale_to_zero_grace_period_s=2),
        shape=InstanceShape(cores=1),
    )


async def test_heartbeats_carry_every_arrival_batch_and_length(platform, merge, rng):
    arrivals = np.sort(rng.uniform(0, 20, 1000))
    platform.offer(arrivals, rng.integers(1, 64, 1000))
    await platform.start(ServingConfig(min_scale=2))

    await platform.advance(21.0)

    first, counts, _ = merge.counts(21.0)
    result = platform.result()
    assert first == 0
    assert counts.tolist() == np.bincount(arrivals.astype(int), minlength=21).tolist()
    assert sum(each.count for each in merge.profile().values()) == result.batch_size.size
    assert sum(each.sum_s for each in merge.profile().values()) == pytest.approx(result.batch_s.sum())
    assert sum(merge.lengths().values()) == 1000
    assert merge.counters()["answered"] == 1000


async def test_the_front_sees_arrivals_that_wait_for_an_instance(platform):
    platform.offer([12.03, 12.04, 12.35])
    await platform.start(ServingConfig())

    await platform.advance(12.5)
    document = (await platform.state()).front_arrivals

    bins = document["bins"]
    assert bins["first"] == 0
    assert [index for index, count in enumerate(bins["counts"]) for _ in range(count)] == [120, 120, 123]


async def test_an_instance_says_a_last_word_when_it_stops(platform, merge):
    platform.offer([0.5])
    await platform.start(ServingConfig())

    await platform.advance(20.0)

    (seen,) = merge.instances()
    assert seen.heartbeat.draining
    assert not seen.heartbeat.ready
    assert seen.heard_at_s < 15


async def test_nothing_can_be_asked_before_the_start(platform):
    with pytest.raises(TemporaryError, match="not started"):
        await platform.state()
