"""Random search (Bergstra and Bengio, 2012): the baseline of every comparison."""

from collections.abc import Collection

import numpy as np

from evotune.protocols import Traits
from evotune.space import Space, needed_space
from evotune.trial import Proposal, Trial


class RandomSearch:
    """Draw every genome independently, each gene uniformly on its own scale.

    Args:
        space: What may be searched.
    """

    traits = Traits(generational=True)

    def __init__(self, space: Space) -> None:
        self.space = needed_space(space)

    def __repr__(self) -> str:
        return "RandomSearch()"

    def ask(self, rng: np.random.Generator) -> Proposal:
        """Propose a random genome."""
        return Proposal(self.space.sample(rng))

    def tell(self, trial: Trial) -> None:
        """Learn nothing."""

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()
