"""Islands: several algorithms side by side that send each other their best trials.

References: Tanese (1989); the demes of Vose et al. (2019), section 6.2 and figure 14; for islands
that select at different intervals, Multiple-Frequencies Population-Based Training (Doulazmi et al.,
2025).
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from evotune.algorithms.phases import Phases
from evotune.algorithms.wrapping import check_algorithm, disowned, unwrap, wrap
from evotune.checks import check_whole
from evotune.errors import AlgorithmError
from evotune.evolution.survival import best_first
from evotune.evolution.topology import Topology, find_topology
from evotune.protocols import Algorithm, Duplicates, Genome, Traits
from evotune.space.space import difference
from evotune.trial import NOWHERE, Proposal, Trial

#: Trials that count as a generation of an algorithm that has no population.
GENERATION = 10


class _Island:
    """One algorithm, and how far it has come.

    Time is counted in epochs where its proposals have a budget, in generations where they have
    none. A trial runs from the time at which its generation begins to that at which it ends.

    Attributes:
        next: Time at which its next trial begins; ``inf`` once it has nothing more to propose.
            It follows from which trials have started, never from the order in which they ended.
        done: How far its ended trials have brought it, where islands do not wait for each other.
        due: Value of ``done`` at which it next sends its best trials.
        running: Numbers of its trials that have started and not ended.
        recent: Its done trials since it has last sent its best.
    """

    def __init__(self, algorithm: Algorithm, every: float) -> None:
        self.algorithm = algorithm
        self.size = algorithm.traits.population_size or GENERATION
        self.next = 0.0
        self.done = 0.0
        self.due = every
        self.running: set[int] = set()
        self.recent: list[Trial] = []
        self._started = 0
        self._is_full = False

    def tell(self, trial: Trial, *, generational: bool) -> None:
        """Record one of its own trials, its note already unwrapped."""
        starts = trial.number not in self.running
        if starts:
            self._started += 1
            self.running.add(trial.number)
        if trial.has_ended:
            self.running.discard(trial.number)
        if trial.is_done:
            self.recent.append(trial)
        self.algorithm.tell(trial)
        if not generational:
            self._count(trial, starts)
        elif isinstance(self.algorithm, Islands):  # nested islands know it themselves
            self.next = self.algorithm.clock
        elif starts:
            self._look_ahead(trial)
        if self._is_full and not self.running and self._is_exhausted():
            self.next = math.inf

    def _count(self, trial: Trial, starts: bool) -> None:
        share = _length(trial) / self.size
        self.next += share if starts else 0.0
        self.done += share if trial.has_ended else 0.0

    def _look_ahead(self, trial: Trial) -> None:
        """Find out whether the trial that has just started was the last of its generation.

        As it still runs, the answer depends on what has started only: an algorithm whose
        generation is full proposes nothing.
        """
        following = self.algorithm.ask(np.random.default_rng(0))
        if following is None:
            self._is_full = True
        elif trial.origin.generation is not None:
            self._is_full = following.origin.generation != trial.origin.generation
        else:
            self._is_full = self._started % self.size == 0
        if self._is_full:
            self.next += _length(trial)

    def _is_exhausted(self) -> bool:
        try:
            return self.algorithm.ask(np.random.default_rng(0)) is None
        except AlgorithmError:  # the next ask raises it again
            return False

    def emigrants(self, count: int) -> list[Trial]:
        """Return the best of its recent trials whose weights, if any are inherited, still exist."""
        donors = self.algorithm.donors()
        able = [t for t in self.recent if not donors or t.number in donors]
        self.recent = []
        return best_first(able)[:count]


class Islands:
    """Several algorithms on one space, independent except for migration.

    Every ``every`` generations each island tells its neighbours of its best trials since the last
    time, as if these had been tried there. Islands keep in step: the one furthest behind goes next,
    by generations, or by epochs where its proposals have a budget, so that islands of
    population-based training with intervals of 1, 2 and 4 epochs spend the same number of epochs.

    If all algorithms are generational, so are their islands: at a migration no island begins a new
    generation before all have completed the last one. If one is not, or is made of phases, no
    island waits: each sends its best whenever its own trials amount to ``every`` generations.
    Without a population, ten trials count as a generation.

    Args:
        algorithms: Two or more new algorithms on the same space, islands too.
        topology: Who sends to whom: ``"ring"``, ``"star"``, ``"full"``, ``"grid"``, or a
            callable ``(n) -> neighbours``, see `evotune.evolution.topology`.
        every: Generations between two migrations; epochs for proposals that have a budget.
        send: How many trials an island sends to each neighbour.
        asymmetric: For population-based training with different intervals. A migrant from a
            steadier island (a longer interval) brings weights and genes, any other one its weights
            only: genes with short-term gains must not displace those with long-term gains (Doulazmi
            et al., 2025; there each member of the third quarter gives way to the next best one of
            all other populations if that is better, here migrants enter the receiver's pool).

    Raises:
        AlgorithmError: Fewer than two algorithms, one given twice, different spaces, an unknown
            topology, a number out of bounds, or asymmetric migration of algorithms that have no
            interval.

    Attributes:
        space: The space that all search.
        algorithms: The algorithms, by island.
        neighbours: Where each island sends to.
    """

    def __init__(
        self,
        algorithms: Sequence[Algorithm],
        *,
        topology: str | Topology = "ring",
        every: int = 5,
        send: int = 1,
        asymmetric: bool = False,
    ) -> None:
        _check(algorithms, asymmetric)
        check_whole("Islands", "every", every, 1)
        check_whole("Islands", "send", send, 1)
        _check_intervals(algorithms, every)
        self.algorithms = tuple(algorithms)
        self.space = self.algorithms[0].space
        self.neighbours = find_topology(topology, len(self.algorithms))
        self.every = every
        self.send = send
        self.asymmetric = asymmetric
        # What is generational may change where one algorithm follows another.
        fixed = not any(isinstance(algorithm, Phases) for algorithm in self.algorithms)
        self._islands = [_Island(algorithm, every) for algorithm in self.algorithms]
        traits = [algorithm.traits for algorithm in self.algorithms]
        heirs = [each for each in traits if each.inherits]
        newcomers = bool(heirs) and all(each.newcomers for each in heirs)
        self._traits = Traits(
            generational=fixed and all(each.generational for each in traits),
            inherits=any(each.inherits for each in traits),
            duplicates=_duplicates(self.algorithms),
            population_size=sum(island.size for island in self._islands),
            generations=all(each.generations for each in traits),
            budgets=tuple(sorted({b for each in traits if newcomers for b in each.budgets})),
            newcomers=newcomers,
            heed=self._heed,
        )
        self._due = float(every)  # time of the next migration that all wait for

    def _heed(self, fit: Callable[[Genome], Genome] | None) -> None:
        for algorithm in self.algorithms:
            heed = algorithm.traits.heed
            if heed is not None:
                heed(fit)

    def __repr__(self) -> str:
        return (
            f"Islands([{', '.join(map(repr, self.algorithms))}], neighbours={self.neighbours}, "
            f"every={self.every}, send={self.send}, asymmetric={self.asymmetric})"
        )

    @property
    def traits(self) -> Traits:
        """What a study must know of them all."""
        seeds = tuple(seed for each in self.algorithms for seed in each.traits.seeds)
        return replace(self._traits, seeds=seeds) if seeds else self._traits

    @property
    def clock(self) -> float:
        """Generations, or epochs, at which the next trial begins; ``inf`` when there is none."""
        return min(island.next for island in self._islands)

    def donors(self) -> Collection[int]:
        """Return the trials whose weights may still be asked for on any island."""
        return set[int]().union(*(algorithm.donors() for algorithm in self.algorithms))

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose what the island furthest behind proposes."""
        order = sorted(range(len(self._islands)), key=lambda k: self._islands[k].next)
        if (
            self._traits.generational
        ):  # which one it is does not depend on results: it is waited for
            order = order[:1] if self.clock < self._due else []
        for k in order:
            proposal = self.algorithms[k].ask(rng)
            if proposal is not None:
                around = (k, *proposal.origin.islands)
                origin = replace(proposal.origin, islands=around)
                return wrap("island", k, replace(proposal, origin=origin))
        return None

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Tell a trial to the island that asked for it, or to all islands if none did."""
        k = trial.note.get("island")
        if not isinstance(k, int) or not 0 <= k < len(self._islands):
            for algorithm in self.algorithms:
                algorithm.tell(disowned(trial))
            return
        island = self._islands[k]
        island.tell(unwrap(trial), generational=self._traits.generational)
        if not self._traits.generational:
            if island.done >= island.due:
                island.due += self.every
                self._migrate([k])
        elif all(i.next >= self._due and not i.running for i in self._islands):
            self._migrate(range(len(self._islands)))
            while self._due <= self.clock < math.inf:
                self._due += self.every

    def _migrate(self, senders: Collection[int]) -> None:
        sent = {k: self._islands[k].emigrants(self.send) for k in senders}
        for k, trials in sent.items():
            for neighbour in self.neighbours[k]:
                note = {"migrant": self._kind(k, neighbour)}
                for trial in trials:
                    self.algorithms[neighbour].tell(replace(trial, origin=NOWHERE, note=note))

    def _kind(self, sender: int, receiver: int) -> str:
        if not self.asymmetric:
            return "all"
        a, b = (self.algorithms[k].traits.interval or 0 for k in (sender, receiver))
        return "all" if a > b else "weights"


def _length(trial: Trial) -> float:
    return 1.0 if trial.budget is None else float(trial.budget)


def _check_intervals(algorithms: Sequence[Algorithm], every: int) -> None:
    """Migrants must be as old as their hosts, or a run that counts epochs ends too early."""
    intervals = {a.traits.interval for a in algorithms if a.traits.inherits and a.traits.interval}
    if len(intervals) > 1 and any(every % interval for interval in intervals):
        raise AlgorithmError(
            f"Islands: every must be a multiple of each island's interval, so that migrants have "
            f"been trained as long as their hosts; got every={every} and intervals "
            f"{sorted(intervals)}: write every={math.lcm(*intervals)}"
        )


def _duplicates(algorithms: Sequence[Algorithm]) -> Duplicates | None:
    """Return how the islands need repeated params handled; None where no island says."""
    wanted = {d: a for a in algorithms if (d := a.traits.duplicates) is not None}
    if len(wanted) > 1:
        raise AlgorithmError(
            "Islands: one island needs repeats averaged and another one needs them apart, so they "
            f"cannot share a study: {' and '.join(map(repr, wanted.values()))}"
        )
    return next(iter(wanted), None)


def _check(algorithms: Sequence[Algorithm], asymmetric: bool) -> None:
    if not isinstance(algorithms, Sequence) or len(algorithms) < 2:
        raise AlgorithmError(
            "Islands needs a list of two algorithms or more: write "
            f"Islands([Genetic(space), Genetic(space)]); got {algorithms!r}"
        )
    if len({id(algorithm) for algorithm in algorithms}) < len(algorithms):
        raise AlgorithmError(
            "Islands: the same algorithm object was given twice, and each island needs one of its "
            "own: write [Genetic(space) for _ in range(4)]"
        )
    for k, algorithm in enumerate(algorithms):
        check_algorithm(f"Islands: island {k}", algorithm)
        lines = difference(algorithms[0].space.to_json(), algorithm.space.to_json())
        if lines:
            raise AlgorithmError(
                f"Islands: all islands need the same space, but island {k} differs from island 0 "
                "in\n" + "\n".join(lines)
            )
        if asymmetric and algorithm.traits.interval is None:
            raise AlgorithmError(
                "Islands: asymmetric=True compares the intervals of population-based training; "
                f"island {k} has none: {algorithm!r}"
            )
