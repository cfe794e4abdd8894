import numpy as np
import pytest
from scipy.stats import nbinom

from controller.arrivals.joint_likelihood import BLOCK_BINS, SHAPES, Clumping, CountSums
from controller.baselines.count_series import independent_counts, modulated_counts

NOTHING = Clumping(ratio=1.0, weight_bins=1e-9)


def sums_of(counts, capacity=None):
    sums = CountSums(capacity or len(counts))
    for count in counts:
        sums.append(float(count))
    return sums


def test_the_likelihood_is_that_of_the_best_negative_binomial_law_on_the_grid():
    old = independent_counts(6, 4, 80, np.random.default_rng(1))
    new = independent_counts(15, 2, 50, np.random.default_rng(2))
    counts = np.concatenate([old, new])
    sums = sums_of(counts)

    def best(values):
        mean = values.mean()
        return max(nbinom.logpmf(values, shape, shape / (shape + mean)).sum() for shape in SHAPES)

    def ours(first, end):
        return float(sums.log_likelihood(first, end))

    # The terms of no parameter cancel between one law and two.
    assert ours(0, 80) + ours(80, 130) - ours(0, 130) == pytest.approx(best(old) + best(new) - best(counts), abs=1e-6)
    assert sums.mean(80, 130) == new.mean()


def test_the_fano_factor_is_near_the_true_one():
    assert sums_of(independent_counts(20, 5, 4000, np.random.default_rng(3))).fano(0, 4000) == pytest.approx(5, rel=0.4)


def test_forgetting_changes_no_answer_about_what_is_remembered():
    counts = independent_counts(10, 3, 1000, np.random.default_rng(4))
    short, whole = sums_of(counts, 100), sums_of(counts)
    first, end = np.array(900), np.arange(920, 1001)
    np.testing.assert_allclose(short.log_likelihood(first, end), whole.log_likelihood(first, end))
    assert short.bins == 1000


def test_independent_counts_do_not_clump_and_modulated_ones_do():
    rng = np.random.default_rng(6)
    flat = sums_of(independent_counts(30, 4, 6000, rng)).clumping(NOTHING, 0, np.array([3000]))
    # 400 blocks: four standard errors.
    assert flat == pytest.approx(1, abs=0.25)
    modulated = sums_of(modulated_counts(30, 4, 6000, rng, sojourn_s=2)).clumping(NOTHING, 0, np.array([3000]))
    # IDC(15 s) over IDC(1 s) of this law, Heffes and Lucantoni: g = 1.
    expected = (1 + 3 * (1 - (1 - np.exp(-15)) / 15) / np.exp(-1)) / 4
    assert modulated == pytest.approx(expected, rel=0.15)


def test_a_step_at_the_split_is_no_clumping():
    rng = np.random.default_rng(7)
    stepped = sums_of(np.concatenate([rng.poisson(10, 1000), rng.poisson(50, 1000)]))
    assert stepped.clumping(NOTHING, 0, np.array([1000])) == pytest.approx(1, abs=0.2)


def test_what_was_believed_weighs_as_its_bins():
    sums = sums_of(np.random.default_rng(8).poisson(10, 200 + 2 * (BLOCK_BINS - 1)))
    alone = float(sums.clumping(NOTHING, 0, np.array([114]))[0])
    both = float(sums.clumping(Clumping(ratio=3.0, weight_bins=200.0), 0, np.array([114]))[0])
    assert both > (alone + 3) / 2 - 0.3
    assert both < (max(alone, 1) + 3) / 2 + 0.3
