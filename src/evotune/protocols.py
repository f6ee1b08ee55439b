"""The protocols between the parts of evotune, in one file.

Any object with these members can be plugged in; no base class is needed. Each protocol has a public
contract test suite in `evotune.testing`.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from evotune.names import own_names
from evotune.running import RunningTrial
from evotune.trial import Failure, Outcome, Proposal, Trial, freeze

__dir__ = own_names(__name__)

Genome = Mapping[str, Any]
Evaluate = Callable[[RunningTrial], Any]

#: (space, genome) -> the genome, or one near it that can be tried. It is pure, and returns what it
#: has returned as it is.
Fit = Callable[[Any, Genome], Genome]


class SearchSpace(Protocol):
    """What a study needs from a space."""

    def params(self, genome: Genome) -> dict[str, Any]:
        """Return the active genes only."""

    def key(self, genome: Genome) -> Hashable:
        """Return a key that two genomes share exactly when their active genes agree."""

    def check(self, genome: Genome) -> None:
        """Raise GenomeError unless the genome lies in the space."""

    def size(self) -> float:
        """Return the number of distinct active genomes, ``inf`` when not countable."""

    def unseen(
        self, genome: Genome, seen: Collection[Hashable], rng: np.random.Generator
    ) -> Genome | None:
        """Return an unseen genome near the given one when the space can be listed, else None."""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able description from which the space can be built again."""


