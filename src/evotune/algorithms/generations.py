"""What generational algorithms share: the running generation, and how the first one begins."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evotune.algorithms.proxy_start import BEST, CHOSEN, TESTED, ProxyStart
from evotune.errors import AlgorithmError
from evotune.protocols import Traits
from evotune.proxies.ranking import Agreement
from evotune.space import Space
from evotune.space.designs import Design
from evotune.trial import Proposal, Trial


class Generation:
    """The trials of the running generation: which have started, which have ended.

    Args:
        number: Number of the generation, from 0.
        size: How many trials it has.

    Attributes:
        planned: How many trials it was made for; proxies may add to its ``size``.
        seed: Seed of what all its proposals share. The first proposal draws it and carries it in
            its note; it counts once that trial is told, so that asking changes nothing.
    """

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = self.planned = size
        self.seed: int | None = None
        self.keys: set[Hashable] = set()
        self._started: set[int] = set()
        self._chosen: set[int] = set()  # by proxies
        self._ended: dict[int, Trial] = {}

    def owns(self, trial: Trial) -> bool:
        """Return whether a trial was proposed for this generation."""
        return trial.note.get("generation") == self.number

    def draw_seed(self, rng: np.random.Generator) -> int:
        """Return the seed of what all its proposals share; the first proposal draws it."""
        return int(rng.integers(2**31)) if self.seed is None else self.seed

    def stamp(self, proposal: Proposal, seed: int) -> Proposal:
        """Return a proposal as one of this generation.

        Args:
            proposal: What its algorithm has made.
            seed: What `draw_seed` gave.
        """
        note = {"generation": self.number, "seed": seed, **proposal.note}
        origin = replace(proposal.origin, generation=self.number)
        return replace(proposal, origin=origin, note=note)

    def tell(self, trial: Trial, key: Hashable) -> None:
        """Record one of its own trials."""
        self._started.add(trial.number)
        if CHOSEN in trial.note:
            self._chosen.add(trial.number)
        self.keys.add(key)
        if self.seed is None:
            self.seed = trial.note.get("seed")
        if trial.has_ended:
            self._ended[trial.number] = trial

    @property
    def started(self) -> int:
        """How many of its trials have been proposed."""
        return len(self._started)

    @property
    def own(self) -> int:
        """How many of these the algorithm itself has proposed, and not the proxies."""
        return len(self._started) - len(self._chosen)

    @property
    def is_full(self) -> bool:
        """True when all its trials have been proposed."""
        return len(self._started) >= self.size

    @property
    def is_complete(self) -> bool:
        """True when all its trials have ended."""
        return self.is_full and len(self._ended) == len(self._started)

    def ended(self) -> list[Trial]:
        """Return the trials that have ended, by number: never in order of arrival."""
        return [trial for _, trial in sorted(self._ended.items())]

    def done(self) -> list[Trial]:
        """Return the trials that have values, by number."""
        return [trial for trial in self.ended() if trial.is_done]


def genomes(space: Space, seeds: Any) -> list[dict[str, Any]]:
    """Return the genomes that a user gives as ``seeds``.

    Raises:
        AlgorithmError: They are no list of genomes or params.
        GenomeError: One lies outside the space.
    """
    if isinstance(seeds, Mapping):
        raise AlgorithmError(f"seeds is a list of genomes: write seeds=[{dict(seeds)!r}]")
    if not isinstance(seeds, Sequence) or not all(isinstance(seed, Mapping) for seed in seeds):
        raise AlgorithmError(
            f"seeds is a list of params, such as [study.best.params]; got {seeds!r}"
        )
    return [space.complete(seed) for seed in seeds]


class StartingPopulation:
    """The first trials: genomes that the user gives, then a design for the rest.

    Args:
        space: What may be searched.
        design: How to lay out the rest.
        given: Genomes or params to begin with.

    Raises:
        AlgorithmError: ``given`` is one genome instead of a list.
        GenomeError: A given genome does not lie in the space.
    """

    def __init__(self, space: Space, design: Design, given: Sequence[Mapping[str, Any]]) -> None:
        self.space = space
        self.design = design
        self.given = genomes(space, given)
        self._cache: tuple[tuple[int, int], list[dict[str, Any]]] = ((-1, -1), [])

    def genome(self, generation: Generation, seed: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return the next genome of a generation whose trials have no parents.

        Args:
            generation: The first one, or a later one as long as every trial has failed.
            seed: Seed of the generation.
            rng: Random stream of this proposal.
        """
        given = self.given if generation.number == 0 else []  # once: they may be why all failed
        if generation.own < len(given):
            return dict(given[generation.own])
        count, index = generation.planned - len(given), generation.own - len(given)
        if self._cache[0] != (count, seed):
            genomes = self.design(self.space, count, np.random.default_rng(seed))
            self._cache = ((count, seed), genomes)
        if index >= count:
            return self.space.sample(rng)
        genome = self._cache[1][index]
        if self.space.key(genome) in generation.keys:  # in a small space a design repeats itself
            return self.space.sample(rng)
        return dict(genome)


