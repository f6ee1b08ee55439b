"""Differential evolution, on spaces with whole numbers, categories and conditions too.

References: Storn and Price, "Differential evolution" (1997); jDE: Brest et al., "Self-adapting
control parameters in differential evolution" (2006); current-to-pbest with an archive: Zhang and
Sanderson, "JADE" (2009); SHADE: Tanabe and Fukunaga, "Success-history based parameter adaptation
for differential evolution" (2013); several objectives: Kukkonen and Lampinen, "GDE3" (2005).
"""

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from evotune import finite
from evotune.algorithms.generations import Generations
from evotune.checks import check_in, check_operator, check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.control import Constant, Control, SelfAdaptive, Setting, SuccessHistory
from evotune.evolution.repeats import merge_repeats
from evotune.evolution.survival import Survival, best_first, no_worse
from evotune.protocols import Traits
from evotune.space import Space, needed_space
from evotune.space.designs import Design, design_named
from evotune.space.mutation import Gaussian
from evotune.trial import Proposal, Trial

Strategy = Literal["rand/1", "best/1", "current-to-best/1", "current-to-pbest/1"]
Adaptation = Literal["jde", "shade"]

STRATEGIES = ("rand/1", "best/1", "current-to-best/1", "current-to-pbest/1")

#: A target and three others.
LEAST_MEMBERS = 4

#: The largest share of the best from which "pbest" is drawn.
BEST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class _Mutant:
    """``base + F·Σ(toward − away)``, gene by gene."""

    base: Trial
    differences: tuple[tuple[Trial, Trial], ...]

    @property
    def trials(self) -> tuple[Trial, ...]:
        return (self.base, *(trial for pair in self.differences for trial in pair))


