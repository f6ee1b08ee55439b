"""Evolution strategies with self-adaptive step sizes: (μ, λ) and (μ + λ).

References: Rechenberg (1973); Schwefel (1981); for whole numbers and categories, the mixed-integer
strategy of Li et al., "Mixed integer evolution strategies for parameter optimization" (2013).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from evotune.algorithms.generations import Generations
from evotune.checks import check_in, check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.repeats import merge_repeats
from evotune.evolution.survival import Survival, best_first
from evotune.protocols import Traits
from evotune.space import Domain, Space, needed_space
from evotune.space.crossover import Uniform
from evotune.space.designs import Design, design_named
from evotune.trial import Proposal, Trial

Array = np.ndarray[tuple[int], np.dtype[np.float64]]

#: Smallest and largest step size: below nothing moves any more, above all is random.
STEP_BOUNDS = (1e-4, 0.5)


class EvolutionStrategy:
    """An evolution strategy: every gene of every child moves, by a step size that evolves too.

    Each member carries its step size, relative to the range of each gene. A child takes each
    gene from one of two parents (discrete recombination) and the mean of their step sizes, varies
    that log-normally (Schwefel's τ), then the genes: ordered ones by a normal step reflected at
    the bounds, unordered ones by another value with the step size as probability,
    or 1/(3·genes) if that is more.

    Args:
        space: What may be searched.
        parents: μ, members that survive.
        offspring: λ, children a generation; by default 4·μ.
        replacement: ``"plus"`` chooses survivors among parents and children (μ + λ), ``"comma"``
            among children only (μ, λ).
        step_size: First step size, relative to each gene's range.
        step_sizes: ``"one"`` for all genes, learned within a hundred trials, or one for ``"each"``
            gene, which takes thousands.
        recombine: Combine two parents; False copies one.
        survival: Who lives on: returns trials best first.
        start: Design of the first λ trials: ``"latin_hypercube"``, ``"sobol"`` or ``"random"``.
        seeds: Genomes, or params, that the first generation begins with.

    Raises:
        AlgorithmError: A size out of bounds; (μ, λ) with fewer children than parents.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
        self,
        space: Space,
        *,
        parents: int = 3,
        offspring: int | None = None,
        replacement: Literal["plus", "comma"] = "plus",
        step_size: float = 0.2,
        step_sizes: Literal["one", "each"] = "one",
        recombine: bool = True,
        survival: Survival = best_first,
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.space = needed_space(space)
        self.parents = parents
        check_whole("EvolutionStrategy", "parents", parents, 1)
        self.offspring = 4 * parents if offspring is None else offspring
        self.replacement = replacement
        self.step_size = step_size
        self.step_sizes = step_sizes
        self.recombine = recombine
        self.survival = survival
        self._check()
        genes = max(len(space.variable), 1)
        # Small steps must not freeze the categories (Li et al., section 3.3).
        self._least_change = 1.0 / (3.0 * genes)
        if step_sizes == "one":
            self._tau_shared, self._tau_each = 1.0 / math.sqrt(genes), 0.0
        else:  # Schwefel's τ' and τ
            self._tau_shared = 1.0 / math.sqrt(2.0 * genes)
            self._tau_each = 1.0 / math.sqrt(2.0 * math.sqrt(genes))
        self._generations = Generations(space, design_named(start), seeds, self.offspring)
        self._population: list[Trial] = []

    def _check(self) -> None:
        check_whole("EvolutionStrategy", "offspring", self.offspring, 1)
        if self.replacement not in ("plus", "comma"):
            raise AlgorithmError(
                f'EvolutionStrategy: replacement is "plus" or "comma", got {self.replacement!r}'
            )
        if self.step_sizes not in ("one", "each"):
            raise AlgorithmError(
                f'EvolutionStrategy: step_sizes is "one" or "each", got {self.step_sizes!r}'
            )
        if self.replacement == "comma" and self.offspring < self.parents:
            raise AlgorithmError(
                f"EvolutionStrategy: (μ, λ) needs at least as many offspring as parents, got "
                f"parents={self.parents}, offspring={self.offspring}"
            )
        check_in("EvolutionStrategy", "step_size", self.step_size, f"(0, {STEP_BOUNDS[1]}]")

    def __repr__(self) -> str:
        sign = "+" if self.replacement == "plus" else ","
        return f"EvolutionStrategy(({self.parents} {sign} {self.offspring}))"

    @property
    def population(self) -> tuple[Trial, ...]:
        """The members that survived so far, best first."""
        return tuple(self._population)

    @property
    def traits(self) -> Traits:
        """What a study must know of it."""
        return self._generations.traits()

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next child; None while the last ones of a generation are still running."""
        generation = self._generations.running
        if generation.is_full:
            return None
        if not self._population:
            return self._generations.newcomer(rng)
        seed = generation.draw_seed(rng)
        return generation.stamp(self._child(rng), seed)

    def _child(self, rng: np.random.Generator) -> Proposal:
        members = self._population
        count = 2 if self.recombine and len(members) > 1 else 1
        picked = [members[k] for k in rng.permutation(len(members))[:count]]
        a, b = picked[0], picked[-1]
        genome = Uniform(0.5)(self.space, a.genome, b.genome, rng)
        steps = self._vary_steps(np.mean([self._steps(p) for p in picked], axis=0), rng)
        asleep = self.space.dormant(genome)
        for name, step in zip(self.space.variable, steps.tolist(), strict=True):
            if name not in asleep:
                domain = self.space.domains[name]
                if domain.ordered:
                    genome[name] = _move(domain, genome[name], step, rng)
                elif rng.random() < max(step, self._least_change):
                    genome[name] = domain.other(genome[name], rng)
        parents = tuple(dict.fromkeys(p.number for p in picked))
        return Proposal(genome, parents=parents, note={"steps": steps.tolist()})

    def _steps(self, trial: Trial) -> Array:
        steps = trial.note.get("steps")
        if steps is None or len(steps) != len(self.space.variable):
            return np.full(len(self.space.variable), self.step_size)
        return np.array(steps)

    def _vary_steps(self, steps: Array, rng: np.random.Generator) -> Array:
        shared = self._tau_shared * rng.standard_normal()
        varied = steps * np.exp(shared + self._tau_each * rng.standard_normal(len(steps)))
        return np.clip(varied, *STEP_BOUNDS)

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of a generation chooses the survivors."""
        self._generations.tell(trial)
        if self._generations.running.is_complete:
            old = self._population if self.replacement == "plus" else []
            pool = merge_repeats([*old, *self._generations.end(self.offspring)])
            self._population = self.survival(pool)[: self.parents] or self._population


def _move(domain: Domain, value: Any, step: float, rng: np.random.Generator) -> Any:
    delta = step * float(rng.standard_normal())
    moved = domain.move(value, delta)
    if moved == value and domain.size < math.inf and rng.random() < abs(delta) * domain.size:
        # A step too small for the lattice is rounded at random, so that it is right on average.
        return domain.neighbour(value, 1 if delta > 0 else -1)
    return moved
