"""Ranks and tests against the figures of the papers that they come from."""

import math

import numpy as np
import pytest
from scipy import stats

from evotune.analysis.statistics import (
    alike,
    critical_difference,
    friedman,
    holm,
    independent_runs_needed,
    least_rank_sum,
    mean_interval,
    mean_ranks,
    median_interval,
    rank_sum,
    runs_needed,
    sign_of,
    signed_rank,
    unpaired,
)

#: Demšar (2006), table 6: AUC of four classifiers on 14 data sets.
DEMSAR = -np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.9749],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_mean_ranks_are_those_of_demsar():
    assert mean_ranks(DEMSAR) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)


def test_friedman_finds_that_they_differ():
    assert 0.01 < friedman(DEMSAR) < 0.0258  # 9.28 without a correction for ties is p = 0.0258
    assert friedman(np.tile([1.0, 1.0, 1.0], (5, 1))) == 1.0
    assert math.isnan(friedman(DEMSAR[:, :2]))
    assert math.isnan(friedman(DEMSAR[:1]))


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_demsars_table_5(methods, q):
    by_hand = q * math.sqrt(methods * (methods + 1) / (6 * 20))
    assert critical_difference(methods, 20) == pytest.approx(by_hand, rel=5e-4)


def test_demsars_example_has_a_critical_difference_of_1_25():
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_bars_join_the_largest_groups_only():
    ranks = np.array([1.0, 1.8, 2.5, 4.0])
    assert alike(ranks, 1.0) == [(0, 1), (1, 2)]
    assert alike(ranks, 2.0) == [(0, 2), (2, 3)]
    assert alike(ranks, 5.0) == [(0, 3)]
    assert alike(ranks, 0.1) == []


def test_holms_correction():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])


def test_runs_that_never_found_anything_share_the_last_rank():
    assert mean_ranks(np.array([[1.0, np.inf, np.inf]])) == pytest.approx([1.0, 2.5, 2.5])


def test_wilcoxon_of_pairs():
    gaps = np.array([0.3, -0.1, 0.5, 0.7, 0.2, 0.9])
    assert signed_rank(gaps) == pytest.approx(stats.wilcoxon(gaps).pvalue)
    assert signed_rank(np.zeros(6)) == 1.0


@pytest.mark.parametrize("pairs", [1, 3, 6, 10])
def test_so_many_runs_are_needed(pairs):
    runs = runs_needed(pairs)
    smallest = [signed_rank(np.arange(1.0, n + 1)) * pairs for n in (runs - 1, runs)]
    assert smallest[1] < 0.05 <= smallest[0]


def test_so_many_independent_runs_are_needed():
    runs = independent_runs_needed(1)
    smallest = [rank_sum(np.arange(n), n + np.arange(n)) for n in (runs - 1, runs)]
    assert smallest[1] < 0.05 <= smallest[0]
    assert least_rank_sum(runs, runs) == pytest.approx(smallest[1])


@pytest.mark.parametrize("runs", [5, 10])
def test_the_interval_of_a_mean_covers_it_as_often_as_it_says(runs):
    """A bootstrap of so few runs covers it in 80 to 92 % of cases."""
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.normal(size=runs)) for _ in range(2000)]
    covered = np.mean([low <= 0.0 <= high for low, high in intervals])
    assert 0.935 <= covered <= 0.965


def test_intervals_of_gaps_that_are_few_or_equal():
    assert mean_interval(np.array([0.5, 0.5, 0.5])) == (0.5, 0.5)
    assert all(map(math.isnan, mean_interval(np.array([1.0]))))


def test_independent_runs_with_ties_are_tested_exactly():
    assert unpaired([1.0] * 3, [0.0] * 3).p == pytest.approx(2 / math.comb(6, 3))
    assert unpaired([1.0] * 8, [0.0] * 8).p == pytest.approx(2 / math.comb(16, 8))
    assert unpaired([1.0] * 8, [1.0] * 8).p == 1.0


def test_which_is_larger_needs_the_test_and_no_contradiction():
    assert sign_of(0.1, 6, 0.03) == 1
    assert sign_of(-0.1, -6, 0.03) == -1
    assert sign_of(0.1, 6, 0.05) == 0
    assert sign_of(-0.1, 6, 0.03) == 0


def test_the_interval_of_a_median_covers_it_as_often_as_it_says():
    samples = np.random.default_rng(0).exponential(size=(15, 2000))
    low, high = median_interval(samples)
    covered = np.mean((low <= np.log(2)) & (np.log(2) <= high))
    assert 0.95 <= covered < 0.985  # order statistics come in steps


def test_the_interval_of_a_median_needs_six_runs():
    assert np.isnan(median_interval([1.0, 2.0, 3.0, 4.0, 5.0])).all()
    assert np.isnan(median_interval([])).all()
    assert median_interval([6.0, 1.0, 3.0, 4.0, 5.0, 2.0]).tolist() == [1.0, 6.0]
    assert median_interval(np.zeros((5, 7))).shape == (2, 7)
