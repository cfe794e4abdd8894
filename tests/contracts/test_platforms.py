"""Every platform passes the same scenarios: the simulated one in virtual time, the local one with real processes."""

from __future__ import annotations

import asyncio
import math
import socket
from dataclasses import replace

import aiohttp
import numpy as np
import pytest

from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.platforms.local.activator_settings import ActivatorSettings
from controller.platforms.local.instances import server_command
from controller.platforms.local.local_platform import LocalPlatform
from controller.platforms.simulated import SimulatedPlatform
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox

QUICK = AutoscalerSettings(window_s=1.0, tick_s=0.1, scale_to_zero_grace_period_s=0.2)
SHAPE = InstanceShape(cold_start_s=0.5, cold_start_cpu_s=0.2, max_instances=3)


class SimulatedScenario:
    """Drives the simulated platform."""

    def __init__(self, tmp_path):
        del tmp_path
        self.platform = SimulatedPlatform(
            service=TokenServiceTimes(fixed_s=0.005),
            merge=HeartbeatMerge(),
            outbox=Outbox(),
            rng=np.random.default_rng(1),
            autoscaler=QUICK,
            shape=SHAPE,
            initial_scale=0,
        )

    async def request(self):
        before = (await self.platform.state()).at_s
        self.platform.offer([before])
        await self.platform.advance(before + 2.0)
        return "ok" if self.platform.result().request_class[-1] in ("ok", "cold_start") else "failed"

    async def keep_requesting(self, seconds):
        before = (await self.platform.state()).at_s
        self.platform.offer(np.arange(before, before + seconds, 0.02))
        await self.platform.advance(before + seconds)
        classes = self.platform.result().request_class.tolist()
        return [name for name in classes if name not in ("ok", "cold_start")]

    async def batch_size_in_a_running_server(self):
        return self.platform._simulator.config.max_batch_size


class LocalScenario:
    """Drives the local platform with the server's fake runtime."""

    def __init__(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        settings = ActivatorSettings(
            run_folder=tmp_path,
            listen=f"127.0.0.1:{port}",
            service="contract",
            command=server_command("fake"),
            autoscaler=QUICK,
            shape=SHAPE,
            initial_scale=0,
            environment={"TIDEGATE_FAKE_FIXED_S": "0.005"},
        )
        self.platform = LocalPlatform(settings, Outbox(), outlives_us=False)

    async def request(self):
        async with aiohttp.ClientSession() as session:
            return await self._send(session)

    async def keep_requesting(self, seconds):
        failed = []
        async with aiohttp.ClientSession() as session:
            async with asyncio.timeout(seconds + 30):
                until_s = asyncio.get_running_loop().time() + seconds
                while asyncio.get_running_loop().time() < until_s:
                    if (answer := await self._send(session)) != "ok":
                        failed.append(answer)
                    await asyncio.sleep(0.02)
        return failed

    async def _send(self, session):
        url = f"{self.platform.url}/v1/models/distilbert:predict"
        async with session.post(url, json={"instances": ["a fine day"]}) as response:
            text = await response.text()
            return "ok" if response.status == 200 else text

    async def batch_size_in_a_running_server(self):
        async with aiohttp.ClientSession() as session, session.get(f"{self.platform.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next(float(line.split()[-1]) for line in lines if "max_batch_size" in line and not line.startswith("#"))


@pytest.fixture(params=[SimulatedScenario, LocalScenario], ids=["simulated", "local"])
async def scenario(request, tmp_path):
    made = request.param(tmp_path)
    yield made
    await made.platform.aclose()


async def until(scenario, holds, *, within_s=10.0):
    """Let time pass until the state is as wanted; return the last state."""
    first = state = await scenario.platform.state()
    while not holds(state) and state.at_s < first.at_s + within_s:
        await scenario.platform.advance(state.at_s + 0.05)
        state = await scenario.platform.state()
    assert holds(state), state
    return state


async def stopped_rows(scenario):
    """Return the rows once every instance has stopped."""
    for _ in range(100):
        rows = await scenario.platform.instances()
        if not any(math.isnan(row.stopped_s) for row in rows):
            return rows
        await scenario.platform.advance((await scenario.platform.state()).at_s + 0.05)
    raise AssertionError(rows)


async def test_the_first_request_is_counted_and_wakes_an_instance_and_silence_ends_it(scenario):
    await scenario.platform.start(ServingConfig())
    assert (await scenario.platform.state()).ready == 0

    assert await scenario.request() == "ok"
    bins = (await scenario.platform.state()).front_arrivals["bins"]
    await until(scenario, lambda state: state.ready == state.starting == 0)

    rows = await stopped_rows(scenario)
    assert sum(bins["counts"]) == 1
    assert len(rows) == 1
    assert rows[0].started_s <= rows[0].ready_s <= rows[0].stopped_s
    assert rows[0].stopped_s - rows[0].ready_s >= QUICK.scale_to_zero_grace_period_s


async def test_a_warm_change_adds_an_instance_and_leaves_the_running_one_alone(scenario):
    await scenario.platform.start(ServingConfig(min_scale=1))
    await until(scenario, lambda state: state.ready == 1)

    applied = await scenario.platform.apply(ServingConfig(min_scale=2))
    await until(scenario, lambda state: state.ready == 2)

    rows = await scenario.platform.instances()
    assert (applied.price, applied.changes) == ("warm", {"min_scale": (1, 2)})
    assert [math.isnan(row.stopped_s) for row in rows] == [True, True]
    assert len({row.revision for row in rows}) == 1


async def test_a_hot_change_reaches_a_running_server(scenario):
    config = ServingConfig(min_scale=1)
    await scenario.platform.start(config)
    await until(scenario, lambda state: state.ready == 1)

    applied = await scenario.platform.apply(replace(config, max_batch_size=3))
    state = await scenario.platform.state()
    for _ in range(40):
        if await scenario.batch_size_in_a_running_server() == 3:
            break
        await scenario.platform.advance((await scenario.platform.state()).at_s + 0.05)

    assert applied.price == "hot"
    assert applied.generation == 2
    assert state.config.max_batch_size == 3
    assert await scenario.batch_size_in_a_running_server() == 3
    assert len(await scenario.platform.instances()) == 1


async def test_a_slow_change_replaces_instances_without_a_failed_request(scenario):
    config = ServingConfig(min_scale=1)
    await scenario.platform.start(config)
    before = await until(scenario, lambda state: state.ready == 1)

    applied = await scenario.platform.apply(replace(config, container_concurrency=4))
    failed = await scenario.keep_requesting(1.2)
    after = await until(scenario, lambda state: state.ready == 1 and not state.starting)

    rows = await scenario.platform.instances()
    assert failed == []
    assert applied.price == "slow"
    assert applied.revision == after.revision != before.revision
    assert [row.revision for row in rows] == [before.revision, after.revision]
    assert rows[0].stopped_s >= rows[1].ready_s
    assert math.isnan(rows[1].stopped_s)


async def test_the_same_setting_again_changes_nothing(scenario):
    config = ServingConfig(min_scale=1)
    await scenario.platform.start(config)

    applied = await scenario.platform.apply(config)

    assert (applied.price, applied.changes, applied.generation) == (None, {}, 1)
