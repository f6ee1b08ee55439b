"""How different the trials of one generation are from each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evotune.analysis.scales import units, varied_genes
from evotune.space import Domain, Space
from evotune.trial import Trial

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Diversity:
    """Diversity over time: 1 is that of random sampling, 0 means that all trials are equal.

    Attributes:
        groups: The generations, shape ``(groups,)``.
        genes: Names of the varied genes.
        per_gene: Shape ``(genes, groups)``; NaN where fewer than two trials have the gene active.
        total: Mean over the genes, shape ``(groups,)``.
    """

    groups: npt.NDArray[np.int64]
    genes: tuple[str, ...]
    per_gene: Floats
    total: Floats


def diversity(space: Space, trials: Sequence[Trial], groups: npt.NDArray[np.int64]) -> Diversity:
    """Return the mean distance of all pairs of trials within each group.

    The distance in an ordered gene is measured in the unit interval (on a log scale if the domain
    has one); in a gene without order it is 1 for two different values. Both are divided by the
    mean distance of two random genomes, so that genes can be compared.

    Args:
        space: The space of the trials.
        trials: Failed ones count too: they were proposed.
        groups: Generation of every trial, shape ``(trials,)``.
    """
    genes = varied_genes(space)
    names = np.unique(groups)
    cube = units(space, genes, trials)
    per_gene = np.full((len(genes), len(names)), math.nan)
    for column, name in enumerate(names):
        members = cube[groups == name]
        for row, gene in enumerate(genes):
            active = members[~np.isnan(members[:, row]), row]
            if active.size >= 2:
                distance = _spread(active) if space[gene].ordered else _differing(active)
                # 0 where all chances but one vanish beside it
                per_gene[row, column] = distance / (_random_level(space[gene]) or 1.0)
    known = ~np.isnan(per_gene)
    sums = np.where(known, per_gene, 0.0).sum(axis=0)
    counts = known.sum(axis=0)
    total = np.divide(sums, counts, out=np.full(len(names), math.nan), where=counts > 0)
    return Diversity(names, tuple(genes), per_gene, total)


def _spread(values: Floats) -> float:
    """Return the mean distance of all pairs, from the sorted values in one pass."""
    n = len(values)
    weights = 2 * np.arange(n) - n + 1
    # Rounding may bring equal values below 0, otherwise on each machine.
    return max(float(np.sort(values) @ weights / (n * (n - 1) / 2)), 0.0)


def _differing(values: Floats) -> float:
    """Return the share of pairs that differ."""
    _, counts = np.unique(values, return_counts=True)
    n = len(values)
    return float(1.0 - np.sum(counts * (counts - 1)) / (n * (n - 1)))


def _random_level(domain: Domain) -> float:
    """Return the mean distance of two values drawn at random."""
    if domain.ordered:  # of k equally likely steps; a third for a continuous gene
        return 1 / 3 if domain.size == math.inf else (domain.size**2 - 1) / (3 * domain.size**2)
    chances = np.array(domain.chances())
    return float(1.0 - np.sum((chances / chances.sum()) ** 2))


#: A gene has collapsed when its spread is below this share of what it was at first ...
LIMIT = 0.05
#: ... in so many last generations, or more.
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Collapse:
    """A gene that has lost its variety.

    Attributes:
        gene: Its name.
        since: The first generation, or block, after which its spread stayed below the limit.
        share: Its spread in the last generation, relative to the first one that had any.
    """

    gene: str
    since: int
    share: float


def collapses(result: Diversity) -> list[Collapse]:
    """Return the genes whose spread collapsed and did not recover, the longest ago first."""
    found = []
    for gene, row in zip(result.genes, result.per_gene, strict=True):
        known = np.flatnonzero(~np.isnan(row))
        if not known.size or not row[known[0]] > 0:
            continue
        shares = row[known] / row[known[0]]
        wide = np.flatnonzero(_smooth(shares) >= LIMIT)
        first = int(wide[-1]) + 1 if wide.size else 0
        if len(shares) - first >= PATIENCE:
            since = int(result.groups[known[first]])
            found.append(Collapse(gene, since, float(shares[-1])))
    return sorted(found, key=lambda collapse: collapse.since)


def _smooth(shares: Floats) -> Floats:
    """Return each value's median with its two neighbours, to ignore a single odd generation."""
    ends = np.concatenate([shares[:1], shares, shares[-1:]])
    return np.asarray(np.median([ends[:-2], ends[1:-1], ends[2:]], axis=0))
