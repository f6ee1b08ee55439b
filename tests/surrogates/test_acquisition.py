import math

import numpy as np
import pytest
from scipy.stats import norm

from evotune.surrogates.acquisition import log_chebyshev_improvement, log_expected_improvement


def log_ei(mean, std, best=0.0):
    return float(log_expected_improvement(np.array([mean]), np.array([std]), best)[0])


@pytest.mark.parametrize("mean", [-3.0, -0.5, 0.0, 0.5, 0.99, 1.01, 4.0])
@pytest.mark.parametrize("std", [0.3, 1.0])
def test_log_expected_improvement_is_the_textbooks(mean, std):
    z = -mean / std
    expected = std * (norm.pdf(z) + z * norm.cdf(z))
    assert math.exp(log_ei(mean, std)) == pytest.approx(expected, rel=1e-9)


def test_it_never_runs_flat():
    """Where plain expected improvement is 0 in floating point, the better is still the better."""
    means = np.geomspace(1.0, 1e9, 400)
    values = log_expected_improvement(means, np.ones(400), 0.0)
    assert np.all(np.isfinite(values))
    assert np.all(np.diff(values) < 0)


def test_it_has_no_step_where_formulas_meet():
    for z in (1.0, 1e5):
        assert log_ei(z * (1 - 1e-9), 1.0) == pytest.approx(log_ei(z * (1 + 1e-9), 1.0), rel=1e-6)


def test_more_doubt_promises_more():
    assert log_ei(0.5, 2.0) > log_ei(0.5, 1.0) > log_ei(0.5, 0.1)


def test_improvement_of_several_objectives_is_what_samples_say():
    rng = np.random.default_rng(0)
    means, stds = [np.array([0.5]), np.array([0.2])], [np.array([0.4]), np.array([0.3])]
    weights, origin, best = np.array([0.6, 0.4]), np.array([0.1, -0.3]), 0.25
    drawn = np.stack(
        [m + s * rng.standard_normal(400_000) for m, s in zip(means, stds, strict=True)], axis=1
    )
    worst = (weights * (drawn - origin)).max(axis=1)
    expected = np.maximum(best - worst, 0).mean()
    found = log_chebyshev_improvement(means, stds, weights, origin, best)
    assert math.exp(found[0]) == pytest.approx(expected, rel=0.05)


def test_improvement_of_several_objectives_never_runs_flat():
    means = np.geomspace(1.0, 1e3, 100)
    stds = np.full(100, 0.1)
    found = log_chebyshev_improvement(
        [means, means], [stds, stds], np.array([0.5, 0.5]), np.zeros(2), 0.3
    )
    assert np.all(np.isfinite(found))
    assert np.all(np.diff(found) < 0)
