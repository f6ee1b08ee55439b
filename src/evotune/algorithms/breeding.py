"""Who is replaced in a population that inherits weights, and by whose genes and weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evotune import finite
from evotune.evolution.exploitation import Exploitation
from evotune.evolution.fitness import LOOKS, Fitness, Last
from evotune.evolution.selection import Array, Selection
from evotune.evolution.survival import best_first, scalar_values
from evotune.trial import Trial


@dataclass(frozen=True, slots=True)
class Birth:
    """How the next trial of a member comes about.

    Attributes:
        member: Its place in the population.
        a: First parent of its genes.
        b: Second parent of its genes.
        donors: Where its weights come from: one trial, or one for each network of an ensemble.
        replaces: True when a child replaces the member's last trial, False when that goes on.
        kin: For each donor a second one of its kin, with whose weights its own are averaged, or
            None; empty where all weights are those of the donors.
    """

    member: int
    a: Trial
    b: Trial
    donors: tuple[Trial, ...]
    replaces: bool
    kin: tuple[Trial | None, ...] = ()


#: Epochs that a line of weights has been trained for, and the values that it then had.
Look = tuple[float, tuple[float, ...]]


@dataclass(slots=True)
class Population:
    """The members' latest trials that have weights.

    Attributes:
        fitness: By what they are compared.
        members: By the member's place.
        ranked: The same, best first by fitness.
        weights_only: Numbers of migrants that bring weights, but no genes.
        lines: By trial, the last trials of the line of its weights, itself first; where weights
            are averaged, the line is that of the first donor.
        looks: By trial that has values, what its line has measured at its last selections, oldest
            first: epochs trained and values.
    """

    fitness: Fitness = field(default_factory=Last)
    members: dict[int, Trial] = field(default_factory=dict)
    ranked: list[Trial] = field(default_factory=list)
    weights_only: set[int] = field(default_factory=set)
    lines: dict[int, tuple[int, ...]] = field(default_factory=dict)
    looks: dict[int, tuple[Look, ...]] = field(default_factory=dict)
    _judged: dict[int, tuple[float, ...]] = field(default_factory=dict)

    @property
    def _by_value(self) -> bool:
        return isinstance(self.fitness, Last)

    def look(self, trial: Trial) -> None:
        """Note what a trial with values has measured, and its fitness."""
        if trial.values is None:
            return
        before = () if trial.weights_from is None else self.looks.get(trial.weights_from, ())
        trained = (before[-1][0] if before else 0.0) + (trial.budget or 1.0)
        self.looks[trial.number] = looks = (*before, (trained, trial.values))[-LOOKS:]
        if not self._by_value:
            epochs, values = zip(*looks, strict=True)
            fitness = self.fitness(finite.near(values), np.array(epochs))
            self._judged[trial.number] = tuple(fitness.tolist())

    def steps(self, trials: Sequence[Trial]) -> list[tuple[Trial, tuple[float, ...]]]:
        """Return each trial that went on with weights of known values, with these values."""
        found = ((t, self.looks.get(t.weights_from)) for t in trials if t.weights_from is not None)
        return [(trial, looks[-1][1]) for trial, looks in found if looks]

    def ordered(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return trials best first by fitness; equally fit ones by their values."""
        by_value = best_first(trials)
        if self._by_value:
            return by_value
        judged = [
            replace(t, number=k, values=self._judged[t.number]) for k, t in enumerate(by_value)
        ]
        return [by_value[trial.number] for trial in best_first(judged)]

    def scalars(self, pool: Sequence[Trial]) -> Array:
        """Return one minimised number per trial, best first, for selection."""
        if self._by_value:
            return scalar_values(pool)
        fitness = scalar_values([replace(t, values=self._judged[t.number]) for t in pool])
        return fitness if np.ptp(fitness) > 0 else scalar_values(pool)

    def trace(self, trial: Trial, back: int) -> None:
        """Note whose weights a trial goes on with, so many selections back."""
        before = () if trial.weights_from is None else self.lines.get(trial.weights_from, ())
        self.lines[trial.number] = (trial.number, *before)[: back + 1]

    def are_kin(self, a: Trial, b: Trial) -> bool:
        """Return whether two trials have different weights of lines with a common ancestor."""
        of_a, of_b = (self.lines.get(t.number, (t.number,)) for t in (a, b))
        return a.number != b.number and not set(of_a).isdisjoint(of_b)

    @property
    def fertile(self) -> list[Trial]:
        """Those that may be parents of genes, best first; all when no native is left."""
        return [t for t in self.ranked if t.number not in self.weights_only] or self.ranked

    def genes_of(self, trial: Trial) -> Trial:
        """Return whose genes a trial goes on with: itself, or the best native for a migrant."""
        return self.fertile[0] if trial.number in self.weights_only else trial

    def renew(self, survivors: list[Trial], size: int) -> None:
        """Become the survivors, each in a place of its own: the one that it had, if it is free."""
        self.ranked = survivors
        self.members, homeless = {}, []
        for trial in survivors:
            member = trial.note.get("member", size)
            if member < size and member not in self.members:
                self.members[member] = trial
            else:
                homeless.append(trial)
        free = (k for k in range(size) if k not in self.members)
        self.members.update(zip(free, homeless, strict=False))

    def settle(self, member: int, trial: Trial | None) -> None:
        """Put a trial in a member's place; None leaves the place empty."""
        if trial is None:
            self.members.pop(member, None)
        else:
            self.members[member] = trial
        self.ranked = self.ordered(list(self.members.values()))

    def oust(self, immigrant: Trial) -> None:
        """Let an immigrant take the place of the worst member, if it is better."""
        if not self.ranked:
            self.settle(0, immigrant)
            return
        worst = self.ordered([*self.ranked, immigrant])[-1]
        for member, trial in list(self.members.items()):
            if trial is worst:
                self.settle(member, immigrant)


