"""The saving of JBMP, against what it replaces and against what it should have replaced."""

import pytest

from controller.baselines.jbmp_rows import jbmp_rows
from controller.domain.prices import load_prices


@pytest.fixture(scope="module")
def rows():
    found = jbmp_rows(load_prices().lambda_x86, seeds=range(40, 43))
    return {(row.quantity, row.design): row for row in found}


def test_against_a_model_loaded_for_each_request_it_saves_what_the_paper_claims(rows):
    row = rows["saving over a model loaded for each request", "model loaded for each call"]
    assert row.published == (0.0, 0.62)
    assert row.reproduced >= 0.5
    assert row.ours > row.reproduced


def test_against_a_warm_function_most_of_that_saving_is_gone(rows):
    naive = rows["saving over a model loaded for each request", "model loaded for each call"]
    competent = rows["saving over a warm function, unbatched", "model loaded for each call"]
    assert competent.reproduced < naive.reproduced - 0.2


def test_with_warm_workers_jbmp_comes_near_ours(rows):
    row = rows["saving over a warm function, unbatched", "warm workers"]
    assert row.reproduced == pytest.approx(row.ours, abs=0.1)
    assert row.to_document()["kind"] == "simulated"
