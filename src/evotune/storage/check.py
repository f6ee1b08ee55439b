"""Looking through a whole database: every row of every study, readable or not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa

from evotune.errors import EvotuneError, StorageError
from evotune.objectives import Objectives
from evotune.protocols import StudyDefinition
from evotune.storage import tables
from evotune.storage.damage import (
    DamageError,
    Fault,
    find_contradictions,
    find_faults,
    of_study,
    space_of,
)
from evotune.storage.sql import SqlStorage
from evotune.storage.tables import DEFINITION, DRIVER, TRIAL, studies, trials
from evotune.trial import Trial


@dataclass(slots=True)
class Examined:
    """A study as its rows say, with all that is wrong with it.

    Attributes:
        key: Its id in the database.
        name: Its name, made readable where it is damaged.
        definition: What it is; None where that cannot be read.
        rows: The cells of each trial, by the columns of the table.
        trials: Those that can be read, by number.
        faults: What is wrong.
    """

    key: int
    name: str
    definition: StudyDefinition | None = None
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def check(storage: SqlStorage) -> Iterator[Fault]:
    """Yield all that is wrong with a database; nothing in it is changed.

    Args:
        storage: The database, opened.
    """
    damaged = list(file_faults(storage))
    yield from damaged
    try:
        if lost := orphans(storage):
            yield Fault("", None, "", f"rows of table evotune_trials of no study: {len(lost)}")
        for examined in examine(storage):
            yield from examined.faults
    except StorageError as error:
        if not damaged:
            yield _unreadable(storage, "", error)


def file_faults(storage: SqlStorage) -> Iterator[Fault]:
    """Yield what SQLite itself finds wrong with its file."""
    if storage.path is None:
        return
    try:
        lines = storage.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalars().all())
    except StorageError as error:
        yield _unreadable(storage, "", error)
        return
    for line in lines:
        if line != "ok":
            said = f"SQLite finds the file damaged: {' '.join(line.split())}"
            yield Fault("", None, "", said, _recover(storage))


def orphans(storage: SqlStorage) -> list[dict[str, Any]]:
    """Return the cells of all trials whose study is not there."""
    query = sa.select(trials).where(trials.c.study_id.not_in(sa.select(studies.c.id)))
    return [dict(row._mapping) for row in storage.read(partial(_rows, query))]


def _unreadable(storage: SqlStorage, study: str, error: StorageError) -> Fault:
    is_lost = storage.path is None or "no such" in str(error)
    remedy = "restore a copy of the database" if is_lost else _recover(storage)
    what = "its trials" if study else f"{storage.source}"
    reason = getattr(error.__cause__, "orig", error)  # without what the remedy says
    return Fault(study, None, "", f"{what} cannot be read: {reason}", remedy)


def _recover(storage: SqlStorage) -> str:
    return (
        "restore a copy of the file, or write what can be read of it into a new one, and check "
        f"that: sqlite3 {storage.source} .recover | sqlite3 {storage.source}.recovered"
    )


def examine(storage: SqlStorage) -> Iterator[Examined]:
    """Yield every study of a database, with what is wrong with it, oldest first."""
    every_study = sa.select(studies.c.id, *DEFINITION, *DRIVER)
    for key, *row in storage.read(lambda c: c.execute(every_study).all()):
        examined = _examined(key, row)
        query = sa.select(*TRIAL).where(trials.c.study_id == key).order_by(trials.c.number)
        try:
            found = storage.read(partial(_rows, query))
        except StorageError as error:  # a damaged file: others may still be read
            examined.faults.append(_unreadable(storage, examined.name, error))
        else:
            _examine_trials(examined, found)
        yield examined


def _rows(query: sa.Select[Any], connection: sa.Connection) -> Any:
    return connection.execute(query).all()


def _examined(key: int, row: list[Any]) -> Examined:
    fields, wrong = tables.definition_cells(row[: len(DEFINITION)])
    examined = Examined(key, fields["name"])
    try:
        tables.driver_from_row(row[len(DEFINITION) :], examined.name)
    except DamageError as error:
        examined.faults.append(error.fault)
    examined.faults += [of_study(examined.name, c, reason) for c, reason in wrong.items()]
    if not wrong:
        examined.definition = StudyDefinition(**fields)
    return examined


def _examine_trials(examined: Examined, rows: Any) -> None:
    names = [column.name for column in TRIAL]
    unread = set()
    for row in rows:
        examined.rows.append(dict(zip(names, row, strict=True)))
        _, wrong = tables.trial_cells(row)
        if wrong:
            unread.add(row[0])
        else:
            examined.trials.append(tables.trial_from_row(row, examined.name))
        examined.faults += [Fault(examined.name, row[0], c, r) for c, r in wrong.items()]
    if examined.definition is not None:
        examined.faults += _faults_between(examined, {n for n in unread if isinstance(n, int)})


def _faults_between(examined: Examined, unread: set[int]) -> list[Fault]:
    definition = examined.definition
    assert definition is not None
    objectives = Objectives.from_json(definition.objectives)
    try:
        space = space_of(definition)
    except DamageError as error:
        return [error.fault]
    except EvotuneError:  # a domain of the user's own, whose module is not imported here
        space = None
    unread = {number for number in unread if number >= 0}
    trials = examined.trials
    return [
        *find_faults(examined.name, trials, space, objectives, unread),
        *find_contradictions(examined.name, trials, objectives),
    ]
