"""Two phases: one algorithm finds a start, a second one goes on from it."""

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from evotune.algorithms.wrapping import check_algorithm, disowned, unwrap, wrap
from evotune.checks import check_whole, did_you_mean
from evotune.errors import AlgorithmError, GenomeError
from evotune.evolution.survival import best_first
from evotune.protocols import Algorithm, Traits
from evotune.space import Domain, Space
from evotune.trial import Proposal, Trial

#: Finite domains of at most this many values are compared value by value.
LISTED_AT_MOST = 4096


class Phases:
    """Runs a first algorithm for a number of trials, then a second one that starts from its best.

    As in Vose et al. (2019), section 4: structure and settings by plain search, then the schedule
    of what was found by population-based training, see
    `evotune.algorithms.recipes.tune_then_schedule`.

    The second phase begins when all trials of the first have ended, at the latest when the first
    algorithm has nothing more to propose; if all have failed, the first goes on, one trial at a
    time, until one is done. Trials from elsewhere are told to the first algorithm, and to the
    second one if they lie in its space.

    Args:
        first: A new algorithm; its space is that of the study.
        then: Makes a new algorithm from the first's best trial, in a space of the same genes and
            conditions that is as wide or narrower. A resumed study calls it again, so it must draw
            random numbers from the trial's ``seed`` only.
        trials: Trials of the first phase.
        budget: Epochs of a trial of the first phase, where the algorithm gives none.

    Raises:
        AlgorithmError: A number out of bounds, ``then`` is not a function, or what it returns is
            not an algorithm or has a space that leaves the first one's.

    Attributes:
        space: The first algorithm's space.
        algorithms: The first algorithm, and the second once there is one.
    """

    def __init__(
        self,
        first: Algorithm,
        then: Callable[[Trial], Algorithm],
        *,
        trials: int,
        budget: int | None = None,
    ) -> None:
        check_whole("Phases", "trials", trials, 1)
        if budget is not None:
            check_whole("Phases", "budget", budget, 1)
        check_algorithm("Phases: first", first)
        if not callable(then) or hasattr(then, "ask"):
            raise AlgorithmError(
                "Phases: then must be a function of the best trial, such as lambda best: "
                f"EvolutionStrategy(space, seeds=[best.genome]); got {then!r}"
            )
        self.space = first.space
        self.trials = trials
        self.budget = budget
        self._first = first
        self._then = then
        self._second: Algorithm | None = None
        # Of the first phase:
        self._started = 0
        self._running: set[int] = set()
        self._best: list[Trial] = []  # none, or one
        self._generations = 0
        self._foreign: list[Trial] = []

    def __repr__(self) -> str:
        then = getattr(self._then, "__name__", self._then) if self._second is None else self._second
        return f"Phases({self._first}, then={then}, trials={self.trials}, budget={self.budget})"

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """The first algorithm, and the second once there is one."""
        return (self._first,) if self._second is None else (self._first, self._second)

    @property
    def traits(self) -> Traits:
        """Those of the running algorithm, but for sizes, which differ from one to the other."""
        seeds = tuple(seed for each in self.algorithms for seed in each.traits.seeds)
        traits = replace(self.algorithms[-1].traits, size=None, population_size=None, seeds=seeds)
        return replace(traits, changes=self._second is None)

    def donors(self) -> Collection[int]:
        """Return the trials whose weights the running algorithm may still ask for."""
        return self.algorithms[-1].donors()

    # -- ask: reads only ----------------------------------------------------------------------

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose what the running algorithm proposes; None between the two phases."""
        if self._second is not None:
            proposal = self._second.ask(rng)
            return None if proposal is None else self._wrapped(1, proposal)
        if self._started >= self.trials and self._running:
            return None
        proposal = self._first.ask(rng)
        if proposal is None:
            return None
        if proposal.budget is None and self.budget is not None:
            proposal = replace(proposal, budget=float(self.budget))
        return self._wrapped(0, proposal)

    def _wrapped(self, phase: int, proposal: Proposal) -> Proposal:
        generation = proposal.origin.generation
        if phase and generation is not None:  # generations are counted on, not from 0
            origin = replace(proposal.origin, generation=generation + self._generations)
            proposal = replace(proposal, origin=origin)
        return wrap("phase", phase, proposal)

    # -- tell: the only change ----------------------------------------------------------------

    def tell(self, trial: Trial) -> None:
        """Tell a trial to its algorithm; the last one of the first phase begins the second.

        Raises:
            AlgorithmError: ``then`` has returned something that cannot go on.
        """
        phase = trial.note.get("phase")
        if phase == 1 and self._second is not None:
            self._second.tell(unwrap(trial))
        elif phase == 0 and self._second is None:
            self._tell_first(trial)
        else:
            self._tell_foreign(trial)

    def _tell_first(self, trial: Trial) -> None:
        if trial.number not in self._running:
            self._running.add(trial.number)
            self._started += 1
            if trial.origin.generation is not None:
                self._generations = max(self._generations, trial.origin.generation + 1)
        if trial.has_ended:
            self._running.discard(trial.number)
        if trial.is_done:
            self._best = best_first([*self._best, trial])[:1]
        self._first.tell(unwrap(trial))
        if self._best and not self._running and self._is_over():
            self._second = self._start_second(unwrap(self._best[0]))

    def _is_over(self) -> bool:
        return self._started >= self.trials or self._first.ask(np.random.default_rng(0)) is None

    def _start_second(self, best: Trial) -> Algorithm:
        second = self._then(best)
        if not all(hasattr(second, name) for name in ("ask", "tell", "donors", "space")):
            raise AlgorithmError(
                "Phases: then must return an algorithm such as Genetic(space, "
                f"seeds=[best.genome]); it returned {second!r}"
            )
        _check_inside(second.space, self.space)
        for trial in self._foreign:
            _tell_if_inside(second, trial)
        return second

    def _tell_foreign(self, trial: Trial) -> None:
        trial = disowned(trial)
        if self._second is not None:
            _tell_if_inside(self._second, trial)
            return
        self._first.tell(trial)
        if trial.has_ended:
            self._foreign.append(trial)


def _tell_if_inside(algorithm: Algorithm, trial: Trial) -> None:
    try:
        algorithm.space.check(trial.genome)
    except GenomeError:
        return
    algorithm.tell(trial)


def _check_inside(space: Space, outer: Space) -> None:
    missing = set(outer.names) ^ set(space.names)
    if missing:
        raise AlgorithmError(
            "Phases: the second algorithm must search the genes of the first one; they differ in "
            f"{', '.join(map(repr, sorted(missing)))}. For a constant write Fixed(value)"
        )
    for name, domain in space.domains.items():
        wider = outer[name]
        if domain.when != wider.when or not _is_inside(domain, wider):
            raise AlgorithmError(
                f"Phases: gene {name!r} of the second algorithm, {domain.to_json()}, must have "
                f"the first one's condition and lie inside its domain: {wider.to_json()}"
            )


def _is_inside(domain: Domain, wider: Domain) -> bool:
    if domain.size > wider.size:
        return False
    listed = domain.size <= LISTED_AT_MOST
    values = domain.values() if listed else (domain.from_unit(0.0), domain.from_unit(1.0))
    return all(wider.contains(value) for value in values)


def genes_of_structure(space: Space, structure: Collection[str]) -> tuple[str, ...]:
    """Return the genes that a second phase keeps as the first has found them.

    Args:
        space: The space.
        structure: Names of genes, and of chains for all genes of their layers.

    Raises:
        AlgorithmError: They are not a list, not all in the space, or all genes that vary.
    """
    if isinstance(structure, str):
        raise AlgorithmError(f"structure is a list of gene names: write [{structure!r}]")
    for name in structure:
        if name not in space.domains and name not in space.chains:
            raise AlgorithmError(
                f"structure names {name!r}, which is not in the space"
                f"{did_you_mean(name, (*space.chains, *space.names))}"
            )
    chains = {name: space.chains[name].genes(name) for name in structure if name in space.chains}
    genes = tuple(gene for name in structure for gene in chains.get(name, (name,)))
    if set(space.variable) <= set(genes):
        raise AlgorithmError(
            "structure names every gene that varies, so that nothing is left to schedule; leave "
            "out those that may change during training, such as learning rates"
        )
    return genes
