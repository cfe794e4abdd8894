"""The loop on the simulated platform: what it decides, when, and what it leaves alone."""

import asyncio
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from controller.control_loop import control
from controller.domain.arrival_map import mmpp
from controller.domain.arrival_process import Phase, Phases, PoissonProcess, sample_arrivals
from controller.domain.prices import ClusterPrices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError, TemporaryError
from controller.monitor.detection import default_detection
from controller.monitor.journal import Journal, StateFile
from controller.monitor.lookout import Look
from controller.optimizer.search_process import InlineSearch
from controller.platforms.simulated import SimulatedPlatform
from controller.service_view import ServiceView
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

    async def run(self, until_s=None, *, is_started=False, search=None):
        if not is_started:
            await self.platform.start(self.config)
        await control(
            self.platform,
            self.merge,
            self.settings,
            Journal(self.folder),
            StateFile(self.folder / "state.json"),
            search=search or InlineSearch(takes_s=2.0),
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


@pytest.mark.parametrize(("mode", "advised"), [("recommend", 1), ("observe", 0)])
async def test_silence_is_told_once_as_advice_and_not_at_all_to_who_only_observes(tmp_path, mode, advised):
    quiet = Phases((Phase(10, PoissonProcess(6)), Phase(100, PoissonProcess(0.0))))
    run = await Rehearsal(tmp_path, quiet, duration_s=60, config=ServingConfig(min_scale=1), mode=mode, trials=8).run()
    assert sum("nobody calls" in line["reason"] for line in run.decisions) == advised


async def test_silence_is_told_again_when_there_was_traffic_in_between(tmp_path):
    twice = Phases((Phase(5, PoissonProcess(6)), Phase(25, PoissonProcess(0.0))))
    config = ServingConfig(min_scale=1)
    run = await Rehearsal(tmp_path, twice, duration_s=60, config=config, mode="recommend", trials=8).run()
    assert sum("nobody calls" in line["reason"] for line in run.decisions) == 2


async def test_a_change_that_the_platform_did_not_take_is_tried_again_at_once(tmp_path, monkeypatch):
    run = Rehearsal(tmp_path, PoissonProcess(30), duration_s=12, service=FAST, trials=10)
    apply, failed = run.platform.apply, []

    async def fail_once(config):
        if not failed:
            failed.append(config)
            raise TemporaryError("the platform is away")
        return await apply(config)

    monkeypatch.setattr(run.platform, "apply", fail_once)
    await run.run()
    assert len(failed) == 1
    assert run.decisions[0]["at_s"] <= 10
    assert (run.decisions[0]["kind"], run.decisions[0]["action"]) == ("start", "apply")
    assert run.decisions[0]["reason"].startswith("apply: first look, ")
    assert len(run.applied) == 1


class MortalSearch(InlineSearch):
    """Dies with its first answer."""

    is_dead = False

    def take(self, now_s):
        found = super().take(now_s)
        if found is not None and not self.is_dead:
            self.is_dead = True
            raise TemporaryError("search: its process died")
        return found


async def test_a_search_that_died_is_made_again_at_once(tmp_path):
    run = Rehearsal(tmp_path, PoissonProcess(30), duration_s=12, service=FAST, trials=10)
    await run.run(search=MortalSearch(takes_s=2.0))
    assert run.decisions[0]["at_s"] <= 10
    assert run.decisions[0]["kind"] == "start"


def view_of(run):
    detection, shape = default_detection(), run.platform.shape
    return ServiceView(run.merge, run.settings, detection, shape=shape, autoscaler=run.platform.autoscaler)


async def test_instances_that_share_a_core_are_not_thought_to_serve_more_than_the_core(tmp_path):
    run = await Rehearsal(tmp_path, PoissonProcess(6), duration_s=8, trials=8).run()
    view, state = view_of(run), await run.platform.state()
    view.detect_and_fit(8.0)
    rates = [view.problem(Look("periodic", ""), replace(state, ready=ready), 8.0)[1] for ready in (1, 6)]
    assert rates[0] == rates[1]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("margin", math.nan),
        ("margin", 10**400),
        ("profile", {"batches": [[1, 32, math.inf, 1.0, 1.0]], "boots": []}),
        ("traffic", {"law": {"kind": "poisson", "rate_rps": 5.0}, "fitted_bins": math.inf, "regime_bin": 0}),
        ("best", {"min_scale": math.nan}),
        ("best", [[[]]]),
    ],
)
def test_a_state_that_cannot_be_is_refused_as_a_whole(tmp_path, key, value):
    run = Rehearsal(tmp_path, PoissonProcess(6), duration_s=1)
    view = view_of(run)
    law = {"law": {"kind": "poisson", "rate_rps": 5.0}, "fitted_bins": 40, "regime_bin": 0}
    profile = {"batches": [[1, 32, 5, 0.05, 0.001]], "boots": []}
    sound = {"schema": 1, "margin": 1.2, "traffic": law, "profile": profile, "best": None}
    with pytest.raises(BadInputError):
        view.restore(sound | {key: value})
    assert (view.margin, view.best, view.traffic.law, view.profiler.batches) == (1.0, None, None, 0)
    view.restore(sound)
    assert (view.margin, view.profiler.batches) == (1.2, 5)


