"""fANOVA: which genes make a random forest's prediction vary, alone and together with others.

Hutter, Hoos and Leyton-Brown (2014), An efficient approach for assessing hyperparameter importance.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TREES = 64
#: Genes that a split is looked for among: half of them, but a forest of 300 must stay fast.
GENES_A_SPLIT = 40
#: Below so many trials a forest learns nothing.
ROWS_AT_LEAST = 10
#: Predictions that the total effects may cost, over all genes.
PREDICTIONS = 20_000


@dataclass(frozen=True, slots=True)
class Effects:
    """Variance of the prediction over the space, by gene.

    Attributes:
        alone: Variance that a gene brings by itself, shape ``(genes,)``.
        total: The same with all interactions that it takes part in, shape ``(genes,)``.
        quality: R² of the forest on trials that its trees have not seen: 1 is perfect, 0 no better
            than guessing; NaN without enough trials.
    """

    alone: Floats
    total: Floats
    quality: float


def fanova(cube: Floats, targets: Floats, rng: np.random.Generator) -> Effects:
    """Return what each gene makes the target vary, every point of the space counted alike.

    A conditional gene is judged among the trials in which it is active, by a forest of its own, and
    its variance counts as much as the share of these trials.

    Args:
        cube: Genes in [0, 1], NaN where not active, shape ``(trials, genes)``.
        targets: What is explained, shape ``(trials,)``.
        rng: Draws the forests and the points at which they are asked.
    """
    active = ~np.isnan(cube)
    alone, total, quality = np.zeros(cube.shape[1]), np.zeros(cube.shape[1]), math.nan
    groups = np.unique(active.T, axis=0)
    for rows in groups:
        if rows.sum() < ROWS_AT_LEAST:
            continue
        # Where this gene is active, so are those that decide on it: none is ever missing here.
        known = np.flatnonzero(active[rows].all(axis=0))
        own = np.flatnonzero((active == rows[:, None]).all(axis=0))
        trees = TREES if rows.all() else max(16, round(TREES / len(groups) ** 0.5))
        found = _effects(cube[np.ix_(rows, known)], targets[rows], trees, rng)
        places = np.searchsorted(known, own)
        alone[own] = found.alone[places] * rows.mean()
        total[own] = found.total[places] * rows.mean()
        quality = found.quality if rows.all() else quality
    return Effects(alone, total, quality)


def _effects(cube: Floats, targets: Floats, trees: int, rng: np.random.Generator) -> Effects:
    from sklearn.ensemble import RandomForestRegressor

    genes = cube.shape[1]
    forest = RandomForestRegressor(
        trees,
        min_samples_leaf=max(2, len(targets) // 250),
        max_features=min(-(-genes // 2), GENES_A_SPLIT),
        oob_score=trees == TREES,  # of fewer trees, some trials may be seen by all
        random_state=int(rng.integers(2**31)),
    ).fit(cube, targets)
    alone = _main_effects(forest)
    total = np.maximum(_total_effects(forest, genes, rng), alone)
    return Effects(alone, total, getattr(forest, "oob_score_", math.nan))


def _main_effects(forest: Any) -> Floats:
    """Return the exact variance of the marginal of each gene, shape ``(genes,)``.

    All leaves of all trees are one bag of boxes: the forest's prediction at a point is the sum of
    the values of the boxes around it, and its marginal over one gene a sum of steps (algorithm 2).
    """
    trees = [_leaves(estimator.tree_) for estimator in forest.estimators_]
    low, high, value = (np.concatenate(parts) for parts in zip(*trees, strict=True))
    widths = high - low
    mass = value / len(trees) * widths.prod(axis=1)
    effects = np.zeros(low.shape[1])
    for gene in range(low.shape[1]):
        cuts, places = np.unique([low[:, gene], high[:, gene]], return_inverse=True)
        starts, ends = places.reshape(2, -1)
        steps = mass / widths[:, gene]
        jumps = np.bincount(starts, steps, len(cuts)) - np.bincount(ends, steps, len(cuts))
        marginal, lengths = np.cumsum(jumps)[:-1], np.diff(cuts)
        effects[gene] = np.sum(lengths * (marginal - np.sum(lengths * marginal)) ** 2)
    return effects


def _leaves(tree: Any) -> tuple[Floats, Floats, Floats]:
    """Return the boxes of a tree's leaves: lower and upper corners, ``(leaves, genes)``; values."""
    low = np.zeros((tree.node_count, tree.n_features))
    high = np.ones((tree.node_count, tree.n_features))
    nodes = np.flatnonzero(tree.children_left[:1] >= 0)
    while nodes.size:  # level by level
        left, right, gene = (
            a[nodes] for a in (tree.children_left, tree.children_right, tree.feature)
        )
        for child in (left, right):
            low[child], high[child] = low[nodes], high[nodes]
        high[left, gene] = low[right, gene] = tree.threshold[nodes]
        children = np.concatenate([left, right])
        nodes = children[tree.children_left[children] >= 0]
    leaf = tree.children_left < 0
    return low[leaf], high[leaf], tree.value[leaf, 0, 0]


def _total_effects(forest: Any, genes: int, rng: np.random.Generator) -> Floats:
    """Return the variance that is lost when all genes but one are fixed, shape ``(genes,)``.

    Jansen's estimate: half the mean squared change when only that gene is drawn anew.
    """
    points = rng.random((max(20, PREDICTIONS // (genes + 1)), genes))
    redrawn = np.tile(points, (genes, 1, 1))
    redrawn[range(genes), :, range(genes)] = rng.random((genes, len(points)))
    before = forest.predict(points)
    after = forest.predict(redrawn.reshape(-1, genes)).reshape(genes, -1)
    effects: Floats = np.mean((after - before) ** 2, axis=1) / 2
    return effects
