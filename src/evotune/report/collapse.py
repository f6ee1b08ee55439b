"""The alarm for a gene that all members have come to share while the search went on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evotune.report.data import Floats, StudyData
from evotune.report.diversity import Diversity, diversity
from evotune.report.text import percent

#: A gene has collapsed when its spread is below this share of what it was at first ...
LIMIT = 0.05
#: ... in so many last generations, or more.
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Collapse:
    """A gene that has lost its variety.

    Attributes:
        gene: Its name.
        since: The first generation, or block, from which on its spread stayed below the limit.
        share: Its spread in the last one, relative to the first one that had any.
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
    """Return each value's median with its two neighbours: one odd generation proves nothing."""
    ends = np.concatenate([shares[:1], shares, shares[-1:]])
    return np.asarray(np.median([ends[:-2], ends[1:-1], ends[2:]], axis=0))


def alarms(data: StudyData) -> Iterator[str]:
    """Yield a sentence for the genes that have collapsed: which, since when, and what to do."""
    found = collapses(diversity(data.space, data.trials, data.groups.of))
    if not found:
        return
    unit = "generation" if data.groups.born_name == "generation" else "trial"
    genes = ", ".join(f"{c.gene} (since {unit} {c.since})" for c in found)
    last = int(data.groups.of.max())
    yield (
        f"Diversity has collapsed in {genes}: up to the end, {unit} {last}, the spread over the "
        f"population stayed below {percent(LIMIT)} of what it was at first, so there was nothing "
        "left to select. A good end looks the same; if it was too early, what helps a population "
        "is a larger mutation, a larger population, or Islands."
    )
