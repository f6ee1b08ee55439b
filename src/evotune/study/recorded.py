"""The place of an algorithm in a study that is only read."""

from collections.abc import Collection

import numpy as np

from evotune.protocols import Traits
from evotune.space import Space
from evotune.trial import Proposal, Trial


class Recorded:
    """Proposes nothing, and carries the name of the algorithm that the study was made with.

    Args:
        space: The space of the study.
        description: What its own algorithm calls itself.
    """

    traits = Traits(inherits=True)

    def __init__(self, space: Space, description: str) -> None:
        self.space = space
        self._description = description

    def __repr__(self) -> str:
        return self._description

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose nothing."""
        return None

    def tell(self, trial: Trial) -> None:
        """Learn nothing."""

    def donors(self) -> Collection[int]:
        """Return no trials."""
        return ()
