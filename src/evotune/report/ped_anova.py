"""PED-ANOVA: which genes the best trials have in common, and the others have not.

Watanabe, Bansal and Hutter (2023), PED-ANOVA: efficiently quantifying hyperparameter importance in
arbitrary subspaces, arXiv 2304.10255.
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: The best share of the trials, and how many they are at least.
BEST_SHARE, BEST_AT_LEAST = 0.1, 5
#: Cells of a gene's axis.
CELLS = 50


def ped_anova(
    cube: Floats, targets: Floats, unordered: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return how much each gene decides whether a trial is among the best.

    That is the variance, over the trials, of the chance to be among the best given this gene alone:
    the Pearson divergence of the best trials' density from that of all (equation 10). A conditional
    gene is judged among the trials in which it is active, and counts as much as their share.

    Args:
        cube: Genes in [0, 1], NaN where not active, shape ``(trials, genes)``.
        targets: What is minimised, shape ``(trials,)``.
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
    """Return both densities over the cells, estimated with one bandwidth, Scott's for the best.

    With a bandwidth of its own, as in the paper, the density of all may vanish where that of the
    best does not; with the same one their ratio is at most that of their numbers.
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
