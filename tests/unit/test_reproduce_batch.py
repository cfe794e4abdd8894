"""The reproduction of BATCH: traces from seeds, rows beside published figures, requirements that can be missed."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from controller.baselines.attainment import AttainmentTable
from controller.baselines.call_table import tabulate_calls
from controller.baselines.judge import Trial
from controller.domain.arrival_statistics import lag1, scv
from controller.domain.prices import load_prices
from controller.performance_model.grid_search import Grid
from controller.reproduce import batch_facts as facts
from controller.reproduce.batch import SHOWN_TRACE, STEPS, reproduce
from controller.reproduce.batch_contest import (
    DESIGNS,
    FROZEN,
    OURS,
    PICKED,
    PUBLISHED,
    RELEASED,
    RELOAD,
    SECOND,
    SERVICES,
    Bout,
    Outcome,
    outcome_rows,
    requirements,
)
from controller.reproduce.batch_instances import FLEETS
from controller.reproduce.batch_pods import DEFAULTS, KNATIVE, ONE_A_POD, POD_DESIGNS, judge_knative, stretch_of
from controller.reproduce.batch_rows import search_rows
from controller.reproduce.rows import Requirement, Row
from controller.reproduce.table import contest_table, published_table, requirement_table
from controller.reproduce.traces import TRACES, W21, hourly, modulated, nearly_poisson

PRICES = load_prices().lambda_x86


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_is_the_same_from_the_same_seed_and_another_from_another(name):
    first, again, other = (TRACES[name](np.random.default_rng(seed), 1) for seed in (4, 4, 5))
    assert first.name == name
    assert first.arrival_s.tolist() == again.arrival_s.tolist()
    assert first.arrival_s.tolist() != other.arrival_s.tolist()
    assert (np.diff(first.arrival_s) >= 0).all()
    assert first.arrival_s[-1] < first.until_s == 3600


def test_hours_are_as_nearly_poisson_as_the_published_ones():
    law = nearly_poisson(64.0)
    assert law.rate_rps == pytest.approx(64)
    assert 0.99 <= scv(law) <= 1.20
    assert abs(lag1(law)) < 0.01
    assert (np.diag(np.diag(law.D0)) == law.D0).all()


@pytest.mark.parametrize(("name", "low", "high"), [("NYS-like", 9.6, 168), ("Twitter-like", 35, 78)])
def test_days_stay_inside_the_published_rates(name, low, high, monkeypatch):
    # Only the laws are looked at; drawing two days would take seconds.
    monkeypatch.setattr("controller.reproduce.traces.sample_arrivals", lambda *_, **__: np.zeros(0))
    rates = [each.law.rate_rps for each in TRACES[name](np.random.default_rng(1), 25).stretches]
    assert len(rates) == 25
    assert min(rates) >= low - 1e-9
    assert max(rates) <= high + 1e-9
    assert max(rates) / min(rates) > 1.8


def test_phases_of_a_modulated_trace_are_known():
    traffic = modulated("W", (10.0, 120.0), 0.05, np.random.default_rng(2), 1)
    starts = [each.from_s for each in traffic.stretches]
    rates = [each.law.rate_rps for each in traffic.stretches]
    assert len(starts) > 100
    assert all(a != b for a, b in pairwise(rates))
    counts = np.diff(np.append(np.searchsorted(traffic.arrival_s, starts), traffic.arrival_s.size))
    lengths = np.diff([*starts, traffic.until_s])
    for rate in (10.0, 120.0):
        held = np.array(rates) == rate
        assert counts[held].sum() / lengths[held].sum() == pytest.approx(rate, rel=0.05)


def test_the_negatively_correlated_law_is_what_its_words_say():
    assert W21.rate_rps == pytest.approx(19.2, abs=0.05)
    assert scv(W21) == pytest.approx(2.64, abs=0.005)
    assert lag1(W21) == pytest.approx(-0.30, abs=0.005)


@pytest.fixture(scope="module")
def searches():
    return list(search_rows())


def test_what_the_released_solver_answered_is_reproduced(searches):
    rows = [row for row in searches if row.published is not None]
    assert len(rows) == 5
    for row in rows:
        assert row.reproduced == pytest.approx(row.published[0], rel=3e-4)


def test_the_whole_grid_is_cheaper_than_the_released_choice_truly_is(searches):
    rows = [row for row in searches if row.quantity == "cost of it, exact"]
    assert len(rows) == 4
    assert all(row.ours < row.reproduced for row in rows)


def outcome(design, usd, ratio, kind="bursty", trace="W"):
    return Outcome(
        trace=trace,
        kind=kind,
        service="light",
        design=design,
        usd_per_million=usd,
        window_violation_ratio=ratio,
        p50_s=0.1,
        p95_s=0.2,
        p99_s=0.3,
        changes=3,
        compute_s=1e-3,
        compute_s_a_day=80.0,
    )


GOOD = [
    *(outcome(design, usd, ratio) for design, usd, ratio in ((SECOND, 1, 0.05), (OURS, 1.01, 0.01), (FROZEN, 1.02, 0))),
    *(outcome(design, usd, ratio) for design, usd, ratio in ((PUBLISHED, 0.99, 0.2), (RELEASED, 1.3, 0.1))),
    *(outcome(design, usd, 0) for design, usd in ((PICKED, 2.0), (RELOAD, 4.0))),
    *(replace(each, trace="day", kind="slow") for each in (outcome(SECOND, 1, 0.05), outcome(OURS, 1.02, 0.02))),
    *(replace(outcome(design, 1.1, 0.3), trace="day", kind="slow") for design in (FROZEN, PUBLISHED, RELEASED)),
    *(replace(outcome(design, usd, 0), trace="day", kind="slow") for design, usd in ((PICKED, 2.0), (RELOAD, 4.0))),
]


def with_ours(**changes):
    return [replace(each, **changes) if each.design == OURS else each for each in GOOD]


def missed(outcomes):
    return [each.text for each in requirements(outcomes) if not each.holds]


def test_what_is_required_holds_where_ours_leads():
    assert missed(GOOD) == []


def test_each_requirement_can_be_missed():
    assert missed(with_ours(window_violation_ratio=0.06))[0].startswith("windows violated, share")
    assert "windows violated, less those of BATCH released" in missed(with_ours(window_violation_ratio=0.1))
    assert missed(with_ours(usd_per_million=1.031)) == [
        "slow changes: cost over the oracle each second",
        "bursts: where frozen leads in cost and in windows",
    ]


def test_dear_beside_what_does_not_batch_is_missed():
    assert (
        missed(with_ours(usd_per_million=1.12, window_violation_ratio=0))[-1]
        == "share lost of the oracle's saving over it"
    )
    cheap = {PICKED: 1.25, RELOAD: 2.0}
    beside = [replace(each, usd_per_million=cheap.get(each.design, each.usd_per_million)) for each in GOOD]
    assert missed(beside) == ["cost over loading for each request", "cost over unbatched, best memory"]


def test_where_an_oracle_saves_nothing_all_that_is_dearer_is_lost():
    nothing = [replace(each, usd_per_million=1.0) if each.design in (SECOND, PICKED) else each for each in GOOD]
    assert requirements(nothing)[-1].worst == 1


def test_as_many_windows_as_batch_is_not_below_it():
    equal = [replace(each, window_violation_ratio=0.0) if each.design in (OURS, PUBLISHED) else each for each in GOOD]
    assert "windows violated, less those of BATCH" in missed(equal)


def test_all_places_that_miss_are_named():
    worst = requirements(with_ours(window_violation_ratio=0.06))[0]
    assert worst == Requirement("windows violated, share", 0.06, 0.05, "W, light; day, light", holds=False)


def test_rows_put_each_design_beside_ours():
    rows = list(outcome_rows(GOOD))
    assert {row.design for row in rows} == {SECOND, FROZEN, PUBLISHED, RELEASED, PICKED, RELOAD}
    cost = next(row for row in rows if (row.design, row.quantity, row.trace) == (PUBLISHED, "cost", "W"))
    assert (cost.reproduced, cost.ours, cost.published) == (0.99, 1.01, None)


def test_a_latency_that_is_never_reached_is_null():
    rows = outcome_rows([*GOOD, replace(outcome(DEFAULTS, 1.0, 1.0), p95_s=np.inf)], stretch=", last 10 min")
    found = next(row for row in rows if (row.design, row.quantity) == (DEFAULTS, "p95"))
    assert (found.reproduced, found.trace) == (None, "W, last 10 min")


def test_tables_fit_a_terminal():
    row = Row(quantity="cost saved against unbatched, most memory", unit="USD a million", design="BATCH released")
    rows = [replace(row, published=(0.0, 10.0), reproduced=1e-5, ours=12345.678), row]
    required = [
        Requirement("slow changes: cost over the oracle each second", 1.2345, 1.03, "Twitter-like, x", holds=False)
    ]
    text = "\n".join([published_table(rows), contest_table(GOOD, SECOND), requirement_table(required)])
    assert max(map(len, text.splitlines())) <= 80
    assert "0-10" in text
    assert "MISSED" in text


def short_contest():
    """A quarter of an hour of each kind on a small grid, under the names that the claims are made of."""
    rng, memories = np.random.default_rng(9), (1280, 2496)
    grid = Grid(max_batch_size=8, max_queue_delay_s=0.48, delay_step_s=0.04)
    for traffic in (hourly(SHOWN_TRACE, [40.0], rng), modulated("W14", (10.0, 120.0), 0.05, rng, 1)):
        for service in SERVICES:
            calls = tabulate_calls(service.times, memories, max_batch_size=8, prices=PRICES)
            table = AttainmentTable(calls, service.slo, PRICES, grid)
            trial = Trial(traffic.arrival_s, 300.0, 1200.0, calls, service.slo)
            yield Bout(traffic, service, trial, table, 9)


def test_a_small_contest_writes_figures_and_fills_every_row(tmp_path, monkeypatch):
    monkeypatch.setattr("controller.reproduce.instance_rows.RUN_HOURS", 0)
    monkeypatch.setattr("controller.reproduce.instance_rows.HOUR_S", 1800.0)
    monkeypatch.setattr("controller.reproduce.batch_pods.STRETCH_S", 30.0)
    monkeypatch.setattr("controller.reproduce.batch_pods.WARM_UP_S", 10.0)
    told: list[str] = []
    done = reproduce(tmp_path, short_contest(), seed=9, tell=told.append)
    assert len(told) == 4 * (len(DESIGNS) + len(POD_DESIGNS))
    assert 5 * 2 * (len(DESIGNS) + len(POD_DESIGNS)) == STEPS
    document = json.loads(json.dumps(done.reproduction.to_document(), allow_nan=False))
    assert document["paper"] == "batch"
    for name in document["figures"]:
        assert (tmp_path / name).read_text().startswith("<svg ")
    keys = {"quantity", "unit", "design", "batch_size", "published", "reproduced", "ours", "kind"}
    assert all(keys <= row.keys() for row in document["rows"])
    assert max(map(len, done.text.splitlines())) <= 80
    assert facts.RESNET.name in done.text
    assert all(f"\n  {design} " in done.text for design in (RELOAD, *FLEETS, *POD_DESIGNS))


def steady(rate_rps, service=facts.LIGHT, until_s=1000.0):
    calls = tabulate_calls(service.times, (1280,), max_batch_size=2, prices=PRICES)
    arrivals = np.cumsum(np.random.default_rng(3).exponential(1 / rate_rps, int(rate_rps * until_s)))
    return Trial(arrivals, 100.0, until_s, calls, service.slo)


def test_pods_are_judged_on_the_end_of_a_trace():
    assert stretch_of(steady(5.0)).from_s == 400.0
    assert stretch_of(steady(5.0, until_s=300.0)).from_s == 100.0


def test_defaults_of_knative_queue_seventy_requests_at_a_pod_of_a_slow_service():
    trial, service = stretch_of(steady(4.0, facts.RESNET)), facts.RESNET.times
    found = {name: judge_knative(each, trial, service, np.random.default_rng(1)) for name, each in KNATIVE.items()}
    assert found[DEFAULTS].window_violation_ratio == 1.0
    assert found[ONE_A_POD].window_violation_ratio == 0.0
    # 2.04 s of a pod for a request, pods used to 70 % at most.
    busy_usd = 2.04 * (1.33e-5 + 1769 / 1024 * 1.8e-6)
    assert busy_usd / 0.7 < found[ONE_A_POD].cost_per_request_usd < 2 * busy_usd
