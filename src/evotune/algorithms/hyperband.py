"""Hyperband around any algorithm: brackets of successive halving that begin at different budgets.

References: Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization"
(2017); brackets without barriers: Li et al., ASHA (2020), section 3.3.
"""

from collections.abc import Sequence

from evotune.algorithms.halving import SuccessiveHalving


class Hyperband(SuccessiveHalving):
    """Runs a bracket of successive halving from each rung upwards.

    Short trainings may tell little of what long ones come to. So one bracket begins at the smallest
    budget, one at each larger one, and the last trains every genome for ``maximum`` at once. They
    take turns, the boldest first, of the same budget: ``maximum`` times the number of rungs. Within
    a turn nobody waits for a rung to be full, and where a bracket has nothing to propose the next
    one does. The algorithm inside proposes the genomes of all brackets and learns from all.

    Takes the arguments of `SuccessiveHalving`, and raises what that raises. With the `Hybrid` of
    evolution and Bayesian optimisation inside it is a relative of BOHB (Falkner et al., 2018).
    """

    def _ladders(self) -> Sequence[Sequence[float]]:
        return [self.budgets[k:] for k in range(len(self.budgets))]
