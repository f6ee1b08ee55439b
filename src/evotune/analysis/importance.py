"""Importance of genes: over the whole space (fANOVA), and for the best trials (PED-ANOVA).

References: Hutter, Hoos and Leyton-Brown (2014), fANOVA; Watanabe, Bansal and Hutter (2023),
PED-ANOVA.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from evotune.analysis.scales import units, varied_genes
from evotune.analysis.text import percent
from evotune.errors import StudyError
from evotune.printing import html_table
from evotune.space import Space
from evotune.trial import Trial

Floats = npt.NDArray[np.float64]

#: The best share of the trials, and how many they are at least.
BEST_SHARE, BEST_AT_LEAST = 0.1, 5
#: Cells of a gene's axis.
CELLS = 50


def ped_anova(
    cube: Floats, targets: Floats, unordered: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return how much each gene decides whether a trial is among the best.

    It is the variance, over the trials, of the probability of being among the best given this gene
    alone: the Pearson divergence of the best trials' density from that of all (equation 10). A
    conditional gene is judged among the trials in which it is active, weighted by their share.

    Args:
        cube: Genes in [0, 1], NaN where not active, shape ``(trials, genes)``.
        targets: The minimised objective, shape ``(trials,)``.
        unordered: Which genes have values without an order, shape ``(genes,)``.

    Returns:
        Shape ``(genes,)``; 0 for a gene that is active in none of the best trials.
    """
    count = min(max(BEST_AT_LEAST, math.ceil(BEST_SHARE * len(targets))), len(targets))
    best = np.zeros(len(targets), dtype=bool)
    best[np.argsort(targets, kind="stable")[:count]] = True
    variances = np.zeros(cube.shape[1])
    for gene, values in enumerate(cube.T):
        active = ~np.isnan(values)
        good = best & active
        if good.any():
            density = _shares if unordered[gene] else _parzen
            of_best, of_all = density(values[good], values[active])
            ratio = np.divide(of_best, of_all, out=np.ones_like(of_all), where=of_all > 0)
            chance = good.sum() / active.sum()
            variances[gene] = active.mean() * chance**2 * np.sum(of_all * (ratio - 1.0) ** 2)
    return variances


def _shares(best: Floats, every: Floats) -> tuple[Floats, Floats]:
    values = np.unique(every)
    of_best, of_all = (
        np.bincount(np.searchsorted(values, x), minlength=len(values)) / len(x)
        for x in (best, every)
    )
    return of_best, of_all


def _parzen(best: Floats, every: Floats) -> tuple[Floats, Floats]:
    """Return both densities over the cells, estimated with Scott's bandwidth for the best trials.

    With separate bandwidths, as in the paper, the density of all trials may vanish where that of
    the best does not; with one bandwidth their ratio is at most that of the numbers of trials.
    """
    from scipy.special import ndtr
    from scipy.stats import iqr

    spread = min(float(np.std(best)), float(iqr(best)) / 1.34)
    width = max(1.059 * spread * len(best) ** -0.2, 1.0 / CELLS)
    edges = np.linspace(0.0, 1.0, CELLS + 1)
    densities = []
    for values in (best, every):
        mass = np.diff(ndtr((edges[:, None] - values) / width), axis=0)
        densities.append(np.mean(mass / mass.sum(axis=0), axis=1))
    return densities[0], densities[1]


TREES = 64
#: Genes tried at each split: half of them, but no more, so that 300 genes remain fast.
GENES_A_SPLIT = 40
#: With fewer trials than this, no forest is fitted.
ROWS_AT_LEAST = 10
#: Number of predictions for the total effects, over all genes.
PREDICTIONS = 20_000


@dataclass(frozen=True, slots=True)
class Effects:
    """Variance of the prediction over the space, by gene.

    Attributes:
        alone: Variance due to a gene by itself, shape ``(genes,)``.
        total: The same plus all its interactions, shape ``(genes,)``.
        quality: Out-of-bag R² of the forest: 1 is perfect, 0 no better than guessing; NaN without
            enough trials.
    """

    alone: Floats
    total: Floats
    quality: float


