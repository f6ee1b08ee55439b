"""How much each gene decides: shuffle it and see how much worse a random forest predicts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evotune.report.scales import units, varied_genes
from evotune.space import Space
from evotune.trial import Trial

Floats = npt.NDArray[np.float64]

TRIALS_AT_LEAST = 10
#: More trials cost seconds and change nothing that a bar chart shows.
TRIALS_AT_MOST = 2000
FOLDS = 5
#: A few trials are shuffled often, many need it only once, for the same precision.
SHUFFLED_ROWS = 500


@dataclass(frozen=True, slots=True)
class Importance:
    """What decides the objective.

    Attributes:
        shares: Share of every varied gene, largest first; they sum to 1, or are all 0 when
            nothing could be learnt.
        quality: R² of the forest's predictions on trials that it was not fitted to: 1 is
            perfect, 0 no better than guessing; NaN with too few trials or a constant objective.
        trials: How many trials it rests on.
    """

    shares: dict[str, float]
    quality: float
    trials: int

    @property
    def genes(self) -> list[str]:
        """Names of the genes, most important first."""
        return list(self.shares)

    @property
    def is_reliable(self) -> bool:
        """True when the forest has seen enough and predicts well enough to be believed."""
        return self.trials >= 20 and self.quality >= 0.3


def importance(
    space: Space, trials: Sequence[Trial], objective_index: int = 0, seed: int = 0
) -> Importance:
    """Return how much each gene decides one objective.

    A random forest (Breiman, 2001) learns the trials' *ranks* from their genes, so that a few
    diverged trials do not rule the picture. A gene's share is by how much the squared error on
    held-out trials grows when its values are shuffled among the trials in which it is active
    (permutation importance, 5-fold cross-validated), interactions included.

    Args:
        space: The space of the trials.
        trials: Trials without a finite value are left out.
        objective_index: Which objective.
        seed: Seed of the forest and of the shuffles.
    """
    genes = varied_genes(space)
    done = [t for t in trials if t.values and math.isfinite(t.values[objective_index])]
    rng = np.random.default_rng(seed)
    if len(done) > TRIALS_AT_MOST:
        kept = np.sort(rng.choice(len(done), TRIALS_AT_MOST, replace=False))
        done = [done[k] for k in kept]
    targets = np.array([t.values[objective_index] for t in done if t.values])
    losses, quality = np.zeros(len(genes)), math.nan
    if genes and len(done) >= TRIALS_AT_LEAST and np.ptp(targets) > 0:
        losses, quality = _losses(units(space, genes, done), targets, rng)
    total = losses.sum() or 1.0
    order = np.argsort(-losses, kind="stable")
    return Importance({genes[k]: float(losses[k] / total) for k in order}, quality, len(done))


def _losses(cube: Floats, targets: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
    """Return how much the squared error grows per gene, shape ``(genes,)``, and R²."""
    from scipy.stats import rankdata
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    ranks = rankdata(targets) / len(targets)
    # Dormant genes all sit in the middle, so that a condition's effect counts for its own gene.
    filled = np.nan_to_num(cube, nan=0.5)
    losses, error = np.zeros(cube.shape[1]), 0.0
    state = int(rng.integers(2**31))
    leaf = max(2, len(targets) // 250)
    for train, test in KFold(FOLDS, shuffle=True, random_state=state).split(filled):
        forest = RandomForestRegressor(
            64, min_samples_leaf=leaf, max_features=0.5, random_state=state
        ).fit(filled[train], ranks[train])
        missed = np.sum((forest.predict(filled[test]) - ranks[test]) ** 2)
        error += missed
        shuffled = _shuffled(cube[test], filled[test], rng)
        wrong = forest.predict(shuffled.reshape(-1, cube.shape[1])).reshape(shuffled.shape[:-1])
        losses += np.mean(np.sum((wrong - ranks[test]) ** 2, axis=2), axis=1) - missed
    quality = 1.0 - error / np.sum((ranks - ranks.mean()) ** 2)
    return np.maximum(losses, 0.0), float(quality)


def _shuffled(cube: Floats, filled: Floats, rng: np.random.Generator) -> Floats:
    """Return copies of the rows, in each one gene shuffled among the rows that have it active.

    Returns:
        Shape ``(genes, shuffles, rows, genes)``: the first axis says which gene.
    """
    rows, genes = cube.shape
    shuffles = -(-SHUFFLED_ROWS // rows)
    copies = np.tile(filled, (genes, shuffles, 1, 1))
    for gene in range(genes):
        active = np.flatnonzero(~np.isnan(cube[:, gene]))
        for copy in copies[gene]:
            copy[active, gene] = filled[rng.permutation(active), gene]
    return copies
