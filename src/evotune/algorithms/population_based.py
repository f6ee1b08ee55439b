"""Population-based training: networks that inherit weights and evolve their schedules.

References: Vose et al. (2019), three parents, two for genes and one for weights; Jaderberg et al.
(2017), the classic with one parent; Chebykin et al. (2025), intervals that grow; Ash and Adams
(2020), shrink and perturb.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from evotune.algorithms.generations import Generations
from evotune.algorithms.variation import Variation
from evotune.checks import check_operator, check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.exploitation import Exploitation, exploitation_named
from evotune.evolution.selection import RelativeExponential, Selection, Truncation
from evotune.evolution.survival import best_first, scalar_values
from evotune.protocols import Traits
from evotune.space import Space, needed_space
from evotune.space.crossover import Crossover, Uniform
from evotune.space.designs import Design, design_named
from evotune.space.mutation import Creep, Mutation, Perturb
from evotune.trial import Origin, Proposal, Trial


class Interval(Protocol):
    """Epochs of the running generation."""

    @property
    def epochs(self) -> int: ...

    def after(self, generation: int, population: Sequence[Trial]) -> None:
        """Record the population that a generation has left, best first."""

    def restarts(self, generation: int) -> bool:
        """Return whether the children of a generation get new genes."""


@dataclass(frozen=True, slots=True)
class FixedInterval:
    """The same number of epochs each time.

    Args:
        epochs: From 1 up.
    """

    epochs: int = 1

    def __post_init__(self) -> None:
        check_whole("PopulationBasedTraining", "interval", self.epochs, 1)

    def __str__(self) -> str:
        return str(self.epochs)

    def after(self, generation: int, population: Sequence[Trial]) -> None: ...

    def restarts(self, generation: int) -> bool:
        return False


@dataclass(slots=True)
class GrowingInterval:
    """An interval that grows when the population stagnates.

    A short interval is greedy: it prefers what helps at once. A population that stagnates is given
    more time (IPBT: Chebykin, Alderliesten and Bosman, 2025, whose restarts draw new genes from a
    Bayesian model; here they are drawn at random).

    Args:
        initial: Epochs at the beginning.
        factor: By how much the interval grows.
        patience: Generations without improvement after which it grows.
        at_most: Largest interval, in epochs; None is no limit.
        restart: After it has grown, the children of one generation get new genes.
    """

    initial: int = 1
    factor: int = 2
    patience: int = 3
    at_most: int | None = None
    restart: bool = False
    epochs: int = field(init=False)
    _best: tuple[float, tuple[float, ...]] | None = field(default=None, init=False, repr=False)
    _idle: int = field(default=0, init=False, repr=False)
    _restarting: int | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("initial", "patience"):
            check_whole("GrowingInterval", name, getattr(self, name), 1)
        check_whole("GrowingInterval", "factor", self.factor, 2)
        if self.at_most is not None:
            check_whole("GrowingInterval", "at_most", self.at_most, self.initial)
        self.epochs = self.initial

    def fresh(self) -> "GrowingInterval":
        """Return a new interval with the same settings and no history."""
        return GrowingInterval(self.initial, self.factor, self.patience, self.at_most, self.restart)

    def after(self, generation: int, population: Sequence[Trial]) -> None:
        """Grow when ``patience`` generations have brought nothing better."""
        if not population:
            return
        best = (population[0].violation, population[0].values or ())
        if self._best is None or best < self._best:
            self._best, self._idle = best, 0
            return
        self._idle += 1
        if self._idle >= self.patience:
            longer = self.epochs * self.factor
            self.epochs = longer if self.at_most is None else min(longer, self.at_most)
            self._idle = 0
            self._restarting = generation + 1

    def restarts(self, generation: int) -> bool:
        """See `Interval.restarts`."""
        return self.restart and generation == self._restarting


def interval_of(given: Any) -> Interval:
    """Return the interval that a user means: epochs, ``"auto"``, or a `GrowingInterval`.

    Raises:
        AlgorithmError: It is none of these.
    """
    if isinstance(given, GrowingInterval):
        return given.fresh()
    if isinstance(given, str):
        if given == "auto":
            return GrowingInterval()
        raise AlgorithmError(
            'PopulationBasedTraining: interval is a number of epochs, "auto" or '
            f"GrowingInterval(...), got {given!r}"
        )
    return FixedInterval(given)


@dataclass(frozen=True, slots=True)
class Birth:
    """How the next trial of a member comes about.

    Attributes:
        member: Its place in the population.
        a: First parent of its genes.
        b: Second parent of its genes.
        donors: Where its weights come from: one trial, or one for each network of an ensemble.
        replaces: True when a child replaces the member's last trial, False when that goes on.
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
        elitism: How many of the best are never replaced.
        both_children: Every two births share their parents, in swapped roles.
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


