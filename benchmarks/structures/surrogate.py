"""The truth of the search benchmark: a forest that has learned from networks trained for real.

    python benchmarks/structures/surrogate.py      # how well it predicts networks it has not seen

Chains of layers are described by their summary (depth, blocks, widths, multiply-adds, pools) and
layer by layer. One prediction takes a fraction of a millisecond.
"""

from collections.abc import Mapping
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt
from networks import MULTIPLY_ADDS, multiply_adds
from scipy.stats import spearmanr
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold
from train_random import read

Array = npt.NDArray[np.float64]

LAYERS, DENSE = 7, 2
BLOCKS = ("conv", "skip", "pool")


def features(params: Mapping[str, Any]) -> list[float]:
    """Return a network as numbers."""
    layers, head = params["features"], params["head"]
    size = log(multiply_adds(params)) / log(MULTIPLY_ADDS)
    rows = [_layer(layers[k]) if k < len(layers) else [0.0] * 7 for k in range(LAYERS)]
    dense = [_dense(head[k]) if k < len(head) else [0.0] * 3 for k in range(DENSE)]
    summary = [log(params["lr"]), size, len(layers), len(head), *_summary(layers), *_least(head)]
    return [*summary, *(value for row in (*rows, *dense) for value in row)]


def _summary(layers: list[dict[str, Any]]) -> list[float]:
    names = [layer["block"] for layer in layers]
    wide = [layer for layer in layers if layer["block"] != "pool"]
    widths = [log(layer["filters"]) for layer in wide] or [0.0]
    parts = max(len(wide), 1)
    return [
        *(names.count(block) for block in BLOCKS),
        float(np.mean(widths)),
        widths[0],
        widths[-1],
        min(widths),
        sum(layer["kernel"] for layer in wide) / parts,
        sum(layer["activation"] == "gelu" for layer in wide) / parts,
        sum(layer["norm"] == "batch" for layer in wide) / parts,
        names.index("pool") if "pool" in names else LAYERS,
    ]


def _least(head: list[dict[str, Any]]) -> list[float]:
    widths = [log(layer["units"]) for layer in head]
    return [min(widths, default=6.0), sum(layer["dropout"] for layer in head)]


def _layer(layer: Mapping[str, Any]) -> list[float]:
    kind = [float(layer["block"] == block) for block in BLOCKS]
    if layer["block"] == "pool":
        return [*kind, 0.0, 0.0, 0.0, 0.0]
    gelu, normed = layer["activation"] == "gelu", layer["norm"] == "batch"
    return [*kind, log(layer["filters"]), layer["kernel"], float(gelu), float(normed)]


def _dense(layer: Mapping[str, Any]) -> list[float]:
    return [log(layer["units"]), float(layer["activation"] == "gelu"), layer["dropout"]]


def _fit(x: Array, y: Array) -> ExtraTreesRegressor:
    forest = ExtraTreesRegressor(300, min_samples_leaf=2, max_features=0.5, random_state=0)
    return forest.fit(x, y)


class Surrogate:
    """Predicts the accuracy of a network from its params; the same params give the same number."""

    def __init__(self) -> None:
        networks = read()
        x = np.array([features(params) for params, _ in networks])
        trees = [t.tree_ for t in _fit(x, np.array([found for _, found in networks])).estimators_]
        most = max(tree.node_count for tree in trees)

        def stacked(name: str) -> npt.NDArray[Any]:
            found = [getattr(tree, name).reshape(-1) for tree in trees]
            return np.stack([np.pad(each, (0, most - len(each))) for each in found])

        self._split, self._threshold = stacked("feature"), stacked("threshold")
        self._left, self._right = stacked("children_left"), stacked("children_right")
        self._value = stacked("value")
        self._tree = np.arange(len(trees))
        self._deepest = max(tree.max_depth for tree in trees)

    def __call__(self, params: Mapping[str, Any]) -> float:
        """Return the predicted accuracy."""
        x = np.array(features(params), dtype=np.float32)
        node = np.zeros(len(self._tree), dtype=int)
        for _ in range(self._deepest):
            left, right = self._left[self._tree, node], self._right[self._tree, node]
            below = x[self._split[self._tree, node]] <= self._threshold[self._tree, node]
            node = np.where(left < 0, node, np.where(below, left, right))  # a leaf has no child
        return float(self._value[self._tree, node].mean())


def cross_validated() -> float:
    """Return the rank correlation of predictions with networks that were held out, ten folds."""
    networks = read()
    x = np.array([features(params) for params, _ in networks])
    y = np.array([found for _, found in networks])
    predicted = np.zeros(len(y))
    for train, held_out in KFold(10, shuffle=True, random_state=0).split(x):
        predicted[held_out] = _fit(x[train], y[train]).predict(x[held_out])
    return float(spearmanr(predicted, y).statistic)


if __name__ == "__main__":
    accuracies = np.array([found for _, found in read()])
    quantiles = ", ".join(f"{q:.3f}" for q in np.quantile(accuracies, [0, 0.25, 0.5, 0.75, 1]))
    print(f"{len(accuracies)} networks, accuracy (least, quartiles, best): {quantiles}")
    print(f"rank correlation in ten-fold cross-validation: {cross_validated():.3f}")
