"""The reproduction of parallel batch jobs: rows at nine sizes, what holds at which of them, the picture."""

import json
from dataclasses import replace

import numpy as np
import pytest

from controller.baselines.parallel_batch import BATCH_SIZES, PaperJob
from controller.baselines.parallel_plan import JobPlanner
from controller.baselines.review_lengths import draw_review_tokens
from controller.domain.prices import load_prices
from controller.reproduce.parallel import STEPS, reproduce
from controller.reproduce.parallel_rows import beside, parallel_rows, requirements
from controller.reproduce.table import beside_table

PRICES, JOB = load_prices(), PaperJob()


@pytest.fixture(scope="module")
def found():
    planner = JobPlanner(draw_review_tokens(JOB.reviews, np.random.default_rng(3)), PRICES)
    return [beside(size, PRICES, planner, JOB) for size in BATCH_SIZES]


def by_text(found):
    return {each.text: each for each in requirements(found)}


def test_rows_cover_both_designs_at_all_nine_sizes(found):
    rows = list(parallel_rows(found))
    times = {(row.design, row.batch_size): row.reproduced for row in rows if row.quantity == "time as published"}
    assert sorted(times) == sorted((design, size) for design in ("monolithic", "parallel") for size in BATCH_SIZES)
    assert times["parallel", 250] == pytest.approx(3.5)
    assert (rows[0].published, rows[0].reproduced, rows[0].ours) == ((325.0, 375.0), pytest.approx(350.0), None)


def test_the_published_reduction_holds_with_the_starts_that_the_paper_left_out(found):
    required = [each for text, each in by_text(found).items() if text.startswith("reproduced")]
    assert [each.holds for each in required] == [True]
    assert 0.04 < required[0].worst < required[0].bound == pytest.approx(0.05)


def test_starts_that_take_too_long_spoil_the_published_reduction(found):
    slow = [replace(each, bill=replace(each.bill, makespan_s=each.bill.makespan_s + 300)) for each in found]
    assert not by_text(slow)["reproduced: time of parallel over monolithic"].holds


def test_fp32_saves_what_is_required_at_the_smallest_batches_only(found):
    cost = by_text(found)["fp32 in no more time: cost over parallel's"]
    assert not cost.holds
    missed = [f"batches of {size}" for size in (1000, 625, 500, 333, 250, 200, 125)]
    assert cost.where == "; ".join(missed)
    assert cost.bound < cost.worst < 1


@pytest.mark.parametrize(
    "text", ["int8 in no more time: cost over parallel's", "int8 at no higher cost: time over parallel's"]
)
def test_int8_keeps_what_is_required_at_all_sizes(found, text):
    assert by_text(found)[text].holds


def test_where_no_plan_exists_nothing_is_gained(found):
    none = [replace(each, cheaper=dict.fromkeys(each.cheaper), faster=dict.fromkeys(each.faster)) for each in found]
    missed = [each for each in requirements(none) if not each.holds]
    assert [each.worst for each in missed] == [1.0] * 4
    assert all(each.where.count("batches of") == len(BATCH_SIZES) for each in missed)
    assert "–*" in beside_table(none)
    ours = [row.ours for row in parallel_rows(none) if ", ours in " in row.quantity]
    assert ours == [None] * 4 * len(BATCH_SIZES)


def test_the_command_writes_a_figure_and_fits_a_terminal(tmp_path):
    told: list[str] = []
    done = reproduce(tmp_path, seed=1, tell=told.append)
    assert len(told) == STEPS
    document = json.loads(json.dumps(done.reproduction.to_document(), allow_nan=False))
    assert document["paper"] == "parallel"
    assert len(document["rows"]) == 11 * len(BATCH_SIZES)
    (name,) = document["figures"]
    assert (tmp_path / name).read_text().startswith("<svg ")
    assert max(map(len, done.text.splitlines())) <= 80
