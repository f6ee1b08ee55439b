"""The genetic algorithm: generational with elitism, or steady-state.

References: Holland (1975); Goldberg (1989); and Wasudeorao and Prasad (2024), "Evolving
Hyperparameters" (2024) and Vose et al. (2019), whose exact settings stand in
`evotune.algorithms.recipes`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evotune.algorithms.generations import Generation, Generations
from evotune.algorithms.heirs import Heirs
from evotune.algorithms.proxy_start import ProxyStart
from evotune.algorithms.variation import Variation
from evotune.checks import check_in, check_operator, check_whole, flag
from evotune.errors import AlgorithmError
from evotune.evolution.rates import Constant, Progress, RateSchedule
from evotune.evolution.repeats import merge_repeats
from evotune.evolution.selection import Positions, Selection, Tournament
from evotune.evolution.survival import Survival, best_first, scalar_values
from evotune.protocols import Traits
from evotune.proxies.archive import Scores
from evotune.proxies.ranking import Agreement
from evotune.space import Space, needed_space
from evotune.space.crossover import Blend, Crossover
from evotune.space.designs import Design, design_named
from evotune.space.mutation import Gaussian, Mutation
from evotune.space.refine import Refinement, into
from evotune.trial import Proposal, Trial

#: Attempts to draw a second parent that is not the first.
REDRAWS = 20


class Genetic:
    """A genetic algorithm on any space, conditional genes included.

    Args:
        space: What may be searched.
        population_size: Members that survive a generation.
        offspring: Children a generation; by default as many as the population.
        elitism: How many of the best of the old population compete with the children for the
            places in the new one; by default all of them, (μ+λ). 0 replaces everyone.
        steady_state: Insert each child as it arrives instead of waiting for its generation: no
            worker waits, but results depend on the order of arrival.
        selection: Who becomes a parent.
        crossover: How two parents' genes combine.
        crossover_rate: Probability that a child has two parents.
        mutation: How a child's genes change.
        mutation_rate: Rate per locus, constant or scheduled; by default the mutation's own.
        self_adaptive: Each child inherits its parents' step size, varies it and mutates with it
            (Schwefel, 1981); needs a mutation with a ``scale``.
        both_children: Make both children of each crossover, twice the offspring, and let survival
            decide (Vose et al., 2019, section 6.1).
        refinement: Shrink the ranges to the elite's as generations pass (Wasudeorao and
            Prasad, 2024).
        distinct_parents: Draw again, up to 20 times, when a child's two parents would be the same
            trial.
        survival: Orders trials best first.
        inherit: Children start from the weights of their first parent instead of fresh ones, also
            across structures where a template such as `image_classifier` builds the network. A few
            epochs a trial are enough then, as its line goes on training. The evaluate function
            calls ``trial.resume`` and ``trial.keep``; a `SupervisedTask` does so by itself.
        epochs: Epochs that each trial adds with ``inherit``, the first ones to fresh weights; by
            default those of the task. What ``study.run(..., epochs=)`` limits is the sum along a
            line of weights.
        start: ``"latin_hypercube"``, ``"sobol"``, ``"random"``, or a design of your own.
        seeds: Genomes, or params, that the first generation begins with.
        proxies: Function of params that returns zero-cost scores of their network by name; see
            `Hybrid`. The first generation then waits for its first 5 results, and for 3 of the
            networks that they choose, if they do; it grows to 13 trials with all of these.

    Raises:
        AlgorithmError: A size or rate out of bounds, or options that exclude each other.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
        self,
        space: Space,
        *,
        population_size: int = 12,
        offspring: int | None = None,
        elitism: int | None = None,
        steady_state: bool = False,
        selection: Selection = Tournament(3),
        crossover: Crossover = Blend(0.3),
        crossover_rate: float = 0.9,
        mutation: Mutation = Gaussian(),
        mutation_rate: float | RateSchedule | None = None,
        self_adaptive: bool = False,
        both_children: bool = False,
        refinement: Refinement | None = None,
        distinct_parents: bool = True,
        survival: Survival = best_first,
        inherit: bool = False,
        epochs: int | None = None,
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
        proxies: Scores | None = None,
    ) -> None:
        self.space = needed_space(space)
        self.population_size = population_size
        self.offspring = population_size if offspring is None else offspring
        self.elitism = population_size if elitism is None else elitism
        self.steady_state = steady_state
        self.selection = selection
        self.both_children = both_children
        self.refinement = refinement
        self.distinct_parents = distinct_parents
        self.survival = survival
        self.inherit = flag("inherit", inherit, AlgorithmError)
        self.epochs = epochs
        self.schedule = _schedule(mutation_rate)
        self.variation = Variation(crossover, crossover_rate, mutation, self_adaptive)
        self._check()
        self._rate = None if self.schedule is None else self.schedule.initial
        self.variation = self.variation.with_rate(self._rate)
        by_proxies = None if proxies is None else ProxyStart(space, proxies)
        self._generations = Generations(
            space, design_named(start), seeds, population_size, by_proxies
        )
        self._heirs = Heirs(type(self).__name__, epochs) if self.inherit else None
        self._population: list[Trial] = []
        self._values = np.zeros(0)  # one number a member, for selection
        self._plan: tuple[int, Positions] | None = None  # (seed, parents of a generation)
        self._now = space  # with its ranges as refined
        self._best: Trial | None = None  # of all generations, found in this one:
        self._best_since = 0

    def _check(self) -> None:
        how, own = self.variation, type(self).__name__
        for name, operator, example in (
            ("selection", self.selection, "selection.Tournament(3)"),
            ("crossover", how.crossover, "crossover.Uniform(0.5)"),
            ("mutation", how.mutation, "mutation.Gaussian()"),
            ("survival", self.survival, "survival.best_first"),
        ):
            check_operator(own, name, operator, example)
        how.warn_without_chains(own, self.space)
        check_whole(own, "population_size", self.population_size, 2)
        check_whole(own, "offspring", self.offspring, 1)
        check_whole(own, "elitism", self.elitism, 0)
        if self.elitism > self.population_size:
            raise AlgorithmError(
                f"{own}: elitism must not be above population_size="
                f"{self.population_size}, got {self.elitism!r}"
            )
        scheduled = not isinstance(self.schedule, Constant | None)
        if self.steady_state and (self.both_children or self.refinement or scheduled):
            raise AlgorithmError(
                f"{own}: both_children, refinement and a scheduled mutation_rate need "
                "generations; leave steady_state out"
            )
        if self.epochs is not None and not self.inherit:
            raise AlgorithmError(
                f"{own}: epochs={self.epochs!r} counts what is added to inherited weights; write "
                f"{own}(space, inherit=True, epochs={self.epochs!r}); where every trial starts "
                "afresh, write study.run(task, trials=60, epochs=20)"
            )

    def __repr__(self) -> str:
        kind = "steady_state=True, " if self.steady_state else ""
        heirs = f", inherit=True, epochs={self.epochs}" if self.inherit else ""
        how = self.variation
        return (
            f"{type(self).__name__}({kind}population_size={self.population_size}, "
            f"offspring={self.offspring}, "
            f"elitism={self.elitism}, selection={self.selection}, crossover={how.crossover}, "
            f"mutation={how.mutation}{heirs})"
        )

    @property
    def traits(self) -> Traits:
        """Not generational for steady-state, where each result counts at once."""
        traits = self._generations.traits(
            generational=not self.steady_state, population_size=self.population_size
        )
        if self._heirs is None:
            return traits
        budget = self._heirs.budget
        budgets = () if budget is None else (budget,)
        return replace(traits, inherits=True, newcomers=True, budgets=budgets)

    @property
    def population(self) -> tuple[Trial, ...]:
        """The members that survived so far, best first."""
        return tuple(self._population)

    @property
    def ranges(self) -> Space:
        """The space with its ranges as refined by now."""
        return self._now

    @property
    def agreement(self) -> Agreement | None:
        """How well the proxies agree with the results of the start; None before the fifth."""
        return self._generations.agreement

    def donors(self) -> Collection[int]:
        """Return the trials whose weights a child may still ask for: none without ``inherit``."""
        if self._heirs is None:
            return ()
        candidates = list(self._population)
        if not self.steady_state:  # there all that have ended have survived, or not, by now
            candidates += [*self._generations.running.done(), *self._generations.strangers]
        return self._heirs.donors(candidates)

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next child; None while the last ones of a generation are still running."""
        generation = self._generations.running
        if not self.steady_state and (generation.is_full or self._generations.is_due):
            return None
        newcomer = self._generations.chosen(rng)
        if newcomer is None and self._is_starting:
            newcomer = self._generations.newcomer(rng)
        if newcomer is not None:
            return newcomer if self._heirs is None else self._heirs.founder(newcomer)
        seed = generation.draw_seed(rng)
        if self.steady_state:
            a, b = self._parents(self._draw_parents(2, rng), 0, rng)
            child = self.variation.child(self.space, a, b, rng)
        else:
            child = self._planned_child(generation, seed, rng)
        return generation.stamp(self._with_weights(child), seed)

    @property
    def _is_starting(self) -> bool:
        return not self._population or (self.steady_state and self._generations.running.number == 0)

    def _with_weights(self, child: Proposal) -> Proposal:
        if self._heirs is None:
            return child
        members = {trial.number: trial for trial in self._population}
        return self._heirs.child(child, [members[number] for number in child.parents])

    def _planned_child(
        self, generation: Generation, seed: int, rng: np.random.Generator
    ) -> Proposal:
        index = generation.started
        if self._plan is None or self._plan[0] != seed:
            # All parents at once: universal sampling and pairs of children need the whole plan.
            draws = np.random.default_rng(seed)
            self._plan = (seed, self._draw_parents(2 * generation.size, draws))
        pair_rng = None
        if self.both_children:
            index, second = divmod(index, 2)
            pair_rng = np.random.default_rng((seed, index))
        a, b = self._parents(self._plan[1], index, pair_rng or rng)
        if self.both_children and second:
            a, b = b, a
        if self._now is not self.space:
            a, b = (replace(p, genome=into(self._now, p.genome)) for p in (a, b))
        child = self.variation.child(self._now, a, b, rng, pair_rng)
        if index == 0 and self._now is not self.space:
            return replace(child, note={**child.note, "ranges": self._now.to_json()})
        return child

    def _draw_parents(self, count: int, rng: np.random.Generator) -> Positions:
        return self.selection(self._values, count, rng, self._generations.running.number)

    def _parents(self, plan: Positions, pair: int, rng: np.random.Generator) -> tuple[Trial, Trial]:
        first, second = int(plan[2 * pair]), int(plan[2 * pair + 1])
        if first == second and self.distinct_parents:
            drawn = self._draw_parents(REDRAWS, rng)
            second = next((k for k in drawn.tolist() if k != first), first)
        return self._population[first], self._population[second]

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of a generation makes the next population."""
        if self._heirs is not None:
            self._heirs.tell(trial, own="generation" in trial.note)
        self._generations.tell(trial)
        generation = self._generations.running
        if self.steady_state:
            self._survive(self._population, [trial] if trial.is_done else [])
            if generation.is_full:
                self._generations.end(self.offspring)
        elif generation.is_complete:
            self._next_generation()

    def _next_generation(self) -> None:
        children = self._generations.end(self.offspring * (2 if self.both_children else 1))
        old, number = self._population, self._generations.running.number
        self._survive(old[: self.elitism], children)
        if self.schedule is not None and self._rate is not None:
            progress = Progress(number, self._success(old, children), self._diversity())
            self._rate = self.schedule.next(self._rate, progress)
            self.variation = self.variation.with_rate(self._rate)
        if self.refinement is not None:
            self._refine(self.refinement)

    def _survive(self, old: Sequence[Trial], children: Sequence[Trial]) -> None:
        if children:
            ordered = self.survival(merge_repeats([*old, *children]))
            self._population = ordered[: self.population_size]
            self._values = scalar_values(self._population)
        self._plan = None

    def _success(self, old: Sequence[Trial], children: Sequence[Trial]) -> float:
        """Return the share of children that rank ahead of all their parents."""
        order = {t.number: k for k, t in enumerate(self.survival([*old, *children]))}
        wins = [
            order[c.number] < min(order.get(p, len(order)) for p in c.parents)
            for c in children
            if c.parents
        ]
        return sum(wins) / len(wins) if wins else 0.0

    def _diversity(self) -> float:
        genes = [(name, self.space[name]) for name in self.space.variable]
        units = np.array([[d.to_unit(t.genome[n]) for n, d in genes] for t in self._population])
        # Relative to the standard deviation of a uniform gene.
        return float(units.std(axis=0).mean() * math.sqrt(12)) if units.size else 1.0

    def _refine(self, rule: Refinement) -> None:
        number = self._generations.running.number
        if self._population and self._leads(self._population[0]):
            self._best, self._best_since = self._population[0], number
        if rule.undo_after is not None and number - self._best_since >= rule.undo_after:
            self._now, self._best_since = self.space, number
        elif number % rule.every == 0 and self._population:
            elite = self._population[: max(2, round(rule.elite * len(self._population)))]
            self._now = rule.refine(self.space, self._now, [t.genome for t in elite])

    def _leads(self, trial: Trial) -> bool:
        """Return whether a trial ranks ahead of the best one before it."""
        return self._best is None or self.survival([self._best, trial])[0] is not self._best


def _schedule(rate: Any) -> RateSchedule | None:
    if rate is None or (hasattr(rate, "initial") and not isinstance(rate, type)):
        return rate
    check_in("Genetic", "mutation_rate", rate, "[0, 1]")
    return Constant(float(rate))
