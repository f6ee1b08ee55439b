"""Tests of the paired comparison against scipy and by hand."""

import numpy as np
import pytest
from paired import difference
from scipy import stats


def test_agrees_with_the_paired_t_test() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(1, 1, 8), rng.normal(0, 1, 8)
    gap, expected = difference(a, b), stats.ttest_rel(a, b).confidence_interval()
    assert gap.mean == pytest.approx(a.mean() - b.mean())
    assert (gap.low, gap.high) == pytest.approx((expected.low, expected.high))


def test_the_sign_needs_an_interval_without_zero() -> None:
    assert difference([1.0, 1.1, 1.2], [0.0, 0.0, 0.1]).sign == 1
    assert difference([0.0, 0.0, 0.1], [1.0, 1.1, 1.2]).sign == -1
    assert difference([1.0, -1.0, 0.5], [0.0, 0.0, 0.0]).sign == 0


def test_wilcoxon_is_exact_and_pairs_are_counted() -> None:
    gap = difference([2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 1.0, 1.0, 1.0])
    assert gap.p == pytest.approx(2 / 2**5)
    assert (gap.larger, gap.pairs) == (5, 5)


def test_equal_methods_do_not_differ() -> None:
    gap = difference([0.5, 0.25], [0.5, 0.25])
    assert (gap.mean, gap.p, gap.larger, gap.sign) == (0.0, 1.0, 0, 0)


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([1.0, 2.0], [1.0])])
def test_needs_two_pairs(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="two or more pairs"):
        difference(a, b)