Duplicates = Literal["repeat", "allow"]


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties of an algorithm that a study, or a wrapping algorithm, relies on.

    Attributes:
        generational: Its next proposal does not depend on the order in which results of the running
            generation arrive, so that a deterministic study may keep any number of workers busy.
        inherits: Its trials start from the weights of other trials, so that repeated params are not
            duplicates.
        duplicates: How repeated params are handled, overriding the study's setting: ``"repeat"``
            tells the algorithm the means over all repeats, ``"allow"`` keeps each as a separate
            trial. None leaves it to the study.
        size: Trials after which it has nothing more to propose; None without such a limit.
        budgets: Budgets that it assigns to trials, ascending; empty if it assigns none.
        population_size: Trials of a generation, or members; None without a population.
        interval: Epochs between two selections of a population that inherits weights.
        generations: Its trials say which generation they belong to (`Origin.generation`), so that
            a run may count generations.
        seeds: Genomes that the user gave it to begin with and whose turn is over: the study tries
            those that it has no trial of, as when they were given later.
        changes: Another algorithm follows, with traits of its own.
        newcomers: Although it inherits, trials from elsewhere may begin with fresh weights.
        heed: Receives, before each ``ask``, what makes genomes keep to the limits of the task, or
            None; so an algorithm can judge its candidates as they would be tried. None if it does
            not care.
    """

    generational: bool = False
    inherits: bool = False
    duplicates: Duplicates | None = None
    size: int | None = None
    budgets: tuple[float, ...] = ()
    population_size: int | None = None
    interval: int | None = None
    generations: bool = False
    seeds: tuple[Genome, ...] = ()
    changes: bool = False
    newcomers: bool = False
    heed: Callable[[Callable[[Genome], Genome] | None], None] | None = None


class Algorithm(Protocol):
    """A search method.

    ``ask`` only reads the state, and only ``tell`` changes it. All randomness comes from ``rng``.
    ``tell`` accepts failed trials, trials it never asked for and any order of completion.

    Attributes:
        space: The space it searches.
        traits: Properties that the study relies on. A ``tell`` may change them, where one algorithm
            follows another.
    """

    @property
    def space(self) -> Any: ...
    @property
    def traits(self) -> Traits: ...

    def ask(self, rng: np.random.Generator) -> Proposal | None:
        """Propose a trial; None when there is nothing to propose until more results arrive."""

    def tell(self, trial: Trial) -> None:
        """Record a trial that starts (waiting, running) or has ended."""

    def donors(self) -> Collection[int]:
        """Return the numbers of trials whose weights may still be asked for."""


@dataclass(frozen=True, slots=True)
class TaskTraits:
    """Properties of an evaluate function that a study relies on.

    Attributes:
        stacks: Several of its trials may be trained as one stacked model.
        fit: Function of (space, genome) that returns the genome, or one near it which keeps to the
            limits of the task; each proposal goes through it before its trial is recorded, unless
            its params were tried before. None where all genomes of the space can be tried.
    """

    stacks: bool = False
    fit: Fit | None = None


def task_traits(evaluate: Callable[..., Any]) -> TaskTraits:
    """Return the ``traits`` of a task; a plain function needs none and has the defaults."""
    traits = getattr(evaluate, "traits", None)
    return traits if isinstance(traits, TaskTraits) else TaskTraits()


@dataclass(frozen=True, slots=True)
class ExecutorTraits:
    """Properties of an executor that a study relies on.

    Attributes:
        shares_memory: Its trials run in this process, so that they can hand weights over without
            a file.
        stacks: It trains several trials as one stacked model, in which no single one can end early.
    """

    shares_memory: bool = False
    stacks: bool = False


class Executor(Protocol):
    """Runs trials somewhere; knows neither the algorithm nor the storage.

    Attributes:
        traits: Properties that the study relies on.
        capacity: How many trials may be submitted and not yet collected.
    """

    @property
    def traits(self) -> ExecutorTraits: ...
    @property
    def capacity(self) -> int:
        """How many trials may be submitted and not yet collected."""

    def open(self, evaluate: Evaluate) -> None:
        """Prepare to run ``evaluate``; raise ExecutionError when it cannot be run there."""

    def submit(self, trial: Trial) -> None:
        """Start a trial; ``trial.weights`` goes with it."""

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome | Failure]]:
        """Wait for at least one result and return all there are, as (trial number, result).

        Returns an empty list when ``timeout`` seconds pass first.
        """

    def close(self) -> None:
        """Stop what still runs and free everything; harmless when called twice."""


@dataclass(frozen=True, slots=True)
class StudyDefinition:
    """What makes a study the same study when it is opened again.

    Attributes:
        name: Unique within one storage.
        seed: Seed of every random stream of the study.
        space: JSON description of the space.
        objectives: JSON description of objectives and constraints.
        algorithm: One line that describes the algorithm, for people; it may change.
        created: Unix time in seconds.
    """

    name: str
    seed: int
    space: Mapping[str, Any]
    objectives: Mapping[str, Any]
    algorithm: str
    created: float

    def __post_init__(self) -> None:
        freeze(self, "space", "objectives")


@dataclass(frozen=True, slots=True)
class Driver:
    """The one process that may write to a study.

    Attributes:
        host: Name of its machine.
        pid: Its process id there.
        process_started: Unix time in seconds at which that process began.
        since: Unix time in seconds since when it drives the study.
        token: Unique identifier of this driver; it begins with a random word, and may continue with
            what distinguishes its process from others.
    """

    host: str
    pid: int
    process_started: float
    since: float
    token: str


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One line of ``evotune list``.

    Attributes:
        definition: What the study is, as far as that can be read.
        counts: How many trials are in each state.
        driver: The process that drives it, if any.
        damage: What of this cannot be read, and why; "" where all is well.
    """

    definition: StudyDefinition
    counts: Mapping[str, int] = field(default_factory=dict)
    driver: Driver | None = None
    damage: str = ""


class Storage(Protocol):
    """Keeps studies and trials. Every method is one transaction: all of it happens or nothing."""

    def create(self, definition: StudyDefinition) -> StudyDefinition:
        """Store a new study, or return the stored definition when the name is taken."""

    def load(self, name: str) -> StudyDefinition | None:
        """Return the definition of a study, or None when there is none of that name."""

    def studies(self) -> list[StudySummary]:
        """Return a summary of every study, oldest first."""

    def delete(self, name: str) -> None:
        """Remove a study and all its trials; nothing happens when there is none."""

    def acquire(self, name: str, driver: Driver, replacing: Driver | None) -> Driver:
        """Make ``driver`` the study's driver if it has none, or if it has ``replacing``.

        Returns:
            The driver that the study has now.
        """

    def release(self, name: str, driver: Driver) -> None:
        """End the driver's hold; nothing happens when it no longer holds the study."""

    def write(self, name: str, trials: Sequence[Trial], driver: Driver) -> None:
        """Insert or replace trials by number.

        Raises:
            StudyLockedError: Another driver has taken the study over; nothing was written.
            StorageError: Nothing could be written.
        """

    def trials(self, name: str) -> list[Trial]:
        """Return all trials in the order of their numbers."""

    def close(self) -> None:
        """Free connections and files."""
