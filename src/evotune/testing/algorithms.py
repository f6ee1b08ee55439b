"""The contract of a search algorithm as a test suite, and a minimal study to drive one."""

import json
import random
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import cache
from itertools import islice
from statistics import median
from typing import Any, ClassVar

import numpy as np
import pytest

from evotune.algorithms.random_search import RandomSearch
from evotune.protocols import Algorithm, Traits
from evotune.seeding import generator
from evotune.space import Bool, Chain, Choice, Fixed, Float, Int, Ordinal, Range, Space
from evotune.trial import Checkpoint, Failure, Proposal, Trial

SPACES = {
    "continuous": Space(
        a=Float(-1.0, 1.0), b=Float(0.0, 10.0), c=Float(1e-4, 1.0, log=True), d=Float(0.0, 0.5)
    ),
    "mixed": Space(
        {"learning rate": Float(1e-4, 1.0, log=True)},
        width=Int(1, 512, log=True),
        depth=Int(1, 9),
        share=Float(0.0, 1.0, step=0.05),
        batch=Ordinal(16, 32, 64, 128),
        kind=Choice("a", "b", None),
        bias=Bool(),
        constant=Fixed("x"),
    ),
    "conditional": Space(
        rate=Float(0.0, 1.0),
        booster=Choice("tree", "linear"),
        leaves=Int(2, 64, log=True, when={"booster": "tree", "depth": Range(5, 15)}),
        depth=Int(1, 15, when={"booster": "tree"}),
        penalty=Float(1e-6, 1.0, log=True, when={"booster": "linear"}),
    ),
    "finite": Space(flag=Bool(), count=Int(1, 2), kind=Choice("a", "b", when={"flag": True})),
}

#: One chain of layers and a gene beside it.
CHAIN_SPACE = Space(
    rate=Float(0.0, 1.0),
    layers=Chain(
        1, 3, conv={"width": Int(1, 64, log=True), "activation": Choice("relu", "tanh")}, pool={}
    ),
)


def sphere(space: Space, genome: Mapping[str, Any]) -> float:
    """Return the squared distance of a genome's active genes from a fixed one, 0 at the optimum.

    The optimum lies at 0.3 of each ordered gene's range and at the first of unordered values.
    """
    return sum(_distance(space[name], value) ** 2 for name, value in space.active(genome).items())


def _distance(domain: Any, value: Any) -> float:
    if domain.ordered:
        return float(domain.to_unit(value) - domain.to_unit(domain.from_unit(0.3)))
    return 0.0 if value == next(domain.values()) else 0.5


