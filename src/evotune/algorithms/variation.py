"""Two parents -> a child's proposal: crossover, mutation and the child's own step size."""

import logging
import math
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from evotune.checks import check_in
from evotune.errors import AlgorithmError
from evotune.space import Space
from evotune.space.crossover import Blend, ByLayer, Crossover, Splice
from evotune.space.mutation import Gaussian, Mutation, Structural
from evotune.trial import Proposal, Trial

log = logging.getLogger("evotune")

FIRST_STEP = 0.2
STEP_BOUNDS = (1e-3, 0.5)


@dataclass(frozen=True, slots=True)
class Variation:
    """How children are made.

    Args:
        crossover: How two parents' genes combine.
        crossover_rate: Probability that a child has two parents.
        mutation: How a child's genes change.
        self_adaptive: Each child varies the step size of its parents and mutates with it
            (Schwefel, 1981).

    Raises:
        AlgorithmError: A rate outside [0, 1], or self-adaptation of a mutation without a ``scale``.
    """

    crossover: Crossover = Blend(0.3)
    crossover_rate: float = 0.9
    mutation: Mutation = Gaussian()
    self_adaptive: bool = False

    def __post_init__(self) -> None:
        check_in("Variation", "crossover_rate", self.crossover_rate, "[0, 1]")
        if self.self_adaptive:
            _set(self.mutation, "scale", FIRST_STEP, "self_adaptive")

    def warn_without_chains(self, owner: str, space: Space) -> None:
        """Log which operators work on layers, where a space has none: they change nothing more."""
        for operator in (self.crossover, self.mutation):
            if not space.chains and isinstance(operator, ByLayer | Splice | Structural):
                log.warning(
                    "%s: %s works on chains of layers, and the space has none; it does what its "
                    "base does: %r",
                    owner,
                    type(operator).__name__,
                    operator.base,
                )

    def with_rate(self, rate: float | None) -> "Variation":
        """Return a copy whose mutation has this rate per locus; None changes nothing.

        Raises:
            AlgorithmError: The mutation has no rate.
        """
        if rate is None:
            return self
        return replace(self, mutation=_set(self.mutation, "rate", rate, "mutation_rate"))

    def child(
        self,
        space: Space,
        a: Trial,
        b: Trial,
        rng: np.random.Generator,
        pair_rng: np.random.Generator | None = None,
    ) -> Proposal:
        """Return the proposal of a child of ``a`` and ``b``.

        Args:
            space: The space to stay inside.
            a: First parent.
            b: Second parent.
            rng: Random stream of this child.
            pair_rng: Stream of the crossing, when two children share it; by default ``rng``.
        """
        crossing = rng if pair_rng is None else pair_rng
        crossed = crossing.random() < self.crossover_rate and a.number != b.number
        genome = self.crossover(space, a.genome, b.genome, crossing) if crossed else dict(a.genome)
        parents = (a, b) if crossed else (a,)
        mutation, note = self.mutation, {}
        if self.self_adaptive:
            note = self._step(len(space.variable), parents, rng)
            mutation = _set(mutation, "scale", note["step"], "self_adaptive")
        genome = mutation(space, genome, rng)
        return Proposal(dict(genome), parents=tuple(p.number for p in parents), note=note)

    def _step(
        self, genes: int, parents: tuple[Trial, ...], rng: np.random.Generator
    ) -> dict[str, Any]:
        logs = [math.log(parent.note.get("step", FIRST_STEP)) for parent in parents]
        spread = rng.standard_normal() / math.sqrt(max(genes, 1))  # tau = 1 / sqrt(n)
        step = math.exp(sum(logs) / len(logs) + spread)
        return {"step": min(max(step, STEP_BOUNDS[0]), STEP_BOUNDS[1])}


def _set(mutation: Mutation, option: str, value: float, needed_by: str) -> Mutation:
    """Return a copy of a mutation with another value of one option, which it must have."""
    if not is_dataclass(mutation) or option not in (each.name for each in fields(mutation)):
        raise AlgorithmError(
            f"{needed_by} needs a mutation with a {option}, a dataclass such as Gaussian(); "
            f"{mutation!r} has none"
        )
    changed: Mutation = replace(mutation, **{option: value})
    return changed