def fanova(cube: Floats, targets: Floats, rng: np.random.Generator) -> Effects:
    """Return the variance of the target due to each gene, uniformly over the space.

    A conditional gene is judged among the trials in which it is active, by a separate forest, and
    its variance is weighted by the share of these trials.

    Args:
        cube: Genes in [0, 1], NaN where not active, shape ``(trials, genes)``.
        targets: The values to explain, shape ``(trials,)``.
        rng: Draws the forests and the points at which they predict.
    """
    active = ~np.isnan(cube)
    alone, total, quality = np.zeros(cube.shape[1]), np.zeros(cube.shape[1]), math.nan
    groups = np.unique(active.T, axis=0)
    for rows in groups:
        if rows.sum() < ROWS_AT_LEAST:
            continue
        # Where this gene is active, the genes of its conditions are active too: no NaN here.
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

    The leaves of all trees are treated as one set of boxes: the forest's prediction at a point is
    the sum of the values of the boxes that contain it, and its marginal over one gene is a sum of
    step functions (algorithm 2 of fANOVA).
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
    """Return the variance that remains when all genes but one are fixed, shape ``(genes,)``.

    Jansen's estimator: half the mean squared change when only that gene is drawn again.
    """
    points = rng.random((max(20, PREDICTIONS // (genes + 1)), genes))
    redrawn = np.tile(points, (genes, 1, 1))
    redrawn[range(genes), :, range(genes)] = rng.random((genes, len(points)))
    before = forest.predict(points)
    after = forest.predict(redrawn.reshape(-1, genes)).reshape(genes, -1)
    effects: Floats = np.mean((after - before) ** 2, axis=1) / 2
    return effects


Method = Literal["fanova", "ped_anova"]

TRIALS_AT_LEAST = 10
#: More trials cost seconds and change nothing that a bar chart shows.
TRIALS_AT_MOST = 2000


@dataclass(frozen=True, slots=True)
class Importance:
    """How much each gene influences an objective.

    Attributes:
        shares: Share of every varied gene, its interactions with others included, largest first;
            they sum to 1, or are all 0 when nothing could be learnt.
        alone: The part of each share due to the gene by itself, in the same order.
        quality: Out-of-bag R² of the forest: 1 is perfect, 0 no better than guessing; NaN where
            no forest was fitted.
        trials: Number of trials that it was computed from.
    """

    shares: dict[str, float]
    alone: dict[str, float]
    quality: float
    trials: int

    @property
    def genes(self) -> list[str]:
        """Names of the genes, most important first."""
        return list(self.shares)

    def by_entry(self, space: Space) -> dict[str, float]:
        """Return the share of each gene or, for a chain of layers, of all its genes, largest first.

        Args:
            space: The space of the genes.
        """
        shares = {
            name: sum(self.shares.get(gene, 0.0) for gene in genes)
            for name, genes in space.entries.items()
            if any(gene in self.shares for gene in genes)
        }
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    @property
    def is_reliable(self) -> bool:
        """True with enough trials, if the forest (for fANOVA) predicts well enough."""
        return self.trials >= 20 and any(self.shares.values()) and not self.quality < 0.3

    def __repr__(self) -> str:
        shown = [f"{gene} {percent(share)}" for gene, share in list(self.shares.items())[:5]]
        more = [f"{len(self.shares) - 5} more"] * (len(self.shares) > 5)
        doubt = [] if self.is_reliable else ["not reliable"]
        return f"Importance({', '.join([*shown, *more, f'{self.trials} trials', *doubt])})"

    def _repr_html_(self) -> str:
        shown = list(self.shares.items())[:30]
        rows = [(gene, percent(share), percent(self.alone[gene])) for gene, share in shown]
        notes = [f"from {self.trials} trials"]
        notes += [] if math.isnan(self.quality) else [f"R² {self.quality:.2f} of unseen trials"]
        notes += [] if self.is_reliable else ["not reliable: too few trials, or too poor a fit"]
        left = len(self.shares) - len(shown)
        notes += [f"{left} more genes"] * bool(left)
        return html_table(
            ("gene", "importance", "by itself", ""),
            rows,
            notes=[", ".join(notes)],
            bars=[share for _, share in shown],
        )

    def __str__(self) -> str:
        lines = [f"{share:6.1%}  {gene}" for gene, share in self.shares.items()]
        if not self.is_reliable:
            fit = "" if math.isnan(self.quality) else f", R² {self.quality:.2f}"
            lines.append(f"not reliable: {self.trials} trials{fit}")
        return "\n".join(lines)


def importance(
    space: Space,
    trials: Sequence[Trial],
    objective_index: int = 0,
    *,
    method: Method = "fanova",
    seed: int = 0,
) -> Importance:
    """Return how much each gene influences one objective.

    ``"fanova"`` measures it over the whole space: a random forest learns the trials' *ranks* from
    their genes, so that a few diverged trials do not dominate, and the variance of its predictions
    is decomposed; an interaction counts for each gene in it. ``"ped_anova"`` measures it for being
    among the best tenth: genes in which only bad trials differ do not count.

    Args:
        space: The space of the trials.
        trials: Trials without a finite value are left out.
        objective_index: Index of the objective, from 0.
        method: ``"fanova"`` or ``"ped_anova"``.
        seed: Seed of the forest.

    Raises:
        StudyError: The method is neither of these.
    """
    if not isinstance(method, str) or method not in get_args(Method):
        raise StudyError(f'method must be "fanova" or "ped_anova", got {method!r}')
    genes = varied_genes(space)
    done = [t for t in trials if t.values and math.isfinite(t.values[objective_index])]
    rng = np.random.default_rng(seed)
    if len(done) > TRIALS_AT_MOST:
        kept = np.sort(rng.choice(len(done), TRIALS_AT_MOST, replace=False))
        done = [done[k] for k in kept]
    targets = np.array([t.values[objective_index] for t in done if t.values])
    effects = Effects(np.zeros(len(genes)), np.zeros(len(genes)), math.nan)
    if genes and len(done) >= TRIALS_AT_LEAST and targets.min() < targets.max():
        cube = units(space, genes, done)
        if method == "fanova":
            effects = fanova(cube, _ranks(targets), rng)
        else:
            unordered = np.array([not space[name].ordered for name in genes])
            variances = ped_anova(cube, targets, unordered)
            effects = Effects(variances, variances, math.nan)
    whole = effects.total.sum() or 1.0
    order = np.argsort(-effects.total, kind="stable")
    return Importance(
        {genes[k]: float(effects.total[k] / whole) for k in order},
        {genes[k]: float(effects.alone[k] / whole) for k in order},
        effects.quality,
        len(done),
    )


def _ranks(targets: Floats) -> Floats:
    from scipy.stats import rankdata  # takes half a second to load

    ranks: Floats = rankdata(targets) / len(targets)
    return ranks
