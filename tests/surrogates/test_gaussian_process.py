import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from evotune.surrogates.features import Layout
from evotune.surrogates.gaussian_process import (
    JITTER,
    GaussianProcess,
    Hyperparameters,
    Priors,
    cholesky,
    fit,
    loss,
    warp,
)

#: Three ordered genes, and a category of three values in features 3 to 5.
LAYOUT = Layout(warped=3, genes=4, gene=np.array([0, 1, 2, 3, 3, 3]))
SETTINGS = Hyperparameters(
    lengthscales=np.log([0.5, 0.8, 0.3, 1.5]),
    powers=np.array([0.3, -0.4, 0.0]),
    roots=np.array([-0.2, 0.5, 0.0]),
    signal=np.log(1.3),
    noise=np.log(0.01),
)


def points(count, seed=0):
    rng = np.random.default_rng(seed)
    hot = np.eye(3)[rng.integers(3, size=count)] * np.sqrt(0.5)
    features = np.concatenate([rng.random((count, 3)), hot], axis=1)
    targets = np.sin(5 * features[:, 0]) + features[:, 1] ** 2 + features[:, 3]
    return features, (targets - targets.mean()) / targets.std()


def by_scikit_learn(features, targets, candidates):
    """The same process from scikit-learn, on inputs warped by hand."""

    def warped(x):
        a, b = np.exp(SETTINGS.powers), np.exp(SETTINGS.roots)
        return np.concatenate([1 - (1 - x[:, :3] ** a) ** b, x[:, 3:]], axis=1)

    length = np.exp(SETTINGS.lengthscales)[LAYOUT.gene]
    kernel = ConstantKernel(np.exp(SETTINGS.signal)) * Matern(length, nu=2.5)
    alpha = np.exp(SETTINGS.noise) + JITTER
    model = GaussianProcessRegressor(kernel, alpha=alpha, optimizer=None)
    model.fit(warped(features), targets)
    return model.predict(warped(candidates), return_std=True)


def test_predictions_are_those_of_scikit_learn():
    features, targets = points(40)
    candidates, _ = points(200, seed=1)
    mean, std = GaussianProcess.after(features, targets, LAYOUT, SETTINGS).predict(candidates)
    expected_mean, expected_std = by_scikit_learn(features, targets, candidates)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-8)
    np.testing.assert_allclose(std, expected_std, atol=1e-8)


def test_smoothing_is_predicting_at_the_observations():
    features, targets = points(40)
    process = GaussianProcess.after(features, targets, LAYOUT, SETTINGS)
    np.testing.assert_allclose(process.smooth(targets), process.predict(features)[0], atol=1e-9)


def test_believing_is_being_told_ones_own_mean():
    features, targets = points(30)
    pending, _ = points(4, seed=1)
    candidates, _ = points(100, seed=2)
    process = GaussianProcess.after(features, targets, LAYOUT, SETTINGS)
    told = GaussianProcess.after(
        np.concatenate([features, pending]),
        np.concatenate([targets, process.predict(pending)[0]]),
        LAYOUT,
        SETTINGS,
    )
    one_by_one = process
    for row in pending:
        one_by_one = one_by_one.believing(row[None])
    for believing in (process.believing(pending), one_by_one):
        for ours, expected in zip(
            believing.predict(candidates), told.predict(candidates), strict=True
        ):
            np.testing.assert_allclose(ours, expected, atol=1e-8)