#: How many of the best keep their weights to the end of a generation, for children whose donor's
#: cannot be read.
STAND_INS = 2


class PopulationBasedTraining:
    """Trains a population in parallel; members inherit weights and genes from better ones.

    Each trial trains one member for an interval of epochs. Between two intervals some members are
    replaced by children. The genes of a child are ``mutation(crossover(a, b))``; its weights are
    those of a third parent, drawn independently (Vose et al., 2019, figure 3).

    The evaluate function calls ``trial.resume(...)``, trains for ``trial.epochs()`` and ends with
    ``trial.keep(...)``; a `SupervisedTask` does so by itself. Say how long with
    ``study.run(train, epochs=20)``. Where a template such as `image_classifier` builds the network,
    its layers may change along a line of weights; of other models, genes that change the shapes of
    weights cannot: keep them `Fixed`.

    Args:
        space: What may be scheduled.
        population_size: Members.
        interval: Epochs between two selections; or ``GrowingInterval(...)``, or ``"auto"`` for one
            that doubles whenever the population stagnates.
        parents: 3 as in the paper; 2 takes the weights from the first parent of the genes; 1 copies
            genes and weights from one better member and mutates the genes, the classic.
        selection: Who becomes a parent; by default in proportion to exp(−σ²·relative value), with
            one parent from the best quarter.
        crossover: How two parents' genes combine; `Segment` is the paper's other kind.
        mutation: How a child's genes change; by default the four-way creep on one gene in two,
            with one parent the classic ×0.8 or ×1.2.
        exploit: Who is replaced: ``"everyone"`` (the default), ``"quantile"`` (the worst
            quarter; the default with one parent), ``"binary"`` (who loses against a random
            member), or an operator of `evotune.evolution.exploitation`.
        elitism: How many of the best members go on unchanged whatever ``exploit`` decides.
        asynchronous: No member waits for the others: each is compared with their latest results.
            Each member trains for the epochs of the run, however long its inherited weights were
            trained, so that a line of weights may have more or fewer epochs.
        both_children: Train both children of each crossover, and let the better half live (Vose
            et al., 2019, section 6.1).
        shrink_perturb: (shrink, perturb): a child's weights become shrink·inherited +
            perturb·fresh.
        networks: Networks in each member's ensemble, whose predictions are averaged; a child takes
            some from each of two donors (ploidy: Vose et al., 2019, section 6.3). The task must
            build them: ``trial.networks``.
        start: ``"latin_hypercube"``, ``"sobol"``, ``"random"``, or a design of your own.
        seeds: Genomes, or params, that the first generation begins with.

    Raises:
        AlgorithmError: A number out of bounds, or options that exclude each other.
        GenomeError: A seed genome lies outside the space.
    """

    def __init__(  # noqa: PLR0913  (each option stands alone; users see them as keywords)
        self,
        space: Space,
        *,
        population_size: int = 16,
        interval: int | Literal["auto"] | GrowingInterval = 1,
        parents: int = 3,
        selection: Selection | None = None,
        crossover: Crossover = Uniform(0.33),
        mutation: Mutation | None = None,
        exploit: str | Exploitation | None = None,
        elitism: int = 0,
        asynchronous: bool = False,
        both_children: bool = False,
        shrink_perturb: tuple[float, float] | None = None,
        networks: int = 1,
        start: str | Design = "latin_hypercube",
        seeds: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        classic = parents == 1
        self.space = needed_space(space)
        self.population_size = population_size
        self.asynchronous = asynchronous
        self.shrink_perturb = shrink_perturb
        self.breeding = Breeding(
            parents,
            selection or (Truncation(0.25) if classic else RelativeExponential()),
            exploitation_named(exploit or ("quantile" if classic else "everyone")),
            elitism,
            both_children,
            networks,
        )
        self.variation = Variation(
            crossover,
            crossover_rate=0.0 if classic else 1.0,
            mutation=mutation or (Perturb() if classic else Creep(0.5)),
        )
        self._schedule = interval_of(interval)
        self._check()
        self._generations = Generations(space, design_named(start), seeds, population_size)
        self._population = Population()
        self._busy: dict[int, int] = {}  # member -> its running trial
        self._clock: dict[int, float] = {}  # member -> epochs that it has trained
        self._lost: set[int] = set()  # donors whose weights could not be read
        self._immigrants: list[Trial] = []
        self._births: tuple[int, list[Birth]] | None = None  # (seed, those of the generation)
        self._nothing_kept = False

    def _check(self) -> None:
        name, how = type(self).__name__, self.breeding
        for what, operator, example in (
            ("selection", how.selection, "selection.RelativeExponential(4.0)"),
            ("crossover", self.variation.crossover, "crossover.Uniform(0.33)"),
            ("mutation", self.variation.mutation, "mutation.Creep(0.5)"),
            ("exploit", how.exploit, '"quantile"'),
        ):
            check_operator(name, what, operator, example)
        self.variation.warn_without_chains(name, self.space)
        check_whole(name, "population_size", self.population_size, 2)
        check_whole(name, "networks", how.networks, 1)
        check_whole(name, "elitism", how.elitism, 0)
        if how.parents not in (1, 2, 3):
            raise AlgorithmError(
                f"{name}: parents is 3 (two for genes, one for weights), 2 or 1, "
                f"got {how.parents!r}"
            )
        if how.elitism >= self.population_size:
            raise AlgorithmError(
                f"{name}: elitism must be below population_size={self.population_size}, or nobody "
                f"would ever be replaced; got {how.elitism}"
            )
        if self.asynchronous and (how.both_children or isinstance(self._schedule, GrowingInterval)):
            raise AlgorithmError(
                f"{name}: both_children and a growing interval need generations; leave "
                "asynchronous out"
            )
        if how.both_children and how.parents == 1:
            raise AlgorithmError(f"{name}: both_children needs two parents; write parents=3")
        if self.shrink_perturb is not None:
            _check_shrink(name, self.shrink_perturb)

    def __repr__(self) -> str:
        how = self.breeding
        return (
            f"PopulationBasedTraining(population_size={self.population_size}, "
            f"interval={self._schedule}, parents={how.parents}, selection={how.selection}, "
            f"crossover={self.variation.crossover}, mutation={self.variation.mutation}, "
            f"exploit={how.exploit}, elitism={how.elitism}, asynchronous={self.asynchronous}, "
            f"both_children={how.both_children}, shrink_perturb={self.shrink_perturb}, "
            f"networks={how.networks})"
        )

    @property
    def traits(self) -> Traits:
        """Not generational if asynchronous: then each result counts at once."""
        return Traits(
            generational=not self.asynchronous,
            inherits=True,
            population_size=self.population_size,
            interval=self.interval,
            generations=True,
            seeds=self._generations.late_seeds,
        )

    @property
    def interval(self) -> int:
        """Epochs that a trial adds now."""
        return self._schedule.epochs

    @property
    def population(self) -> tuple[Trial, ...]:
        """The members' latest trials that have weights, best first."""
        return tuple(self._population.ranked)

    def donors(self) -> Collection[int]:
        """Return the trials whose weights a child may still ask for."""
        generation, ranked = self._generations.running, self._population.ranked
        needed = {trial.number for trial in self._immigrants}
        needed.update(self._busy.values())
        if self.asynchronous:
            return needed.union(trial.number for trial in ranked)
        done = [t.number for t in generation.done() if t.checkpoint is not None]
        needed.update(done)
        if generation.seed is None or not done:  # all may be chosen, or once more if all fail
            needed.update(trial.number for trial in ranked)
        elif ranked:
            births = self._plan(generation.seed)[generation.started :]
            needed.update(donor.number for birth in births for donor in birth.donors)
            if births:
                needed.update(trial.number for trial in ranked[:STAND_INS])
        return needed

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose the next step of a member; None while it must wait for the others.

        Raises:
            AlgorithmError: No finished trial has kept its weights, or none can be read any more.
        """
        if self._nothing_kept:
            raise AlgorithmError(
                "PopulationBasedTraining: trials are done, but none has kept its weights, so "
                "there is nothing to inherit; end the evaluate function with "
                "trial.keep(model=model, optimizer=optimizer), and begin it with "
                "trial.resume(model=model, optimizer=optimizer)"
            )
        generation = self._generations.running
        if generation.number == 0 or not self._population.ranked:
            return self._founder(rng)
        seed = generation.draw_seed(rng)
        if self.asynchronous:
            birth = self._least_trained(rng)
        elif generation.is_full:
            birth = None
        else:
            birth = self._plan(seed)[generation.started]
        return None if birth is None else self._child(birth, seed, rng)

    def _founder(self, rng: np.random.Generator) -> Proposal | None:
        """Return a member with fresh weights."""
        generation = self._generations.running
        if self.asynchronous and generation.number > 0:  # all the first ones have failed
            idle = (k for k in range(self.population_size) if k not in self._busy)
            member = next(idle, None)
            if member is None:
                return None
            seed = generation.draw_seed(rng)
            proposal = generation.stamp(Proposal(self.space.sample(rng)), seed)
        elif generation.is_full:
            return None
        else:
            member = generation.started
            proposal = self._generations.newcomer(rng)
        networks = self.breeding.networks
        return replace(
            proposal,
            budget=float(self.interval),
            inherit={"networks": [None] * networks} if networks > 1 else {},
            origin=replace(proposal.origin, member=member),
            note={**proposal.note, "member": member},
        )

    def _plan(self, seed: int) -> list[Birth]:
        """Return the births of the running generation, all drawn at once from its seed."""
        if self._births is None or self._births[0] != seed:
            rng, generation = np.random.default_rng(seed), self._generations.running
            members = range(generation.size)
            births = self.breeding.births(self._population, members, rng, generation.number)
            self._births = (seed, births)
        return self._births[1]

    def _least_trained(self, rng: np.random.Generator) -> Birth | None:
        """Return the next step of the idle member that has trained for the least time."""
        idle = [k for k in range(self.population_size) if k not in self._busy]
        if not idle:
            return None
        member = min(idle, key=lambda k: (self._clock.get(k, 0.0), k))
        return self.breeding.births(self._population, [member], rng, 0)[0]

    def _child(self, birth: Birth, seed: int, rng: np.random.Generator) -> Proposal:
        own = self._population.members.get(birth.member)
        origin = Origin(generation=self._generations.running.number, member=birth.member)
        if self.asynchronous:  # each member counts its own
            before = 0 if own is None else own.note.get("generation", 0)
            origin = replace(origin, generation=before + 1)
        genome = dict(birth.a.genome)
        parents: tuple[int, ...] = (birth.a.number,)
        if birth.replaces:
            genome, parents = self._genes(birth, seed, rng)
            replaced = None if own is None else own.number
            origin = replace(origin, replaces=replaced, mutated=self._mutated(genome, birth))
        donors = [self._readable(donor) for donor in birth.donors]
        numbers = [donor.number for donor in donors]
        inherit: dict[str, Any] = {"networks": numbers} if len(numbers) > 1 else {}
        if birth.replaces and self.shrink_perturb is not None:
            inherit["shrink"], inherit["perturb"] = self.shrink_perturb
        return Proposal(
            genome,
            float(self.interval),
            weights_from=numbers[0],
            clock=self._clock.get(birth.member, 0.0) if self.asynchronous else None,
            inherit=inherit,
            parents=parents,
            origin=origin,
            note={"generation": origin.generation, "seed": seed, "member": birth.member},
        )

    def _genes(
        self, birth: Birth, seed: int, rng: np.random.Generator
    ) -> tuple[dict[str, Any], tuple[int, ...]]:
        """Return the genome of a child, and the numbers of its parents."""
        if self._schedule.restarts(self._generations.running.number):
            return self.space.sample(rng), ()
        pair = None
        if self.breeding.both_children:
            pair = np.random.default_rng((seed, birth.member // 2))
        child = self.variation.child(self.space, birth.a, birth.b, rng, pair)
        return dict(child.genome), child.parents

    def _mutated(self, genome: Mapping[str, Any], birth: Birth) -> tuple[str, ...]:
        """Return the genes that have neither parent's value, so that mutation changed them."""
        a, b = birth.a.genome, birth.b.genome
        return tuple(n for n in self.space.variable if genome[n] not in (a.get(n), b.get(n)))

    def _readable(self, donor: Trial) -> Trial:
        """Return a donor, or the next best one when its weights could not be read."""
        if donor.number not in self._lost:
            return donor
        kept = self.donors()
        for trial in self._population.ranked:
            if trial.number in kept and trial.number not in self._lost:
                return trial
        raise AlgorithmError(
            "PopulationBasedTraining: the weights of the whole population can no longer be read, "
            "so it cannot go on; the failed trials say why. Put the files back where they were "
            "(checkpoints=...), or begin a new study"
        )

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Record a trial; the last one of a generation makes the next population."""
        member = trial.note.get("member")
        if member is None or "generation" not in trial.note:
            self._welcome(trial)
            return
        if trial.failure is not None and trial.failure.donor is not None:
            self._lost.add(trial.failure.donor)
        if trial.has_ended:
            self._busy.pop(member, None)
            self._clock[member] = self._clock.get(member, 0.0) + (trial.budget or 0.0)
        else:
            self._busy[member] = trial.number
        running = self._generations.running
        if running.owns(trial):
            running.tell(trial, self.space.key(trial.genome))
        if self.asynchronous:
            self._tell_one(member, trial)
        elif running.is_complete:
            self._next_generation()

    def _welcome(self, trial: Trial) -> None:
        """Take in a trial from elsewhere, as a donor and, unless it says otherwise, a parent."""
        if not trial.is_done or trial.checkpoint is None:
            return
        if trial.note.get("migrant") == "weights":
            self._population.weights_only.add(trial.number)
        if self.asynchronous:
            self._population.oust(trial)
        else:
            self._immigrants.append(trial)

    def _tell_one(self, member: int, trial: Trial) -> None:
        generation = self._generations.running
        if generation.number == 0 and generation.is_full:
            self._generations.end(self.population_size)
        if not trial.has_ended:
            return
        whole = trial.is_done and trial.checkpoint is not None
        self._population.settle(member, trial if whole else None)
        all_founded = self._generations.running.number > 0 and not self._busy
        self._nothing_kept = trial.is_done and all_founded and not self._population.ranked

    def _next_generation(self) -> None:
        generation = self._generations.running
        done = generation.done()
        whole = [t for t in done if t.checkpoint is not None] + self._immigrants
        if whole:
            survivors = best_first(whole)[: self.population_size]
            self._population.renew(survivors, self.population_size)
            self._immigrants = []
        ranked = self._population.ranked
        self._nothing_kept = bool(done) and not ranked
        self._births = None
        self._schedule.after(generation.number, ranked)
        twice = self.breeding.both_children and ranked
        size = self.population_size * (2 if twice else 1)
        self._generations.end(size)


def _check_shrink(name: str, given: Any) -> None:
    fits = isinstance(given, tuple | list) and len(given) == 2
    if not fits or not (0 <= given[0] <= 1 and given[1] >= 0):
        raise AlgorithmError(
            f"{name}: shrink_perturb is (shrink, perturb), shrink in [0, 1] and perturb from 0 up, "
            f"such as (0.4, 0.1); got {given!r}"
        )
