"""Population-based training: networks that inherit weights and evolve their schedules.

References: Vose et al. (2019), three parents, two for genes and one for weights; Jaderberg et al.
(2017), the classic with one parent; Chebykin et al. (2025), intervals that grow; Ash and Adams
(2020), shrink and perturb; Jolicoeur-Martineau et al., "PopulAtion Parameter Averaging (PAPA)"
(2024), that weights of one origin can be averaged.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from evotune.algorithms.breeding import Birth, Breeding, Population
from evotune.algorithms.generations import Generations
from evotune.algorithms.intervals import GrowingInterval, interval_of
from evotune.algorithms.variation import Variation
from evotune.checks import check_operator, check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.exploitation import Exploitation, exploitation_named
from evotune.evolution.fitness import Fitness, fitness_named
from evotune.evolution.selection import RelativeExponential, Selection, Truncation
from evotune.evolution.survival import best_first
from evotune.protocols import Traits
from evotune.space import Space, needed_space
from evotune.space.crossover import Crossover, Uniform
from evotune.space.designs import Design, design_named
from evotune.space.mutation import Creep, Mutation, Perturb
from evotune.trial import Origin, Proposal, Trial

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
        fitness: By what members are compared: their ``"last"`` values, values ``"smoothed"`` along
            the line of their weights, their rate of ``"improvement"``, or an operator of
            `evotune.evolution.fitness`. The best trial is always the one with the best values.
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
        weights: ``"inherit"``: a child has its donor's weights. ``"kin"``: a second donor is drawn
            as the first was, and where the lines of their weights had a common ancestor, the child
            has the mean of both: of the weights, of the optimizer's state, and of whatever else is
            kept. Weights of strangers lie in different valleys and are not averaged, unless with
            ``"pairs"``: the mean of two donors, whoever they are.
        genes: ``"parents"``: those of one or two drawn parents. ``"own"``: the first parent is the
            member that the child replaces, which gets other weights only; the second one is, with
            ``parents=2``, the donor of these.
        kinship: How many selections back that ancestor may be; for ``weights="kin"``.
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
        weights: Literal["inherit", "kin", "pairs"] = "inherit",
        kinship: int = 3,
        genes: Literal["parents", "own"] = "parents",
        fitness: str | Fitness = "last",
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
            weights=weights,
            own_genes=genes == "own",
        )
        self.weights, self.kinship, self.genes = weights, kinship, genes
        self._population = Population(fitness_named(fitness))
        self.variation = Variation(
            crossover,
            crossover_rate=0.0 if classic else 1.0,
            mutation=mutation or (Perturb() if classic else Creep(0.5)),
        )
        self._schedule = interval_of(interval)
        self._check()
        self._generations = Generations(space, design_named(start), seeds, population_size)
        self._redraw = None
        if self._schedule.models:
            from evotune.algorithms.redraw import Redraw  # scipy takes a second to load

            self._redraw = Redraw(space)
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
            ("fitness", self._population.fitness, '"smoothed"'),
        ):
            check_operator(name, what, operator, example)
        self.variation.warn_without_chains(name, self.space)
        check_whole(name, "population_size", self.population_size, 2)
        check_whole(name, "networks", how.networks, 1)
        check_whole(name, "kinship", self.kinship, 1)
        if self.weights not in ("inherit", "kin", "pairs"):
            raise AlgorithmError(
                f'{name}: weights is "inherit" (those of one donor), "kin" (the mean of two '
                f'whose lines had a common ancestor) or "pairs" (of any two), got {self.weights!r}'
            )
        if self.genes not in ("parents", "own"):
            raise AlgorithmError(f'{name}: genes is "parents" or "own", got {self.genes!r}')
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
        if how.both_children and how.own_genes:
            raise AlgorithmError(
                f'{name}: both_children swaps the parents, and with genes="own" the first one is '
                "the member itself; leave one of them out"
            )
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
            f"networks={how.networks}, weights={self.weights!r}, kinship={self.kinship}, "
            f"genes={self.genes!r}, fitness={self._population.fitness})"
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
        """The members' latest trials that have weights, best first by fitness."""
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
            named = (trial for birth in births for trial in (*birth.donors, *birth.kin))
            needed.update(trial.number for trial in named if trial is not None)
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
        if kin := self._kin(birth, numbers):
            inherit["kin"] = kin
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

    def _kin(self, birth: Birth, donors: Sequence[int]) -> list[int | None]:
        """Return the second donors whose weights can be read; an empty list where there is none."""
        found = [
            None if other is None or other.number in {*self._lost, number} else other.number
            for number, other in zip(donors, birth.kin, strict=False)
        ]
        return found if any(number is not None for number in found) else []

    def _genes(
        self, birth: Birth, seed: int, rng: np.random.Generator
    ) -> tuple[dict[str, Any], tuple[int, ...]]:
        """Return the genome of a child, and the numbers of its parents."""
        if self._schedule.restarts(self._generations.running.number):
            drawn = self.space.sample(rng) if self._redraw is None else self._redraw.draw(rng)
            return drawn, ()
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
        self._population.trace(trial, self.kinship)
        self._population.look(trial)
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
        self._population.look(trial)
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
        if self._redraw is not None:
            self._redraw.learn(self._population.steps(generation.ended()))
        whole = [t for t in done if t.checkpoint is not None] + self._immigrants
        if whole:
            survivors = self._population.ordered(whole)[: self.population_size]
            self._population.renew(survivors, self.population_size)
            self._immigrants = []
        ranked = self._population.ranked
        self._nothing_kept = bool(done) and not ranked
        self._births = None
        self._schedule.after(generation.number, best_first(ranked))  # by values, not by fitness
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