class Generations:
    """The generations of one algorithm: the running one, its start, and trials from elsewhere.

    Args:
        space: What may be searched.
        design: How to lay out the first generation.
        seeds: Genomes or params that it begins with.
        size: Trials of the first generation, where no more seeds are given.
        proxies: What may choose trials behind the seeds and the first of the design.

    Attributes:
        running: The running generation.
        strangers: Done trials that were not proposed for it: a warm start, migrants, repeats.
    """

    def __init__(
        self,
        space: Space,
        design: Design,
        seeds: Sequence[Mapping[str, Any]],
        size: int,
        proxies: ProxyStart | None = None,
    ) -> None:
        self.space = space
        self._start = StartingPopulation(space, design, seeds)
        self._proxies = proxies
        tested = 0 if proxies is None else TESTED
        self.running = Generation(0, max(size, len(self._start.given), tested))
        self.strangers: list[Trial] = []

    def traits(self, *, generational: bool = True, population_size: int | None = None) -> Traits:
        """Return what a study must know of an algorithm with generations."""
        return Traits(
            generational=generational,
            population_size=population_size,
            generations=True,
            seeds=self.late_seeds,
        )

    @property
    def late_seeds(self) -> tuple[Mapping[str, Any], ...]:
        """The given genomes whose turn is over; each was tried, unless it was given later."""
        given = self._start.given
        return tuple(given[: self.running.started] if self.running.number == 0 else given)

    @property
    def agreement(self) -> Agreement | None:
        """How well proxies agree with the results; None before the test, or without them."""
        return None if self._proxies is None else self._proxies.agreement

    @property
    def is_due(self) -> bool:
        """True while results are due that decide whether proxies choose what comes next."""
        return self._proxies is not None and self._proxies.is_due

    def chosen(self, rng: np.random.Generator) -> Proposal | None:
        """Return the next proposal that proxies choose; None where they have no say."""
        seeding = self.running.number == 0 and self.running.own < len(self._start.given)
        if self._proxies is None or seeding or not self._proxies.may_choose:
            return None
        seed = self.running.draw_seed(rng)
        proposal = self._proxies.propose(seed)
        return None if proposal is None else self.running.stamp(proposal, seed)

    def newcomer(self, rng: np.random.Generator, seed: int | None = None, **note: Any) -> Proposal:
        """Return the next proposal without parents, out of the starting design.

        Args:
            rng: Random stream of this proposal.
            seed: Seed of the generation, where it was drawn already.
            **note: Further entries of the proposal's note.
        """
        seed = self.running.draw_seed(rng) if seed is None else seed
        genome = self._start.genome(self.running, seed, rng)
        test = {} if self._proxies is None else self._proxies.test(genome)
        return self.running.stamp(Proposal(genome, note={**test, **note}), seed)

    def tell(self, trial: Trial) -> bool:
        """Record a trial and return whether it was proposed for the running generation."""
        owned = self.running.owns(trial)
        if owned:
            self.running.tell(trial, self.space.key(trial.genome))
        elif trial.is_done:
            self.strangers.append(trial)
        if self._proxies is not None and self._proxies.tell(trial):
            self.running.size = max(self.running.size, self.running.started + BEST)
        return owned

    def end(self, size: int) -> list[Trial]:
        """Begin the next generation and return the done trials of this one, then the strangers.

        Args:
            size: Trials of the next one.
        """
        ended = [*self.running.done(), *self.strangers]
        self.strangers = []
        self.running = Generation(self.running.number + 1, size)
        return ended
