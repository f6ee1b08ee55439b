"""Regressors of recorded trainings: extremely random trees, a Gaussian process, or their mean.

They learn the logarithm of the validation value, as a step from .04 to .02 matters as much as one
from .8 to .4. How each of them predicts trainings that it has not seen is in ``regressors.json``.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.model_selection import GroupKFold

import evotune as et

Array = npt.NDArray[np.float64]
Row = Mapping[str, Any]

KINDS = ("trees", "process", "mean")
#: Those that may be the truth of a task. A process alone is smooth in the way that searches by a
#: Gaussian process expect, and its best values are further below what training there gives.
TRUTHS = ("trees", "mean")
FOLDS = 5


def features(space: et.Space, many: Sequence[Mapping[str, Any]]) -> Array:
    """Return active genes as numbers, ``(params, features)``.

    An ordered gene is its position in [0, 1], a category one number for each of its values; a gene
    that is dormant stands in the middle, or has no category.
    """
    return np.array([_row(space, space.params(params)) for params in many])


def _row(space: et.Space, active: Mapping[str, Any]) -> Array:
    parts = []
    for name, domain in space.domains.items():
        if name in active:
            parts.append(domain.features(active[name]))
        else:
            parts.append(np.array([0.5]) if domain.ordered else np.zeros(len([*domain.values()])))
    return np.concatenate(parts)


class Regressor:
    """Predicts the logarithm of a value from features.

    Args:
        kind: One of `KINDS`.
        x: Features of recorded trainings, ``(trainings, features)``.
        y: Logarithms of their values, ``(trainings,)``.
        theta: Parameters of the process's kernel, in logarithms; None fits them.
    """

    def __init__(self, kind: str, x: Array, y: Array, theta: Sequence[float] | None) -> None:
        made = {"trees": _trees, "process": lambda x, y: _process(x, y, theta).predict}
        self._models = [made[one](x, y) for one in made if kind in (one, "mean")]

    def __call__(self, x: Array) -> Array:
        """Return predictions, ``(params,)``."""
        return np.mean([predict(x) for predict in self._models], axis=0)


def _trees(x: Array, y: Array) -> Callable[[Array], Array]:
    forest = ExtraTreesRegressor(100, min_samples_leaf=2, max_features=0.5, random_state=0)
    trees = [tree.tree_ for tree in forest.fit(x, y).estimators_]

    def predict(x: Array) -> Array:
        # Forests check what they are given, which takes longer than the trees for one row.
        rows = np.ascontiguousarray(x, np.float32)
        return np.mean([tree.predict(rows)[:, 0] for tree in trees], axis=0)

    return predict


def _process(x: Array, y: Array, theta: Sequence[float] | None) -> GaussianProcessRegressor:
    scales = Matern(np.full(x.shape[1], 1.0), (0.2, 20.0), nu=2.5)
    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * scales + WhiteKernel(0.05, (1e-5, 1.0))
    if theta is not None:
        kernel = kernel.clone_with_theta(np.array(theta))
    optimizer = "fmin_l_bfgs_b" if theta is None else None
    process = GaussianProcessRegressor(kernel, optimizer=optimizer, normalize_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a gene without effect has its scale at the bound
        return process.fit(x, y)


def described(space: et.Space, rows: Sequence[Row]) -> dict[str, Any]:
    """Return which of `TRUTHS` suits a table: the one of the highest rank correlation.

    Returns:
        ``kind``, ``theta`` of the process, ``noise`` as a standard deviation of the logarithm,
        and by kind ``rank``, the rank correlation in cross-validation, and ``rank_better``, that
        among the better half. The process keeps in each fold the kernel that was fitted to all.
    """
    x, y = features(space, [row["params"] for row in rows]), logarithms(rows)
    theta = [float(f"{t:.6g}") for t in _process(x, y, None).kernel_.theta]
    keys = [repr(sorted(row["params"].items())) for row in rows]
    groups = np.unique(keys, return_inverse=True)[1]
    predicted = {kind: np.zeros(len(y)) for kind in KINDS}
    for train, held in GroupKFold(FOLDS, shuffle=True, random_state=0).split(x, y, groups):
        for kind in ("trees", "process"):
            predicted[kind][held] = Regressor(kind, x[train], y[train], theta)(x[held])
    predicted["mean"] = (predicted["trees"] + predicted["process"]) / 2
    better = y <= np.median(y)
    rank = {kind: _rank(predicted[kind], y) for kind in KINDS}
    return {
        "kind": max(TRUTHS, key=lambda kind: rank[kind]),
        "noise": noise(rows),
        "rank": rank,
        "rank_better": {kind: _rank(predicted[kind][better], y[better]) for kind in KINDS},
        "theta": theta,
    }


def _rank(predicted: Array, y: Array) -> float:
    return round(float(spearmanr(predicted, y).statistic), 3)


def logarithms(rows: Sequence[Row]) -> Array:
    """Return what is predicted, ``(trainings,)``."""
    return np.log([row["validation"] for row in rows])


def noise(rows: Sequence[Row]) -> float:
    """Return the standard deviation of the logarithm over seeds, of the better half.

    It is measured on the pairs of equal params whose mean is at most the table's median.
    """
    by_params: dict[str, list[float]] = {}
    for row, value in zip(rows, logarithms(rows), strict=True):
        by_params.setdefault(repr(sorted(row["params"].items())), []).append(float(value))
    median = float(np.median(logarithms(rows)))
    pairs = [v for v in by_params.values() if len(v) > 1 and np.mean(v) <= median]
    return round(float(np.sqrt(np.mean([np.var(pair, ddof=1) for pair in pairs]))), 5)