class Rehearsal:
    """A minimal study: asks, tells and keeps the log, without storage, objectives or executor.

    Args:
        algorithm: A new algorithm.
        seed: Seed of its random streams.
        value: The minimised value of a trial; by default its `sphere`.

    Attributes:
        trials: The latest record of each trial, by number.
        told: Everything that was told, in order.
        asked: For each ask, how much had been told, the number asked for, and what was proposed.
    """

    def __init__(
        self, algorithm: Algorithm, seed: int = 0, value: Callable[[Trial], float] | None = None
    ) -> None:
        self.algorithm = algorithm
        self.seed = seed
        self._value = value or (lambda trial: sphere(algorithm.space, trial.genome))
        self.trials: list[Trial] = []
        self.told: list[Trial] = []
        self.asked: list[tuple[int, int, Proposal | None]] = []
        self._running: dict[int, Trial] = {}
        self._first: dict[Hashable, int] = {}

    @property
    def running(self) -> list[Trial]:
        """The trials that have started and not ended, by number."""
        return list(self._running.values())

    @property
    def best(self) -> float:
        """The best value so far, ``inf`` when there is none."""
        return min((t.values[0] for t in self.trials if t.values), default=float("inf"))

    def ask(self) -> Proposal | None:
        """Ask for the next trial and check what comes."""
        number = len(self.trials)
        proposal = self.algorithm.ask(generator(self.seed, number))
        self.asked.append((len(self.told), number, proposal))
        if proposal is not None:
            self.algorithm.space.check(proposal.genome)
            assert through_json(proposal.note) == proposal.note
            assert set(proposal.parents) <= set(range(number))
            self._check_donors(proposal)
        return proposal

    def _check_donors(self, proposal: Proposal) -> None:
        """A proposal may inherit only weights that exist and cannot have been removed."""
        kept = set(self.algorithm.donors())
        for donor in _start(0, proposal).donors:
            assert donor in kept, f"trial {donor} was no donor when its weights were asked for"
            assert self.trials[donor].checkpoint is not None, f"trial {donor} has kept no weights"

    def start(self) -> Trial | None:
        """Ask for a trial and tell its start; return None if there was no proposal."""
        proposal = self.ask()
        if proposal is None:
            return None
        space: Space = self.algorithm.space
        trial = replace(
            _start(len(self.trials), proposal),
            params=space.params(proposal.genome),
            repeat_of=self._first.get(space.key(proposal.genome)),
        )
        self._running[trial.number] = trial
        self.adopt(trial)
        return trial

    def adopt(self, trial: Trial) -> None:
        """Add a trial from any source, and tell it."""
        self._first.setdefault(self.algorithm.space.key(trial.genome), trial.number)
        self.trials.append(trial)
        self._tell(trial)

    def end(self, trial: Trial, *, failed: bool = False) -> None:
        """End a running trial, with its value or as failed."""
        ended = replace(
            trial, state="done", values=(self._value(trial),), checkpoint=self._checkpoint(trial)
        )
        if failed:
            failure = Failure("exception", "diverged")
            ended = replace(trial, state="failed", failure=failure)
        self.trials[trial.number] = ended
        del self._running[trial.number]
        self._tell(ended)

    def _checkpoint(self, trial: Trial) -> Checkpoint | None:
        if trial.number not in self.algorithm.donors():
            return None
        start = max((self._epochs(donor) for donor in trial.donors), default=0.0)
        return Checkpoint(start + (trial.budget or 0.0), 0, external=True)

    def _epochs(self, number: int) -> float:
        checkpoint = self.trials[number].checkpoint
        return 0.0 if checkpoint is None else checkpoint.epochs

    def _tell(self, trial: Trial) -> None:
        before = _written(trial)
        self.algorithm.tell(trial)
        assert _written(trial) == before, "tell() has changed the trial"
        self.told.append(trial)

    def run(
        self, trials: int, *, at_once: int = 1, shuffled: bool = False, failing: float = 0.0
    ) -> "Rehearsal":
        """Run until there are ``trials`` trials, all ended, or nothing is proposed any more.

        Args:
            trials: Trials altogether.
            at_once: How many run at the same time.
            shuffled: End running trials in random order instead of by number.
            failing: Share of the trials that fail; which ones depends on their number only.
        """
        chance = generator(self.seed, 10**6)
        while True:
            while len(self._running) < at_once and len(self.trials) < trials:
                if self.start() is None:
                    break
            running = self.running
            if not running:
                return self
            trial = running[int(chance.integers(len(running))) if shuffled else 0]
            luck = generator(self.seed + 1, trial.number).random() if failing else 1.0
            self.end(trial, failed=bool(luck < failing))


#: Everything that a trial's record holds.
RECORD = [each.name for each in fields(Trial)]


def _written(trial: Trial) -> str:
    """Return the whole record as text; the text of a trial itself is for people, and slower."""
    return repr([getattr(trial, name) for name in RECORD])


def _start(number: int, proposal: Proposal) -> Trial:
    return Trial(
        number=number,
        genome=proposal.genome,
        params=proposal.genome,
        state="running",
        budget=proposal.budget,
        weights_from=proposal.weights_from,
        inherit=proposal.inherit,
        parents=proposal.parents,
        origin=proposal.origin,
        note=proposal.note,
    )


def _reaches(rehearsal: Rehearsal, value: float, trials: int) -> bool:
    """Run until the best is better than a value; return whether it became so within ``trials``."""
    while rehearsal.best >= value and len(rehearsal.trials) < trials:
        before = len(rehearsal.trials)
        if len(rehearsal.run(min(before + 8, trials)).trials) == before:
            break  # nothing more is proposed
    return rehearsal.best < value


@cache
def _best_at_random() -> float:
    space = SPACES["mixed"]
    return median(Rehearsal(RandomSearch(space), seed).run(120).best for seed in range(5))


def through_json(value: Any) -> Any:
    """Return what a storage gives back for a JSON value."""
    return json.loads(json.dumps(value, allow_nan=False))


