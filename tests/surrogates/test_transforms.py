import numpy as np
import pytest
from scipy import stats

from evotune.surrogates import transforms
from evotune.surrogates.transforms import power, ranks, signed

BOTH = pytest.mark.parametrize("transform", [power, ranks])
SKEWED = np.random.default_rng(0).lognormal(0.0, 1.5, 60)


@BOTH
def test_order_is_kept(transform):
    values = np.sort(SKEWED)
    assert np.all(np.diff(transform(values)) > 0)


@BOTH
def test_result_is_standardised(transform):
    assert transform(SKEWED).mean() == pytest.approx(0, abs=1e-12)
    assert transform(SKEWED).std() == pytest.approx(1)


@BOTH
@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e12, 1e300])
def test_unit_does_not_matter(transform, scale):
    np.testing.assert_allclose(transform(SKEWED * scale), transform(SKEWED), atol=1e-9)


@BOTH
def test_origin_does_not_matter(transform):
    np.testing.assert_allclose(transform(SKEWED - 1000.0), transform(SKEWED), atol=1e-6)


@BOTH
@pytest.mark.parametrize("value", [0.0, 5.0, -1e12])
def test_constant_values_are_all_zero(transform, value):
    assert transform(np.full(7, value)).tolist() == [0.0] * 7
    assert transform(np.array([value])).tolist() == [0.0]


@BOTH
def test_one_disaster_leaves_the_others_apart(transform):
    values = np.append(np.linspace(0, 1, 20), 1e15)
    assert np.ptp(transform(values)[:20]) > 0.8


def test_power_is_the_most_likely_one():
    expected, _ = stats.yeojohnson((SKEWED - SKEWED.mean()) / SKEWED.std())
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(power(SKEWED), expected, atol=5e-3)
    assert abs(stats.skew(power(SKEWED))) < 0.5 < stats.skew(SKEWED)


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0])
def test_yeo_johnson_is_scipys(exponent):
    values = np.linspace(-3, 3, 25)
    ours = transforms._yeo_johnson(values, exponent)
    np.testing.assert_allclose(ours, stats.yeojohnson(values, exponent), atol=1e-9)


def test_ranks_tell_little_about_how_bad_the_bad_ones_are():
    values = np.append(np.linspace(0, 1, 20), [5.0, 50.0])
    far = np.append(np.linspace(0, 1, 20), [500.0, 5000.0])
    np.testing.assert_allclose(ranks(values), ranks(far), atol=1e-9)


def test_ties_stay_ties():
    transformed = ranks(np.array([3.0, 1.0, 3.0, 1.0, 2.0]))
    assert transformed[0] == transformed[2] > transformed[4] > transformed[1] == transformed[3]


def test_violations_get_a_sign():
    numbers = signed(np.array([0.0, 0.001, 1.0, 1e6, 0.0]))
    assert numbers[0] == numbers[4] < 0 < numbers[1] < numbers[2] < numbers[3] < 30
    assert signed(np.zeros(3)).tolist() == [0.0] * 3