@dataclass(frozen=True, slots=True)
class Breeding:
    """The rules by which births are drawn; see `PopulationBasedTraining` for each.

    Attributes:
        parents: 3, 2 or 1.
        selection: Who becomes a parent.
        exploit: Who is replaced.
        elitism: How many of the best are never replaced.
        both_children: Every two births share their parents, in swapped roles.
        networks: Networks of a member.
        weights: ``"inherit"``, or what is averaged: ``"kin"`` or ``"pairs"``.
        own_genes: The first parent of a child's genes is the member that it replaces.
    """

    parents: int
    selection: Selection
    exploit: Exploitation
    elitism: int
    both_children: bool
    networks: int
    weights: str = "inherit"
    own_genes: bool = False

    def births(
        self,
        population: Population,
        members: Sequence[int],
        rng: np.random.Generator,
        age: int,
    ) -> list[Birth]:
        """Draw the next births of these members.

        All at once, because a selection such as universal sampling needs the whole plan.

        Args:
            population: Those who may be parents.
            members: Whose next trial is drawn.
            rng: Random stream of the draw.
            age: Number of the generation.
        """
        genes, weights = (
            self._pairs(pool, population.scalars(pool), len(members), rng, age)
            for pool in (population.fertile, population.ranked)
        )
        births = [
            self._birth(population, member, genes[k], weights[k], rng)
            for k, member in enumerate(members)
        ]
        if self.both_children:
            births = [
                replace(birth, a=births[k - 1].b, b=births[k - 1].a) if k % 2 else birth
                for k, birth in enumerate(births)
            ]
        return births

    def _pairs(
        self, pool: list[Trial], values: Array, count: int, rng: np.random.Generator, age: int
    ) -> list[tuple[Trial, Trial]]:
        places = self.selection(values, 2 * count, rng, age).tolist()
        return [(pool[places[2 * k]], pool[places[2 * k + 1]]) for k in range(count)]

    def _birth(
        self,
        population: Population,
        member: int,
        genes: tuple[Trial, Trial],
        weights: tuple[Trial, Trial],
        rng: np.random.Generator,
    ) -> Birth:
        own = population.members.get(member)
        if own is not None and not self._gives_way(population, own, rng):
            same = population.genes_of(own)
            return Birth(member, same, same, (own,) * self.networks, replaces=False)
        (a, b), (donor, second) = genes, weights
        if self.own_genes and own is not None:
            a = population.genes_of(own)
            b = population.genes_of(donor) if self.parents == 2 else b
        elif self.parents < 3 and donor.number not in population.weights_only:
            a = donor
        elif self.parents == 1 and own is not None:
            a = population.genes_of(own)  # a migrant's weights only
        if self.parents == 1:
            b = a
        donors: tuple[Trial, ...] = (donor,)
        others: tuple[Trial, ...] = (second,)
        if self.networks > 1:
            first = (rng.random(self.networks) < 0.5).tolist()
            donors = tuple(donor if yes else second for yes in first)
            others = tuple(second if yes else donor for yes in first)
        kin: tuple[Trial | None, ...] = ()
        if self._averages(population, donor, second):
            kin = others
        return Birth(member, a, b, donors, replaces=True, kin=kin)

    def _averages(self, population: Population, donor: Trial, second: Trial) -> bool:
        if self.weights == "pairs":
            return donor.number != second.number
        return self.weights == "kin" and population.are_kin(donor, second)

    def _gives_way(self, population: Population, own: Trial, rng: np.random.Generator) -> bool:
        ranked = population.ranked
        rank = next(k for k, trial in enumerate(ranked) if trial.number == own.number)
        return self.exploit(rank, len(ranked), rng) and rank >= self.elitism