def _stored(trial: Trial) -> Trial:
    written = {name: through_json(getattr(trial, name)) for name in ("genome", "params", "note")}
    return replace(trial, **written)


def _plain(proposal: Proposal | None) -> Any:
    return None if proposal is None else through_json(asdict(proposal))


def foreign_trials(space: Space, count: int, first: int = 0) -> Iterator[Trial]:
    """Yield ended trials that no algorithm asked for, every third of them failed."""
    rng = np.random.default_rng(count)
    for number in range(first, first + count):
        genome = space.sample(rng)
        trial = Trial(number, genome, space.params(genome), note={"someone": {"else": [number]}})
        if number % 3:
            yield replace(trial, state="done", values=(sphere(space, genome),))
        else:
            yield replace(trial, state="failed", failure=Failure("died", "the worker died"))


class AlgorithmContract:
    """What every search algorithm must do; subclass it and define ``make``.

    Example::

        class TestMine(AlgorithmContract):
            def make(self, space):
                return MyAlgorithm(space)

    Attributes:
        finishes: True for an algorithm that has nothing more to propose at some point.
        improves: False for one that does not learn from results.
        distinct: False for one whose proposals in a row, with nothing told in between, often meet:
            small moves from one genome, or operators that often leave a child as its parent was.
    """

    finishes: ClassVar[bool] = False
    improves: ClassVar[bool] = True
    distinct: ClassVar[bool] = True

    def make(self, space: Space) -> Algorithm:
        """Return a new algorithm on a space."""
        raise NotImplementedError("an algorithm's test suite needs a method make(self, space)")

    @pytest.fixture(params=["mixed", "conditional", "finite"])
    def space(self, request: pytest.FixtureRequest) -> Space:
        """One space after the other."""
        return SPACES[request.param]

    def test_searches_the_space_it_was_given(self, space: Space) -> None:
        algorithm = self.make(space)
        assert algorithm.space == space
        assert isinstance(algorithm.traits, Traits)

    def test_goes_on_as_long_as_it_is_asked(self, space: Space) -> None:
        """Nothing is proposed only while results are due, or once the algorithm has finished.

        All the while it draws from the given generator only, leaves the space as it is, and names
        no donor that it was not told of.
        """
        state, numpy_state = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
        description = through_json(space.to_json())
        rehearsal = Rehearsal(self.make(space)).run(60, at_once=3)
        assert rehearsal.trials
        assert len(rehearsal.trials) == 60 or self.finishes
        assert random.getstate() == state
        assert repr(np.random.get_state()) == numpy_state  # noqa: NPY002
        assert space.to_json() == description
        assert set(rehearsal.algorithm.donors()) <= set(range(len(rehearsal.trials)))

    def test_asking_changes_nothing(self, space: Space) -> None:
        """Equal generators give equal proposals, whatever was asked in between or before."""
        told = Rehearsal(self.make(space)).run(33, failing=0.2).told
        asked = self.make(space)
        for count in range(0, len(told), 16):
            before = _plain(asked.ask(generator(9, 0)))
            for number in range(3):
                asked.ask(generator(8, number))
            assert _plain(asked.ask(generator(9, 0))) == before
            assert _plain(self._after(told[:count], space).ask(generator(9, 0))) == before
            for trial in told[count : count + 16]:
                asked.tell(trial)

    def test_searches_chains_of_layers(self) -> None:
        """Each genome gives layers, from which the same genes come back; and it goes on alike."""
        rehearsal = Rehearsal(self.make(CHAIN_SPACE)).run(30, at_once=3, failing=0.2)
        assert len(rehearsal.trials) == 30 or self.finishes
        for trial in rehearsal.trials:
            again = CHAIN_SPACE.complete(CHAIN_SPACE.params(trial.genome))
            assert CHAIN_SPACE.key(again) == CHAIN_SPACE.key(trial.genome)
        if not self.finishes:
            assert len({len(trial.params["layers"]) for trial in rehearsal.trials}) > 1
        self._assert_goes_on_alike(rehearsal)

    def test_another_seed_is_another_search(self) -> None:
        if self.finishes:
            pytest.skip("an exhaustive search is the same for every seed")
        runs = [Rehearsal(self.make(SPACES["mixed"]), seed).run(5) for seed in (1, 2)]
        first, second = ([dict(t.genome) for t in run.trials] for run in runs)
        assert first != second

    def test_goes_on_from_its_log(self, space: Space) -> None:
        """A new algorithm that is told a part of the log continues as the old one did."""
        rehearsal = Rehearsal(self.make(space)).run(45, at_once=4, shuffled=True, failing=0.2)
        self._assert_goes_on_alike(rehearsal)

    def test_takes_trials_that_fail(self, space: Space) -> None:
        """A start in which everything fails, then one trial in two."""
        rehearsal = Rehearsal(self.make(space)).run(25, at_once=2, failing=1.0)
        rehearsal.run(60, at_once=2, failing=0.5)
        self._assert_goes_on_alike(rehearsal)
        assert len(rehearsal.trials) == 60 or self.finishes

    def test_takes_trials_that_it_never_asked_for(self, space: Space) -> None:
        """Before its first own trial, and during a run."""
        rehearsal = Rehearsal(self.make(space))
        for trial in foreign_trials(space, 9):
            rehearsal.adopt(trial)
        rehearsal.run(20, at_once=2)
        for trial in foreign_trials(space, 30, first=len(rehearsal.trials)):
            rehearsal.adopt(trial)
        rehearsal.run(65, at_once=2)
        self._assert_goes_on_alike(rehearsal)
        assert len(rehearsal.trials) == 65 or self.finishes

    def test_takes_stopped_trials(self, space: Space) -> None:
        """Ended early, with a value or without one."""
        rehearsal = Rehearsal(self.make(space))
        for number in range(30):
            trial = rehearsal.start()
            if trial is None:
                break
            values = (sphere(space, trial.genome),) if number % 2 else None
            kept = Checkpoint(1.0, 0, external=True) if values else None
            stopped = replace(trial, state="stopped", values=values, checkpoint=kept)
            rehearsal.trials[number] = stopped
            rehearsal.algorithm.tell(stopped)
        assert len(rehearsal.trials) == 30 or self.finishes

    @pytest.mark.parametrize("name", ["continuous", "mixed"])
    def test_asks_in_a_row_differ(self, name: str) -> None:
        """At the start all of them; later two may meet by chance, which the study redraws."""
        space = SPACES[name]
        rehearsal = Rehearsal(self.make(space))
        first = [space.key(trial.genome) for trial in _start_ten(rehearsal)]
        assert len(set(first)) == len(first) > 0
        later = [space.key(trial.genome) for trial in _start_ten(rehearsal.run(40))]
        assert len(set(later)) >= 0.7 * len(later) or not self.distinct

    def test_order_of_arrival_means_nothing_to_a_generational_one(self, space: Space) -> None:
        """One worker or five, results in order or not: the same proposals."""
        if not self.make(space).traits.generational:
            pytest.skip("not generational")
        alone = Rehearsal(self.make(space)).run(50, failing=0.2)
        crowd = Rehearsal(self.make(space)).run(50, at_once=5, shuffled=True, failing=0.2)
        assert _proposals(crowd) == _proposals(alone)

    def test_beats_random_search(self) -> None:
        if not self.improves:
            pytest.skip("this algorithm does not learn")
        # The median of five runs is better once three are: no more than that needs to be run.
        runs = (Rehearsal(self.make(SPACES["mixed"]), seed) for seed in range(5))
        assert sum(islice((1 for run in runs if _reaches(run, _best_at_random(), 120)), 3)) == 3

    def _assert_goes_on_alike(self, rehearsal: Rehearsal) -> None:
        log = [_stored(trial) for trial in rehearsal.told]
        for told, number, proposal in rehearsal.asked[::17]:
            again = self._after(log[:told], rehearsal.algorithm.space)
            assert _plain(again.ask(generator(rehearsal.seed, number))) == _plain(proposal)

    def _after(self, told: Sequence[Trial], space: Space) -> Algorithm:
        algorithm = self.make(space)
        for trial in told:
            algorithm.tell(trial)
        return algorithm


def _start_ten(rehearsal: Rehearsal) -> list[Trial]:
    return [trial for _ in range(10) if (trial := rehearsal.start()) is not None]


def _proposals(rehearsal: Rehearsal) -> list[Any]:
    return [_plain(proposal) for _, _, proposal in rehearsal.asked if proposal is not None]