class DifferentialEvolution:
    """Differential evolution with binomial crossover; each child competes with its own target.

    Ordered genes move in the unit interval, reflected at its ends; whole numbers, steps and
    ordinals are rounded at random, so that small steps count. Values without an order all lie at
    the same distance from each other (Hamming space; Moraglio and Togelius, "Geometric differential
    evolution", 2009): where two members disagree, their difference acts on such a gene with
    probability F: it turns the value of the one into that of the other, and any third value into a
    random one. Genes that are dormant in a member take no part in its differences; those dormant in
    the child stay as in its target. A child identical to its target is mutated.

    With several objectives the child replaces a target that it dominates or equals, and is dropped
    if the target dominates it; otherwise both stay and ``survival`` trims the population (GDE3).

    Args:
        space: What may be searched.
        population_size: Members, and children a generation; 4 at least.
        strategy: How the mutant is made: ``"rand/1"``, ``"best/1"``, ``"current-to-best/1"`` or
            ``"current-to-pbest/1"``, which aims at one of the best fifth and sometimes subtracts a
            former member.
        scale: F, the factor on differences, in (0, 2]; where it adapts, its start.
        crossover_rate: CR, the share of genes from the mutant; where it adapts, its start.
        adaptation: None keeps F and CR, ``"jde"`` lets each member carry its own, ``"shade"``
            draws them near those that succeeded lately.
        steady_state: Let each child compete as it arrives instead of waiting for its generation:
            no worker waits, but results depend on the order of arrival.
        survival: Orders trials best first.
        start: ``"latin_hypercube"``, ``"sobol"``, ``"random"``, or a design of your own.
        seeds: Genomes, or params, that the first generation begins with.

    Raises:
        AlgorithmError: A size, factor or rate out of bounds, or an unknown name.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
        self,
        space: Space,
        *,
        population_size: int = 12,
        strategy: Strategy = "current-to-pbest/1",
        scale: float = 0.5,
        crossover_rate: float = 0.9,
        adaptation: Adaptation | None = "shade",
        steady_state: bool = False,
        survival: Survival = best_first,
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.space = needed_space(space)
        self.population_size = population_size
        self.strategy = strategy
        self.scale = scale
        self.crossover_rate = crossover_rate
        self.adaptation = adaptation
        self.steady_state = steady_state
        self.survival = survival
        self._check()
        self._first = Setting(float(scale), float(crossover_rate))
        self._control = self._new_control()
        self._generations = Generations(space, design_named(start), seeds, population_size)
        self._population: list[Trial] = []
        self._archive: deque[Trial] = deque(maxlen=population_size)  # replaced targets
        self._successes: list[tuple[Setting, float]] = []

    def _check(self) -> None:
        check_whole("DifferentialEvolution", "population_size", self.population_size, LEAST_MEMBERS)
        check_operator("DifferentialEvolution", "survival", self.survival, "survival.best_first")
        if self.strategy not in STRATEGIES:
            raise AlgorithmError(
                f"DifferentialEvolution: strategy is one of {', '.join(STRATEGIES)}, "
                f"got {self.strategy!r}"
            )
        if self.adaptation not in (None, "jde", "shade"):
            raise AlgorithmError(
                'DifferentialEvolution: adaptation is None, "jde" or "shade", '
                f"got {self.adaptation!r}"
            )
        check_in("DifferentialEvolution", "scale", self.scale, "(0, 2]")
        check_in("DifferentialEvolution", "crossover_rate", self.crossover_rate, "[0, 1]")

    def _new_control(self) -> Control:
        if self.adaptation == "jde":
            return SelfAdaptive()
        return (SuccessHistory if self.adaptation == "shade" else Constant)(self._first)

    def __repr__(self) -> str:
        kind = "steady_state=True, " if self.steady_state else ""
        return (
            f"DifferentialEvolution({kind}population_size={self.population_size}, "
            f"strategy={self.strategy!r}, adaptation={self.adaptation!r})"
        )

    @property
    def traits(self) -> Traits:
        """Not generational for steady-state, where each result counts at once."""
        return self._generations.traits(
            generational=not self.steady_state, population_size=self.population_size
        )

    @property
    def population(self) -> tuple[Trial, ...]:
        """The members, best first."""
        return tuple(self._population)

    def donors(self) -> Collection[int]:
        """Return no trials: weights are never inherited."""
        return ()

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next child; None while the last ones of a generation are still running."""
        generation = self._generations.running
        if generation.is_full and not self.steady_state:
            return None
        seed = generation.draw_seed(rng)
        members = self._population
        place = int(rng.integers(self.population_size)) if self.steady_state else generation.started
        starting = self.steady_state and generation.number == 0
        if starting or len(members) < LEAST_MEMBERS or place >= len(members):
            return self._generations.newcomer(rng, seed=seed)
        target = members[place]
        setting = self._control.draw(Setting.of(target.note, self._first), rng)
        mutant = self._mutant(place, rng)
        parents = tuple(dict.fromkeys(t.number for t in (target, *mutant.trials)))
        note = {"scale": setting.scale, "crossover_rate": setting.crossover_rate}
        genome = self._child(target, mutant, setting, rng)
        return generation.stamp(Proposal(genome, parents=parents, note=note), seed)

    def _mutant(self, place: int, rng: np.random.Generator) -> _Mutant:
        members = self._population
        target = members[place]
        # One position fewer than members: from the target's position on, each means the next.
        drawn = rng.permutation(len(members) - 1)[:3].tolist()
        a, b, c = (members[k + (k >= place)] for k in drawn)
        if self.strategy == "rand/1":
            return _Mutant(a, ((b, c),))
        if self.strategy == "best/1":
            return _Mutant(members[0], ((a, b),))
        if self.strategy == "current-to-best/1":
            return _Mutant(target, ((members[0], target), (a, b)))
        share = 2 / len(members) + float(rng.random()) * (BEST_SHARE - 2 / len(members))
        ahead = members[int(rng.integers(max(2, round(share * len(members)))))]
        k = int(rng.integers(len(members) - 2 + len(self._archive)))
        earlier = b if k < len(members) - 2 else self._archive[k - len(members) + 2]
        return _Mutant(target, ((ahead, target), (a, earlier)))

    def _child(
        self, target: Trial, mutant: _Mutant, setting: Setting, rng: np.random.Generator
    ) -> dict[str, Any]:
        space = self.space
        asleep = {t.number: space.dormant(t.genome) for t in (target, *mutant.trials)}
        names = space.variable
        changed = dict(target.genome)
        for name in names:
            active = [t for t in mutant.trials if name not in asleep[t.number]]
            if active:
                changed[name] = self._gene(name, mutant, active, setting.scale, rng)
        child = dict(target.genome)
        awake = [name for name in names if name not in asleep[target.number]]
        certain = awake[int(rng.integers(len(awake)))] if awake else None
        for name, draw in zip(names, rng.random(len(names)).tolist(), strict=True):
            if name == certain or draw < setting.crossover_rate:
                child[name] = changed[name]
        for name in asleep[target.number] - space.dormant(child):
            child[name] = changed[name]  # never tested in the target
        child |= {name: target.genome[name] for name in space.dormant(child)}
        if space.key(child) == space.key(target.genome):
            return Gaussian()(space, child, rng)
        return child

    def _gene(
        self,
        name: str,
        mutant: _Mutant,
        active: Sequence[Trial],
        scale: float,
        rng: np.random.Generator,
    ) -> Any:
        domain = self.space.domains[name]
        value = (mutant.base if mutant.base in active else active[0]).genome[name]
        moves = [
            (toward.genome[name], away.genome[name])
            for toward, away in mutant.differences
            if toward in active and away in active and toward.genome[name] != away.genome[name]
        ]
        if not moves:
            return value
        if domain.ordered:
            total = sum(domain.to_unit(toward) - domain.to_unit(away) for toward, away in moves)
            # Rounded at random, or no step below half a lattice's would ever move a gene.
            blur = 0.0 if domain.size == math.inf else (float(rng.random()) - 0.5) / domain.size
            return domain.move(value, scale * total + blur)
        for toward, away in moves:
            if rng.random() < scale:
                value = toward if value == away else domain.other(value, rng)
        return value

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of a generation makes the next population."""
        self._generations.tell(trial)
        generation = self._generations.running
        over = generation.is_full if self.steady_state else generation.is_complete
        if self.steady_state:
            self._compete([trial] if trial.is_done else [])
        elif over:
            self._compete([*self._generations.strangers, *generation.done()])
        if over:
            self._generations.end(self.population_size)
            self._control.learn(self._successes)
            self._successes = []

    def _compete(self, arrived: Sequence[Trial]) -> None:
        """Let each trial that has arrived compete with its target, then trim the population."""
        members = {t.number: t for t in self._population}
        for trial in arrived:
            target = members.get(trial.parents[0]) if "scale" in trial.note else None
            members[trial.number] = trial
            if target is None or trial.repeat_of is not None:
                continue  # a newcomer, or a repeat, which is merged below
            if no_worse(target, trial):
                # An equal child is preferred, so that the population drifts on a plateau.
                del members[(target if no_worse(trial, target) else trial).number]
            elif no_worse(trial, target):
                del members[target.number]
                self._archive.append(target)
                setting = Setting.of(trial.note, self._first)
                self._successes.append((setting, _gain(trial, target)))
        ordered = self.survival(merge_repeats(list(members.values())))
        self._population = ordered[: self.population_size]


def _gain(trial: Trial, target: Trial) -> float:
    """Return by how much a trial beats its target; 1 where there is no common scale."""
    new, old = trial.values or (), target.values or ()
    alike = (trial.state, trial.violation) == (target.state, target.violation)
    if len(new) > 1 or not alike:
        return 1.0
    return finite.limited(old[0] - new[0])
