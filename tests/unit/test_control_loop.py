"""The loop on the simulated platform: what it decides, when, and what it leaves alone."""

import asyncio
import json
import math

import numpy as np
import pytest

from controller.control_loop import control
from controller.domain.arrival_map import mmpp
from controller.domain.arrival_process import Phase, Phases, PoissonProcess, sample_arrivals
from controller.domain.prices import ClusterPrices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo
from controller.monitor.journal import Journal, StateFile
from controller.optimizer.search_process import InlineSearch
from controller.platforms.simulated import SimulatedPlatform
from controller.settings import LoopSettings
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox

SERVICE = TokenServiceTimes(per_batch_s=0.02, per_token_s=0.0009, cv=0.1)
"""Slow, so that little traffic is enough: 24 requests a second of 24 tokens."""
FAST = TokenServiceTimes(per_batch_s=0.002, per_token_s=0.00009, cv=0.1)
"""Ten times as fast, so that a burst fills the target of 100 in parallel."""
QUICK = AutoscalerSettings(window_s=6, scale_to_zero_grace_period_s=5)
SLO = LatencySlo(0.95, 1.0)
PRICES = ClusterPrices(0.0000133, 0.0000018)


class Rehearsal:
    """One service and its loop in virtual time."""

    def __init__(self, folder, process, *, duration_s, cores=1.0, seed=0, config=None, service=SERVICE, **settings):
        rng = np.random.default_rng(seed)
        self.folder, self.duration_s = folder, duration_s
        self.merge, self.outbox = HeartbeatMerge(), Outbox()
        self.platform = SimulatedPlatform(
            service=service,
            merge=self.merge,
            outbox=self.outbox,
            rng=rng,
            autoscaler=QUICK,
            shape=InstanceShape(cores=cores, max_instances=6),
        )
        arrivals = sample_arrivals(process, duration_s=duration_s, rng=rng)
        self.platform.offer(arrivals, np.clip(np.rint(rng.lognormal(3.1, 0.3, arrivals.size)), 4, 64))
        self.config = config or ServingConfig()
        self.settings = LoopSettings(**{"slo": SLO, "prices": PRICES, "trials": 18, **settings})

    async def run(self, until_s=None, *, is_started=False):
        if not is_started:
            await self.platform.start(self.config)
        await control(
            self.platform,
            self.merge,
            self.settings,
            Journal(self.folder),
            StateFile(self.folder / "state.json"),
            search=InlineSearch(takes_s=2.0),
            until_s=until_s or self.duration_s,
        )
        return self

    def lines(self, name):
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def decisions(self):
        return self.lines("decisions.jsonl")

    @property
    def applied(self):
        return self.lines("settings.jsonl")

    async def config_now(self):
        return (await self.platform.state()).config


async def test_the_first_decision_comes_within_seconds_and_prepares_for_a_burst(tmp_path):
    run = await Rehearsal(tmp_path, PoissonProcess(30), duration_s=7, service=FAST, trials=10).run()
    first = run.decisions[0]
    assert first["at_s"] <= 6
    assert (first["kind"], first["action"]) == ("start", "apply")
    assert first["changes"]["max_scale"] == [0, 1]
    assert "because all instances share one core" in first["reason"]
    assert first["prediction"]["p95_s"] > 0
    assert (await run.config_now()).max_scale == 1


async def test_with_a_core_per_instance_it_lets_the_service_scale_out(tmp_path):
    busy = Phases((Phase(10, PoissonProcess(8)), Phase(30, PoissonProcess(55))))
    run = await Rehearsal(tmp_path, busy, duration_s=40, cores=math.inf, trials=10).run()
    state = await run.platform.state()
    assert state.config.max_scale != 1
    assert state.ready >= 2


async def test_bursts_of_a_stationary_law_do_not_make_settings_flap(tmp_path):
    bursty = mmpp([2, 11], [[0, 1 / 20], [1 / 20, 0]])
    run = await Rehearsal(tmp_path, bursty, duration_s=300, seed=1, trials=10).run()
    assert len(run.decisions) >= 8
    assert len(run.applied) <= 5
    assert "slow" not in [line["price"] for line in run.applied]
    assert "regime" not in [line["kind"] for line in run.decisions]


async def test_after_traffic_the_service_goes_to_zero_and_is_not_woken(tmp_path):
    quiet = Phases((Phase(20, PoissonProcess(6)), Phase(100, PoissonProcess(0.0))))
    run = await Rehearsal(tmp_path, quiet, duration_s=60, config=ServingConfig(min_scale=1)).run()
    assert (await run.config_now()).min_scale == 0
    assert (await run.platform.state()).ready == 0
    assert "an instance that nobody calls costs money" in run.decisions[-1]["reason"]
    assert run.decisions[-1]["at_s"] < 40


async def test_decisions_are_made_on_triggers_and_not_each_second(tmp_path):
    run = await Rehearsal(tmp_path, PoissonProcess(8), duration_s=100, seed=2).run()
    assert len(run.decisions) <= 6
    assert {line["kind"] for line in run.decisions} <= {"start", "periodic", "alarm"}


async def test_every_change_is_written_with_its_price_and_generation(tmp_path):
    run = await Rehearsal(tmp_path, PoissonProcess(30), duration_s=7, service=FAST, trials=10).run()
    line = run.applied[0]
    assert line["price"] in {"hot", "warm"}
    assert line["generation"] == run.outbox.generation
    assert set(line["changes"]) == set(run.decisions[0]["changes"])


@pytest.mark.parametrize(("mode", "words"), [("observe", "only observing"), ("recommend", "keep: recommended, ")])
async def test_without_leave_to_apply_nothing_changes(tmp_path, mode, words):
    run = await Rehearsal(tmp_path, PoissonProcess(30), duration_s=7, service=FAST, trials=10, mode=mode).run()
    assert words in run.decisions[0]["reason"]
    assert run.applied == []
    assert await run.config_now() == ServingConfig()


async def test_bounds_of_the_user_are_kept(tmp_path):
    run = await Rehearsal(tmp_path, PoissonProcess(4), duration_s=8, bounds={"max_scale": (2, 4)}).run()
    assert (await run.config_now()).max_scale in {0, 2, 3, 4}


async def test_a_restarted_loop_goes_on_where_it_was(tmp_path):
    whole = Rehearsal(tmp_path, PoissonProcess(6), duration_s=60, seed=3)
    await whole.run(until_s=40)
    state = json.loads((tmp_path / "state.json").read_text())
    generation, decisions = whole.outbox.generation, len(whole.decisions)
    await whole.run(until_s=60, is_started=True)
    assert state["schema"] == 1
    assert sum(row[2] for row in state["profile"]["batches"]) > 50
    assert whole.outbox.generation >= generation
    later = whole.decisions[decisions:]
    assert later[0]["kind"] == "start"
    after = json.loads((tmp_path / "state.json").read_text())
    assert after["traffic"]["regime_bin"] == state["traffic"]["regime_bin"]
    assert after["margin"] >= 1.0


async def test_the_loop_ends_cleanly_when_it_is_cancelled(tmp_path):
    run = Rehearsal(tmp_path, PoissonProcess(4), duration_s=1e6)
    await run.platform.start(run.config)
    task = asyncio.create_task(run.run(until_s=1e6, is_started=True))
    for _ in range(30):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert json.loads((tmp_path / "state.json").read_text())["schema"] == 1
