"""Recorded studies, opened for reading only: nothing is created or locked."""

from collections.abc import Sequence
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path

from evotune.analysis.steps import Step, inherits_weights, steps
from evotune.checks import user_path
from evotune.errors import NoResultError, StorageError
from evotune.objectives import Objectives
from evotune.protocols import Driver, Storage, StudyDefinition, StudySummary
from evotune.storage import open_storage
from evotune.storage.damage import located, refuse_damage, space_of
from evotune.storage.existing import check_file, choose
from evotune.storage.sql import file_of, locate
from evotune.study.ledger import Ledger
from evotune.trial import Trial


class Record:
    """A study as it was recorded at the moment of reading.

    Args:
        definition: What the study is.
        trials: All its trials, by number.
        driver: The process that drives it, if any.

    Raises:
        DamageError: What is stored cannot be right.
        SpaceError: The space has a domain of a kind that is not known here.
    """

    def __init__(
        self, definition: StudyDefinition, trials: Sequence[Trial], driver: Driver | None = None
    ) -> None:
        self.definition = definition
        self.trials = tuple(trials)
        self.driver = driver
        self.space = space_of(definition)
        self.objectives = Objectives.from_json(definition.objectives)
        refuse_damage(self.name, self.trials, self.space, self.objectives)

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.definition.name

    @cached_property
    def ledger(self) -> Ledger:
        """The trials as a ledger, which computes counts, best and front."""
        ledger = Ledger(self.space, self.objectives)
        for trial in self.trials:
            ledger.put(trial)
        return ledger

    @cached_property
    def inherits(self) -> bool:
        """True when trials inherit weights from others."""
        return inherits_weights(self.trials)

    @cached_property
    def steps(self) -> dict[int, Step]:
        """Each trial as a step of its member, by number."""
        return {step.trial.number: step for step in steps(self.trials)}

    @property
    def best(self) -> Trial:
        """The best trial, its metrics averaged over repeats.

        Raises:
            NoResultError: No trial is done yet.
        """
        best = self.ledger.best()
        if best is None:
            failures = [trial.failure.message for trial in self.trials if trial.failure]
            why = f": {len(failures)} failed, the last with: {failures[-1]}" if failures else " yet"
            raise NoResultError(f"study {self.name!r} has no finished trial{why}")
        return best


def open_source(source: str) -> tuple[Storage, str | None]:
    """Open the storage that a user names.

    Args:
        source: A TOML file as for ``evotune run``, an SQLite file, or the URL of a database.

    Returns:
        The storage, and the study's name if a TOML file gives it.

    Raises:
        StorageError: There is no such file, or it holds no studies.
        ConfigError: The TOML file is invalid.
    """
    name: str | None = None
    where: str | Path = source if "://" in source else user_path(source, StorageError)
    if source.endswith(".toml"):
        from evotune.cli.config import location  # loads all that a study may be made of

        name, where = location(user_path(source, StorageError))
    file = file_of(locate(where))
    if file is not None:
        check_file(
            where if isinstance(where, Path) else file,
            f"; create it with: evotune run {source}" if name else "",
        )
    return open_storage(where), name


def read_study(source: str, name: str | None = None) -> Record:
    """Read a study with all its trials.

    Args:
        source: See `open_source`.
        name: Name of the study; not needed if the source gives it or holds only one study.

    Raises:
        StudyError: There is no such study, or several to choose from.
        StorageError: See `open_source`, like ConfigError.
    """
    storage, own = open_source(source)
    try:
        found = {summary.definition.name: summary for summary in storage.studies()}
        summary = found[choose(source, list(found), name or own)]
        return read_record(storage, summary)
    finally:
        storage.close()


def read_record(storage: Storage, summary: StudySummary) -> Record:
    """Read a study that a storage has.

    Raises:
        StorageError: It is damaged.
    """
    name = summary.definition.name
    if storage.load(name) is None:  # its name is what is damaged
        raise StorageError(f"study {name!r} is damaged, {summary.damage}")
    with located(storage):
        return Record(summary.definition, storage.trials(name), summary.driver)


def names_of(source: str | None) -> list[str]:
    """Return the names of the studies of a storage; none where there is none, or it is damaged."""
    with suppress(Exception):  # what is typed is not finished yet, and a shell waits
        storage, _ = open_source(source or "")
        with closing(storage):
            return [summary.definition.name for summary in storage.studies()]
    return []
