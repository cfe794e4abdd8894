"""The controller when its surroundings fail: bad heartbeats, an absent platform, a dying search, a broken state."""

import asyncio
import json
import logging
import os
import signal

import numpy as np
import pytest

from controller.control_loop import control
from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.domain.prices import ClusterPrices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError, TemporaryError
from controller.monitor.journal import Journal, StateFile
from controller.optimizer.objective import Scenario, World
from controller.optimizer.search_process import ChildSearch, InlineSearch
from controller.optimizer.search_space import search_space
from controller.optimizer.study import Problem
from controller.platforms.simulated import SimulatedPlatform
from controller.settings import LoopSettings
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox

PRICES = ClusterPrices(0.0000133, 0.0000018)
SETTINGS = LoopSettings(slo=LatencySlo(0.95, 1.0), prices=PRICES, trials=8)
SERVICE = TokenServiceTimes(per_batch_s=0.02, per_token_s=0.0009)


class Flaky:
    """A platform whose calls fail at chosen seconds."""

    def __init__(self, platform, *, fails_at):
        self._platform, self._fails_at = platform, fails_at
        self.server_law, self.autoscaler, self.shape = platform.server_law, platform.autoscaler, platform.shape
        self.now_s = 0.0

    async def advance(self, until_s):
        self.now_s = await self._platform.advance(until_s)
        return self.now_s

    async def state(self):
        if self.now_s in self._fails_at:
            raise TemporaryError("the activator does not answer")
        return await self._platform.state()

    def __getattr__(self, name):
        return getattr(self._platform, name)


async def simulated(duration_s, rate_rps=8):
    rng = np.random.default_rng(0)
    merge = HeartbeatMerge()
    platform = SimulatedPlatform(
        service=SERVICE,
        merge=merge,
        outbox=Outbox(),
        rng=rng,
        autoscaler=AutoscalerSettings(window_s=6),
        shape=InstanceShape(cores=1, max_instances=4),
    )
    platform.offer(sample_arrivals(PoissonProcess(rate_rps), duration_s=duration_s, rng=rng))
    await platform.start(ServingConfig())
    return platform, merge


def lines(folder, name="decisions.jsonl"):
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.looptime
async def test_a_platform_that_is_away_is_asked_again_and_told_once(tmp_path, caplog):
    platform, merge = await simulated(20)
    flaky = Flaky(platform, fails_at={1.0, 2.0, 3.0, 4.0})
    search = InlineSearch()
    with caplog.at_level(logging.WARNING):
        await control(flaky, merge, SETTINGS, Journal(tmp_path), StateFile(tmp_path / "s"), search=search, until_s=12)
    assert [record.message for record in caplog.records] == ["loop_trouble why=the activator does not answer"]
    assert lines(tmp_path)


@pytest.mark.looptime
async def test_a_full_disk_stops_neither_the_loop_nor_the_service(tmp_path, caplog):
    platform, merge = await simulated(10)
    nowhere = tmp_path / "gone"
    with caplog.at_level(logging.WARNING):
        await control(
            platform, merge, SETTINGS, Journal(nowhere), StateFile(nowhere / "s"), search=InlineSearch(), until_s=10
        )
    assert "cannot be written" in caplog.text
    assert (await platform.state()).at_s == 10


@pytest.mark.parametrize("text", ['{"schema": 9}', '{"schema": 1, "margin": "x"}', '{"schema": 1}', "{", "[]"])
async def test_a_broken_state_is_told_and_the_loop_starts_afresh(tmp_path, caplog, text):
    (tmp_path / "s").write_text(text)
    platform, merge = await simulated(10)
    await control(
        platform, merge, SETTINGS, Journal(tmp_path), StateFile(tmp_path / "s"), search=InlineSearch(), until_s=10
    )
    assert lines(tmp_path)
    assert json.loads((tmp_path / "s").read_text())["schema"] == 1


async def test_a_malformed_heartbeat_among_good_ones_disturbs_no_decision(tmp_path):
    platform, merge = await simulated(10)
    for body in (None, {}, {"schema": 1}, {"schema": 1, "boot_id": "x", "seq": "y"}):
        with pytest.raises(BadInputError):
            merge.accept(body, 0.0)
    await control(
        platform, merge, SETTINGS, Journal(tmp_path), StateFile(tmp_path / "s"), search=InlineSearch(), until_s=10
    )
    assert lines(tmp_path)[0]["kind"] == "start"


def small_problem():
    arrivals = np.arange(0, 4, 0.2)
    scenario = Scenario("present", "steady", arrivals, np.full(arrivals.size, 20), 4.0, 1)
    shape = InstanceShape(cores=1, max_instances=2)
    world = World(SERVICE, AutoscalerSettings(), shape, PRICES, LatencySlo(0.95, 1.0))
    space = search_space(ServingConfig(), shape=shape, workers=1, bounds={})
    return Problem(space, (scenario,), world, ServingConfig(), trials=4, budget_s=0.0)


async def taken(search):
    for _ in range(600):
        result = search.take(0.0)
        if result is not None:
            return result
        await asyncio.sleep(0.05)
    raise TimeoutError


async def test_a_search_in_a_child_of_the_lowest_priority_survives_the_childs_death():
    search = ChildSearch()
    try:
        search.begin(small_problem(), 0.0)
        first = await taken(search)
        assert first.evaluated >= 4
        (child,) = search.children()
        assert os.getpriority(os.PRIO_PROCESS, child) == 19
        os.kill(child, signal.SIGKILL)
        with pytest.raises(TemporaryError, match="its process died"):  # noqa: PT012  told at one of the two calls
            search.begin(small_problem(), 0.0)
            await taken(search)
        search.begin(small_problem(), 0.0)
        assert (await taken(search)).best == first.best
    finally:
        search.close()
    assert search.children() == []
