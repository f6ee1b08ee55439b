"""Grid search: every combination once."""

import math
from collections.abc import Collection, Hashable
from typing import Any

import numpy as np

from evotune.checks import check_whole
from evotune.protocols import Traits
from evotune.space import Domain, Space, needed_space
from evotune.trial import Proposal, Trial


class Grid:
    """Propose every combination of values once, the last gene varying fastest.

    Args:
        space: What may be searched.
        points: Values of each gene that has more than that many: evenly spaced on its own scale,
            both ends included.

    Raises:
        AlgorithmError: Fewer than two points a gene.
    """

    def __init__(self, space: Space, *, points: int = 5) -> None:
        check_whole("Grid", "points", points, 2)
        self.space = needed_space(space)
        self.points = points
        self._levels = {name: _levels(domain, points) for name, domain in space.domains.items()}
        size = math.prod(len(levels) for levels in self._levels.values())
        self.traits = Traits(generational=True, size=size)
        self._next = 0
        self._told: set[Hashable] = set()

    def __repr__(self) -> str:
        return f"Grid(points={self.points})"

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next combination; None when all have been proposed."""
        for index in range(self._next, self.traits.size or 0):
            genome = self._genome(index)
            # Combinations that differ in dormant genes only are the same to the evaluation.
            if self.space.key(genome) not in self._told:
                return Proposal(genome, note={"grid": index})
        return None

    def tell(self, trial: Trial) -> None:
        """Note that a combination has been proposed, whoever proposed it."""
        self._told.add(self.space.key(trial.genome))
        self._next = max(self._next, trial.note.get("grid", -1) + 1)

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()

    def _genome(self, index: int) -> dict[str, Any]:
        genome = {}
        for name in reversed(self.space.names):
            levels = self._levels[name]
            index, k = divmod(index, len(levels))
            genome[name] = levels[k]
        return {name: genome[name] for name in self.space.names}


def _levels(domain: Domain, points: int) -> list[Any]:
    if domain.size <= points or not domain.ordered:
        return list(domain.values())
    spaced = [domain.from_unit(k / (points - 1)) for k in range(points)]
    return list(dict.fromkeys(spaced))