def test_a_law_nested_without_end_is_refused(tmp_path):
    law = {"kind": "poisson", "rate_rps": 5.0}
    for _ in range(5000):
        law = {"kind": "phases", "phases": [{"duration_s": 1.0, "arrivals": law}]}
    traffic = {"law": law, "fitted_bins": 40, "regime_bin": 0}
    state = {"schema": 1, "margin": 1.2, "traffic": traffic, "profile": {"batches": [], "boots": []}, "best": None}
    with pytest.raises(BadInputError):
        view_of(Rehearsal(tmp_path, PoissonProcess(6), duration_s=1)).restore(state)


BURST = Phases((Phase(15, PoissonProcess(12)), Phase(15, PoissonProcess(70)), Phase(40, PoissonProcess(12))))
"""From half of an instance to three of them and back."""


async def test_a_burst_is_met_by_littles_law_before_any_search_and_the_bounds_go_back(tmp_path):
    run = await Rehearsal(tmp_path, BURST, duration_s=70, cores=math.inf, trials=8).run()
    reflexes = [line for line in run.decisions if "Little's law" in line["reason"]]
    raised = reflexes[0]
    assert (raised["kind"], raised["action"]) == ("alarm", "apply")
    assert 16 <= raised["at_s"] <= 19
    assert raised["changes"]["min_scale"][1] >= 2
    (over,) = (line for line in run.decisions if "the burst is over" in line["reason"])
    assert [over["changes"][name][1] for name in ("min_scale", "max_scale")] == [0, 0]


async def test_a_service_that_left_zero_for_bursts_starts_several_instances_at_once(tmp_path):
    quiet, busy = Phase(40, PoissonProcess(0.0)), Phase(20, PoissonProcess(70))
    run = Rehearsal(tmp_path, Phases((quiet, busy) * 4 + (quiet,)), duration_s=280, cores=math.inf, trials=8)
    await run.run()
    moved = [line for line in run.decisions if line["changes"].keys() == {"activation_scale"}]
    first = moved[0]
    assert 185 < first["at_s"] < 220  # at zero after the third
    assert first["changes"]["activation_scale"] == [0, 3]
    assert "it needed 3, 3, 3 instances" in first["reason"]
    rows = await run.platform.instances()
    assert sum(abs(row.started_s - 160) < 1 for row in rows) == 1
    assert sum(abs(row.started_s - 220) < 1 for row in rows) == 3


class Limited(SimulatedPlatform):
    """Makes no warm change before a minute has passed."""

    async def apply(self, config):
        state = await self.state()
        return await super().apply(config if state.at_s >= 60 else state.config.with_prices(config, {"hot"}))


async def test_what_a_platform_does_not_change_now_is_recorded_once_as_not_done(tmp_path):
    short = Phases((Phase(10, PoissonProcess(20)), Phase(90, PoissonProcess(0.0))))
    run = Rehearsal(tmp_path, short, duration_s=100, config=ServingConfig(min_scale=2), mode="apply", silence_s=15.0)
    run.platform.__class__ = Limited
    await run.run()
    silence = [line for line in run.decisions if "no request" in line["reason"]]
    assert [line["action"] for line in silence] == ["keep", "apply"]
    assert silence[0]["reason"].endswith("not now: min_scale")
    assert silence[0]["changes"] == {}
    assert silence[1]["changes"] == {"min_scale": [2, 0]}
    assert 60 <= silence[1]["at_s"] < 62


async def test_on_a_shared_core_a_burst_moves_no_bounds(tmp_path):
    run = await Rehearsal(tmp_path, BURST, duration_s=40, cores=1.0, trials=8).run()
    assert not [line for line in run.decisions if "Little's law" in line["reason"]]


async def test_a_search_that_was_begun_before_a_burst_leaves_its_bounds_alone(tmp_path):
    run = await Rehearsal(tmp_path, BURST, duration_s=25, cores=math.inf, trials=8).run(
        search=InlineSearch(takes_s=6.0)
    )
    reflexes = [line for line in run.decisions if "Little's law" in line["reason"]]
    later = [line for line in run.decisions if line["at_s"] > reflexes[0]["at_s"] and line not in reflexes]
    assert not [line for line in later if line["prediction"] and {"min_scale", "max_scale"} & set(line["changes"])]


@pytest.mark.parametrize("settings", [{"mode": "recommend"}, {"held": frozenset({"min_scale"})}])
async def test_no_reflex_where_it_may_not_apply_or_somebody_else_holds_the_scale(tmp_path, settings):
    run = await Rehearsal(tmp_path, BURST, duration_s=25, cores=math.inf, trials=8, **settings).run()
    assert not [line for line in run.decisions if "Little's law" in line["reason"]]


async def test_a_burst_is_met_with_no_more_instances_than_the_budget_pays(tmp_path):
    second_usd = PRICES.vcpu_second_usd + PRICES.gb_second_usd / 2
    budget = 2.2 * second_usd * 1e6 / 70  # a little more than two instances at 70/s
    run = await Rehearsal(tmp_path, BURST, duration_s=25, cores=math.inf, trials=8, burst_usd_per_million=budget).run()
    raised = [line["changes"]["min_scale"][1] for line in run.decisions if "min_scale" in line["changes"]]
    assert max(raised) == 2
