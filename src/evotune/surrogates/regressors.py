"""Regression models of one target: features and targets in, predictions out."""

from collections.abc import Callable

import numpy as np

from evotune.surrogates.features import Layout
from evotune.surrogates.gaussian_process import GaussianProcess, fit
from evotune.surrogates.rows import Array

#: Features, shape ``(points, features)`` -> predicted targets, shape ``(points,)``.
Predict = Callable[[Array], Array]
#: Features, targets of shape ``(points,)``, and which feature belongs to which gene.
Regressor = Callable[[Array, Array, Layout], Predict]

#: Trees of a forest, and observations that a leaf keeps at least.
TREES, LEAF = 60, 2


def gaussian_process(features: Array, targets: Array, layout: Layout) -> Predict:
    """Fit a Gaussian process, see `evotune.surrogates.gaussian_process`."""
    found, _ = fit(features, targets, layout)
    process = GaussianProcess.after(features, targets, layout, found)
    return lambda asked: process.predict(asked)[0]


def forest(features: Array, targets: Array, layout: Layout) -> Predict:
    """Fit a random forest of scikit-learn."""
    from sklearn.ensemble import RandomForestRegressor  # takes a second to load

    model = RandomForestRegressor(
        TREES, min_samples_leaf=LEAF, max_features=0.8, random_state=0, n_jobs=1
    ).fit(features, targets)
    return lambda asked: np.asarray(model.predict(asked))


REGRESSORS: dict[str, Regressor] = {"gaussian_process": gaussian_process, "forest": forest}
