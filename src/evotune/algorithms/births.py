"""Who is replaced in population-based training, and by whose child."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evotune.evolution.exploitation import Exploitation
from evotune.evolution.selection import Selection
from evotune.evolution.survival import best_first, scalar_values
from evotune.trial import Trial


@dataclass(frozen=True, slots=True)
class Birth:
    """How the next trial of a member comes about.

    Attributes:
        member: Its place in the population.
        a: Its genes come from this trial ...
        b: ... and from this one.
        donors: Where its weights come from: one trial, or one for each network of an ensemble.
        replaces: The member's last trial gives way to a child; False when it just goes on.
    """

    member: int
    a: Trial
    b: Trial
    donors: tuple[Trial, ...]
    replaces: bool


@dataclass(slots=True)
class Population:
    """The members' latest trials that have weights.

    Attributes:
        members: By the member's place.
        ranked: The same, best first.
        weights_only: Numbers of migrants that bring weights, but no genes.
    """

    members: dict[int, Trial] = field(default_factory=dict)
    ranked: list[Trial] = field(default_factory=list)
    weights_only: set[int] = field(default_factory=set)

    @property
    def fertile(self) -> list[Trial]:
        """Those that may be parents of genes, best first; all when there is no native left."""
        return [t for t in self.ranked if t.number not in self.weights_only] or self.ranked

    def genes_of(self, trial: Trial) -> Trial:
        """Return whose genes a trial goes on with: its own, or the best native's for a migrant."""
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
        self.ranked = best_first(list(self.members.values()))

    def oust(self, immigrant: Trial) -> None:
        """Let an immigrant take the place of the worst member, if it is better."""
        if not self.ranked:
            self.settle(0, immigrant)
            return
        worst = best_first([*self.ranked, immigrant])[-1]
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
        elitism: How many of the best are not.
        both_children: Every two births share their parents, the other way round.
        networks: Networks of a member.
    """

    parents: int
    selection: Selection
    exploit: Exploitation
    elitism: int
    both_children: bool
    networks: int

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
            self._pairs(pool, len(members), rng, age)
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
        self, pool: list[Trial], count: int, rng: np.random.Generator, age: int
    ) -> list[tuple[Trial, Trial]]:
        places = self.selection(scalar_values(pool), 2 * count, rng, age).tolist()
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
        if self.parents < 3 and donor.number not in population.weights_only:
            a = donor
        elif self.parents == 1 and own is not None:
            a = population.genes_of(own)  # a migrant's weights only
        if self.parents == 1:
            b = a
        donors: tuple[Trial, ...] = (donor,)
        if self.networks > 1:
            first = rng.random(self.networks) < 0.5
            donors = tuple(donor if yes else second for yes in first.tolist())
        return Birth(member, a, b, donors, replaces=True)

    def _gives_way(self, population: Population, own: Trial, rng: np.random.Generator) -> bool:
        ranked = population.ranked
        rank = next(k for k, trial in enumerate(ranked) if trial.number == own.number)
        return self.exploit(rank, len(ranked), rng) and rank >= self.elitism
