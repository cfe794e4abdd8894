"""The parallel batch paper against its published figures (check A1 of the digest), and our plans beside it."""

import numpy as np
import pytest

from controller.baselines.parallel_batch import (
    BATCH_SIZES,
    TIME_LIMIT_S,
    PaperJob,
    largest_batch,
    monolithic,
    parallel,
)
from controller.baselines.parallel_plan import FP32, INT8, JobPlanner, padded_tokens
from controller.baselines.review_lengths import draw_review_tokens
from controller.domain.prices import load_prices
from controller.errors import BadInputError, NothingFeasibleError

PRICES = load_prices()
JOB = PaperJob()


@pytest.fixture(scope="module")
def planner():
    return JobPlanner(draw_review_tokens(25_000, np.random.default_rng(3)), PRICES)


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_one_call_after_the_other_takes_the_published_minutes_and_dollars(size):
    bill = monolithic(JOB, size, PRICES)
    assert 325 <= bill.busy_makespan_s / 60 <= 375
    assert 0.20 <= bill.busy_usd <= 0.25


@pytest.mark.parametrize("size", BATCH_SIZES)
def test_all_calls_at_once_cost_the_same_and_take_95_percent_less_time(size):
    bill, chain = parallel(JOB, size, PRICES), monolithic(JOB, size, PRICES)
    assert bill.busy_usd == pytest.approx(chain.busy_usd)
    assert 0.20 <= bill.busy_usd <= 0.25
    assert 1 - bill.busy_makespan_s / chain.busy_makespan_s >= 0.95


@pytest.mark.parametrize("size", [180, 200, 250, 333, 500, 535])
def test_batches_of_180_to_535_take_the_published_minutes(size):
    assert 2.5 <= parallel(JOB, size, PRICES).busy_makespan_s / 60 <= 7.5


def test_a_thousand_is_the_largest_of_the_papers_batches_that_a_call_can_end():
    assert parallel(JOB, 1000, PRICES).makespan_s <= TIME_LIMIT_S
    assert 1000 <= largest_batch(JOB) < 1250
    with pytest.raises(BadInputError, match="1059 reviews are the most"):
        parallel(JOB, 1060, PRICES)


def test_small_batches_hide_nine_cents_of_starts_and_transitions():
    bill = parallel(JOB, 50, PRICES)
    assert bill.calls == 500
    assert bill.transitions_usd == pytest.approx(0.0375)
    assert bill.omitted_usd == pytest.approx(0.09, abs=0.005)
    assert bill.omitted_usd / bill.busy_usd == pytest.approx(0.40, abs=0.02)


def test_the_last_batch_may_be_smaller():
    assert parallel(JOB, 333, PRICES).calls == 76


def test_a_price_list_without_step_functions_is_refused():
    with pytest.raises(BadInputError, match="step_functions is missing"):
        parallel(JOB, 50, load_prices().__class__("x", PRICES.lambda_x86, PRICES.lambda_arm, PRICES.cluster))


@pytest.mark.parametrize("job", [{"reviews": 0}, {"review_s": -1.0}, {"memory_gb": float("nan")}, {"init_s": -1.0}])
def test_a_job_that_cannot_be_is_refused(job):
    with pytest.raises(BadInputError, match="job: reviews"):
        PaperJob(**job)


def test_drawn_reviews_have_the_lengths_of_the_real_ones():
    tokens = draw_review_tokens(100_000, np.random.default_rng(1))
    assert tokens.mean() == pytest.approx(292, rel=0.02)
    assert (tokens > 512).mean() == pytest.approx(0.1269, abs=0.004)
    assert np.minimum(tokens, 512).mean() == pytest.approx(261, rel=0.01)
    assert tokens.max() <= 3066


def test_padding_in_the_order_of_arrival_nearly_doubles_the_work():
    lengths = np.minimum(draw_review_tokens(25_000, np.random.default_rng(2)), 512)
    random_order = lengths[: 25_000 // 32 * 32].reshape(-1, 32).max(axis=1).sum() * 32 / lengths.sum()
    assert random_order == pytest.approx(1.93, abs=0.03)


def test_a_micro_batch_stays_within_its_tokens_and_loses_no_item():
    assert padded_tokens(np.array([300, 200, 600, 10, 10]), budget=512).tolist() == [300, 200, 600, 20]


def test_sorted_micro_batches_pad_almost_nothing(planner):
    plan = planner.plan(200, INT8)
    assert 1.0 <= plan.padding_factor < 1.01
    assert plan.makespan_s == pytest.approx(INT8.init_s + planner.lengths.sum() / INT8.tokens_per_s / 200, rel=0.05)


@pytest.mark.parametrize("speed", [FP32, INT8])
def test_a_plan_for_a_deadline_has_no_worker_too_many(planner, speed):
    plan = planner.for_deadline(60.0, speed)
    assert plan.makespan_s <= 60.0
    assert planner.plan(plan.workers - 1, speed).makespan_s > 60.0


@pytest.mark.parametrize("speed", [FP32, INT8])
def test_a_plan_for_a_budget_has_as_many_workers_as_it_pays(planner, speed):
    plan = planner.for_budget(0.25 if speed is FP32 else 0.12, speed)
    dearer = planner.plan(plan.workers + 1, speed)
    assert plan.cost_usd <= (0.25 if speed is FP32 else 0.12) < dearer.cost_usd


def test_what_no_plan_can_do_is_said(planner):
    with pytest.raises(NothingFeasibleError, match="deadline"):
        planner.for_deadline(5.0, FP32)
    with pytest.raises(NothingFeasibleError, match="budget"):
        planner.for_budget(0.1, FP32)
    with pytest.raises(BadInputError, match="workers"):
        planner.plan(0, FP32)


def test_beside_the_papers_fastest_run_ours_is_faster_and_cheaper(planner):
    bill = parallel(JOB, 50, PRICES)
    assert bill.makespan_s / planner.for_budget(bill.total_usd, INT8).makespan_s >= 5
    assert bill.makespan_s / planner.for_budget(bill.total_usd, FP32).makespan_s >= 2
    assert planner.for_deadline(bill.makespan_s, INT8).cost_usd <= 0.60 * bill.total_usd
    assert planner.for_deadline(bill.makespan_s, FP32).cost_usd <= 0.85 * bill.total_usd
