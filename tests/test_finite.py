"""Finite numbers go in, finite numbers come out: the arithmetic that everything shares."""

import math
import statistics
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evotune import finite
from evotune.objectives import Constraint, WeightedSum

LARGEST = sys.float_info.max
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ORDINARY = st.floats(-1e50, 1e50).filter(lambda x: x == 0 or abs(x) > 1e-50)
SAMPLES = st.lists(NUMBERS, min_size=2, max_size=12)


def exact(values, of) -> float:
    """What a function of exact fractions gives, as the nearest float that there is."""
    found = of([Fraction(value) for value in values])
    return float(min(max(found, -Fraction(LARGEST)), Fraction(LARGEST)))


@given(SAMPLES)
@example([LARGEST] * 3)
@example([LARGEST, -LARGEST])
@example([5e-324, 0.0, -0.0])
def test_a_mean_is_that_of_exact_numbers(values):
    right = exact(values, lambda x: sum(x) / len(x))
    room = 4 * math.ulp(max(map(abs, values)))
    assert abs(finite.mean(values)) <= LARGEST
    assert abs(finite.mean(values) / 2 - right / 2) <= room


@given(SAMPLES)
@example([LARGEST, -LARGEST])
@example([LARGEST, LARGEST])
@example([5e-324, -5e-324])
def test_a_deviation_is_finite_and_0_for_equal_numbers_only(values):
    found = finite.deviation(values)
    assert 0 <= found <= LARGEST
    assert found > 0 or max(values) / 2 - min(values) / 2 <= 1e-15 * max(map(abs, values))


@given(st.lists(ORDINARY, min_size=2, max_size=12))
def test_ordinary_numbers_are_treated_as_ever_to_the_last_digit(values):
    assert finite.unit(values) == 1.0
    assert finite.mean(values) == statistics.fmean(values)
    assert finite.deviation(values) == statistics.stdev(values)


@given(SAMPLES)
def test_in_their_unit_numbers_can_be_squared_and_added(values):
    shares = np.divide(values, finite.unit(values))
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(np.sum((shares - shares.min()) ** 2))
    largest = max(map(abs, values))
    assert math.frexp(finite.unit(values))[0] == 0.5  # a power of two
    assert largest == 0 or np.abs(shares).max() * finite.unit(values) == largest


@given(SAMPLES)
@example([LARGEST, LARGEST])
def test_a_median_is_one_of_the_numbers_or_between_two(values):
    ordered = sorted(values)
    found = float(finite.median(values))
    assert ordered[(len(values) - 1) // 2] <= found <= ordered[len(values) // 2]


@pytest.mark.parametrize(
    ("values", "right"), [([math.inf, 1.0], math.inf), ([math.inf, -math.inf], math.nan)]
)
def test_what_is_not_finite_stays_so_and_raises_nothing(values, right):
    assert finite.mean(values) == pytest.approx(right, nan_ok=True)
    assert math.isnan(finite.deviation(values))


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
@example(LARGEST, LARGEST, -LARGEST, LARGEST)
@example(2.0, LARGEST, -2.0, LARGEST)
@example(5e-324, LARGEST, 5e-324, LARGEST)
def test_a_weighted_sum_is_finite_and_has_the_right_sign(a, x, b, y):
    if not a and not b:
        return
    value = WeightedSum(a=a, b=b).value({"a": x, "b": y})
    products = [Fraction(a) * Fraction(x), Fraction(b) * Fraction(y)]
    total = -sum(products)
    assert abs(value) <= LARGEST
    if abs(total) > max(map(abs, products)) / 10**9 and abs(total) > Fraction(sys.float_info.min):
        right = float(min(max(total, -Fraction(LARGEST)), Fraction(LARGEST)))
        assert value == pytest.approx(right, rel=1e-6)


@given(NUMBERS, NUMBERS)
@example(LARGEST, -LARGEST)
@example(LARGEST, 5e-324)
@example(5e-324, 0.0)
def test_a_violation_is_finite_and_above_0_where_a_bound_is_broken(value, bound):
    for constraint in (Constraint("x", at_most=bound), Constraint("x", at_least=bound)):
        broken = value > bound if constraint.at_most == bound else value < bound
        found = constraint.violation({"x": value})
        assert 0 <= found <= LARGEST
        assert (found > 0) == broken


def test_a_violation_across_zero_is_relative_to_the_bound():
    assert Constraint("x", at_most=-LARGEST).violation({"x": LARGEST}) == 2.0