def test_believing_takes_away_uncertainty_there_and_nowhere_adds_any():
    features, targets = points(30)
    pending, _ = points(3, seed=1)
    candidates, _ = points(100, seed=2)
    process = GaussianProcess.after(features, targets, LAYOUT, SETTINGS)
    believing = process.believing(pending)
    assert np.all(believing.predict(pending)[1] < 0.7 * process.predict(pending)[1])
    assert np.all(believing.predict(candidates)[1] <= process.predict(candidates)[1] + 1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_is_that_of_finite_differences(seed):
    features, targets = points(25)
    features[0, 0], features[1, 1] = 0.0, 1.0  # where the warp's slope is infinite
    priors = Priors.of(LAYOUT)
    rng = np.random.default_rng(seed)
    vector = priors.mean + 0.5 * rng.standard_normal(len(priors.mean))

    def value(at):
        return loss(at, features, targets, LAYOUT, priors)[0]

    step = 1e-5
    numeric = [(value(vector + step * e) - value(vector - step * e)) for e in np.eye(len(vector))]
    gradient = loss(vector, features, targets, LAYOUT, priors)[1]
    np.testing.assert_allclose(gradient, np.array(numeric) / (2 * step), atol=1e-6, rtol=1e-6)


def test_the_slots_of_chains_have_longer_lengthscales_at_first():
    flat = Priors.of(Layout(4, 10, np.arange(10))).mean
    chain = Priors.of(Layout(4, 10, np.arange(10), (2, 3, 8))).mean
    others = [0, 1, 4, 5, 6, 7, 9]
    np.testing.assert_allclose(chain[[2, 3, 8]], flat[0] + np.log(3))
    # As if there were no slots.
    np.testing.assert_allclose(chain[others], Priors.of(Layout(4, 7, np.arange(7))).mean[0])
    np.testing.assert_array_equal(chain[10:], flat[10:])


def test_a_fit_finds_which_genes_count():
    features, targets = points(60)
    found, value = fit(features, targets, LAYOUT)
    assert value < loss(Priors.of(LAYOUT).mean, features, targets, LAYOUT, Priors.of(LAYOUT))[0]
    length = found.lengthscales
    assert length[0] < length[1] < length[2]  # a wave, a square, nothing at all


def test_a_fit_predicts_better_than_the_prior():
    features, targets = points(60)
    candidates, expected = points(200, seed=1)
    errors = [
        np.abs(
            GaussianProcess.after(features, targets, LAYOUT, h).predict(candidates)[0] - expected
        )
        for h in (fit(features, targets, LAYOUT)[0], Priors.of(LAYOUT).start(LAYOUT))
    ]
    assert errors[0].mean() < 0.7 * errors[1].mean()


def test_a_fit_goes_on_from_where_it_is_told_to():
    features, targets = points(40)
    found, value = fit(features, targets, LAYOUT)
    assert fit(features, targets, LAYOUT, found)[1] <= value + 1e-9


def test_the_warp_keeps_order_and_ends():
    units = np.linspace(0, 1, 50)[:, None].repeat(3, axis=1)
    warped = warp(units, SETTINGS.powers, SETTINGS.roots)
    assert np.all(np.diff(warped[1:-1], axis=0) > 0)
    np.testing.assert_allclose(warped[[0, -1]], [[0] * 3, [1] * 3], atol=1e-3)
    np.testing.assert_allclose(warped[1:-1, 2], units[1:-1, 2])


def test_repeated_points_are_no_trouble():
    features, targets = points(10)
    features, targets = np.tile(features, (6, 1)), np.tile(targets, 6)
    quiet = Hyperparameters(np.full(4, 7.0), np.zeros(3), np.zeros(3), 3.0, np.log(1e-6))
    mean, std = GaussianProcess.after(features, targets, LAYOUT, quiet).predict(features)
    assert np.all(np.isfinite(mean))
    assert np.all(std > 0)
    assert np.isfinite(fit(features, targets, LAYOUT)[1])


def test_a_matrix_that_cannot_be_factored_gets_more_jitter():
    covariance = np.ones((5, 5)) - 1e-6 * np.eye(5)  # not positive definite
    factor = cholesky(covariance, 0.0)
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=1e-4)


def test_no_gene_at_all():
    layout = Layout(0, 0, np.zeros(0, dtype=np.intp))
    found, _ = fit(np.zeros((4, 0)), np.array([1.0, -1.0, 1.0, -1.0]), layout)
    mean, _ = GaussianProcess.after(np.zeros((4, 0)), np.zeros(4), layout, found).predict(
        np.zeros((2, 0))
    )
    assert mean.tolist() == [0.0, 0.0]
