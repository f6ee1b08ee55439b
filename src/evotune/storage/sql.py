"""A storage in an SQL database: SQLite, or PostgreSQL with the same code."""

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from evotune.errors import StorageError
from evotune.printing import printable
from evotune.protocols import Driver, StudyDefinition, StudySummary
from evotune.storage import tables
from evotune.storage.damage import DamageError
from evotune.storage.fencing import require_hold
from evotune.storage.tables import DEFINITION, DRIVER, TRIAL, studies, trials
from evotune.trial import Trial

_STUDY = studies.c.name == sa.bindparam("study")
_SELECT_DEFINITION = sa.select(*DEFINITION).where(_STUDY)
_SELECT_DRIVER = sa.select(*DRIVER).where(_STUDY)
_SELECT_HOLD = sa.select(studies.c.id, *DRIVER).where(_STUDY).with_for_update()
_SELECT_TRIALS = (
    sa.select(*TRIAL)
    .join(studies, studies.c.id == trials.c.study_id)
    .where(_STUDY)
    .order_by(trials.c.number)
)
_SELECT_SUMMARIES = (
    sa.select(studies.c.id, trials.c.state, sa.func.count(trials.c.number), *DEFINITION, *DRIVER)
    .outerjoin(trials, studies.c.id == trials.c.study_id)
    .group_by(studies.c.id, trials.c.state)
    .order_by(studies.c.created, studies.c.id)
)


_WRITE = 'write "sqlite:///runs.db" or "postgresql://user@host/database"'

_SCHEMA_LOCK = 0x65766F74756E65  # "evotune": any number that nobody else locks

#: Fragments of SQLite's error messages, and what evotune tells the user instead.
_ADVICE = {
    "is full": "lies on a full disk; nothing was written: free some space and run again",
    "is locked": "was locked by another process for more than {timeout:g} s; nothing was written",
    "readonly": "or its directory is read-only; nothing was written: change the permissions",
    "unable to open": "cannot be opened: check the permissions of the file and its directory",
    "not a database": "is not an SQLite database and was left as it is: choose another file",
    "malformed": "is damaged and was left as it is: restore a copy of it or choose another file",
}


class SqlStorage:
    """Keeps studies in a database; any number of threads and processes may use it at once.

    In SQLite a finished write survives the end of the process, even by SIGKILL. A power failure
    may lose the last writes, but does not damage the file.

    Args:
        url: An SQLAlchemy URL such as ``sqlite:///runs.db`` or
            ``postgresql://user@host/database``, or the path of an SQLite file.
        lock_timeout: Seconds to wait while another process writes to the same SQLite file.

    Raises:
        StorageError: The database cannot be opened, is damaged, or was written by a newer
            version of evotune; in each case it was not changed.
    """

    def __init__(self, url: str | os.PathLike[str], *, lock_timeout: float = 30.0) -> None:
        parsed = _parse(url)
        self._is_sqlite = parsed.get_backend_name() == "sqlite"
        self._where = str(parsed.database) if self._is_sqlite else parsed.render_as_string()
        self._lock_timeout = lock_timeout
        if self._is_sqlite:
            self._check_leftover_log(parsed)
        self._open(parsed)
        try:
            self._prepare()
        except StorageError:
            self.close()
            raise

    def __repr__(self) -> str:
        return printable(f"SqlStorage({self._engine.url.render_as_string()!r})")

    def __getstate__(self) -> dict[str, Any]:
        # A copy, here or in another process, opens connections of its own when it needs them.
        names = ("_is_sqlite", "_where", "_lock_timeout")
        return {name: getattr(self, name) for name in names} | {"url": self._engine.url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        url = state.pop("url")
        self.__dict__.update(state)
        self._open(url)

    @property
    def path(self) -> Path | None:
        """The SQLite file, or None for another database."""
        return Path(self._where) if self._is_sqlite else None

    def create(self, definition: StudyDefinition) -> StudyDefinition:
        """See `Storage.create`."""
        with self._writing() as connection:
            connection.execute(self._insert_study, tables.definition_to_row(definition))
            row = connection.execute(_SELECT_DEFINITION, {"study": definition.name}).one()
            return tables.definition_from_row(row)

    def load(self, name: str) -> StudyDefinition | None:
        """See `Storage.load`."""
        with self._reading() as connection:
            row = connection.execute(_SELECT_DEFINITION, {"study": name}).one_or_none()
            return tables.definition_from_row(row) if row else None

    def studies(self) -> list[StudySummary]:
        """See `Storage.studies`."""
        with self._reading() as connection:
            rows = connection.execute(_SELECT_SUMMARIES).all()
        counts: dict[int, dict[str, int]] = {}
        found: dict[int, Sequence[Any]] = {}
        for study_id, state, count, *rest in rows:
            counted = counts.setdefault(study_id, {})
            if state is not None:
                counted[state] = count
            found[study_id] = rest
        return [tables.summary_from_row(row, counts[key]) for key, row in found.items()]

    def delete(self, name: str) -> None:
        """See `Storage.delete`."""
        with self._writing() as connection:
            connection.execute(studies.delete().where(_STUDY), {"study": name})

    def acquire(self, name: str, driver: Driver, replacing: Driver | None) -> Driver:
        """See `Storage.acquire`; an unknown study is a StorageError."""
        token = studies.c.driver_token
        is_free = sa.or_(token.is_(None), token == (replacing.token if replacing else None))
        with self._writing() as connection:
            connection.execute(
                studies.update().where(_STUDY, is_free).values(tables.driver_to_row(driver)),
                {"study": name},
            )
            row = connection.execute(_SELECT_DRIVER, {"study": name}).one_or_none()
            holder = tables.driver_from_row(row, name) if row else None
        if holder is None:
            raise self._no_study(name)
        return holder

    def release(self, name: str, driver: Driver) -> None:
        """See `Storage.release`."""
        is_mine = studies.c.driver_token == driver.token
        with self._writing() as connection:
            connection.execute(
                studies.update().where(_STUDY, is_mine).values(tables.driver_to_row(None)),
                {"study": name},
            )

    def write(self, name: str, trials: Sequence[Trial], driver: Driver) -> None:
        """See `Storage.write`; an unknown study is a StorageError."""
        with self._writing() as connection:
            row = connection.execute(_SELECT_HOLD, {"study": name}).one_or_none()
            if row is None:
                raise self._no_study(name)
            require_hold(name, driver, tables.driver_from_row(row[1:], name))
            if trials:
                rows = [tables.trial_to_row(row[0], trial) for trial in trials]
                connection.execute(self._upsert, rows)

    def trials(self, name: str) -> list[Trial]:
        """See `Storage.trials`; an unknown study has none."""
        with self._reading() as connection:
            rows = connection.execute(_SELECT_TRIALS, {"study": name}).all()
        with self._translated():
            return [tables.trial_from_row(row, name) for row in rows]

    def forget_driver(self, name: str) -> None:
        """End the hold of a driver that cannot be read."""
        with self._writing() as connection:
            nobody = studies.update().where(_STUDY).values(tables.driver_to_row(None))
            connection.execute(nobody, {"study": name})

    def remove_rows(self, name: str, numbers: Sequence[Any], driver: Driver) -> None:
        """Remove trials by what stands in place of their numbers, as `write` writes them."""
        with self._writing() as connection:
            row = connection.execute(_SELECT_HOLD, {"study": name}).one_or_none()
            if row is None:
                raise self._no_study(name)
            require_hold(name, driver, tables.driver_from_row(row[1:], name))
            for number in numbers:
                here = trials.c.study_id == row[0], trials.c.number == number
                connection.execute(trials.delete().where(*here))

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        self._leave_to_parent()
        self._engine.dispose()

    # -- connections --------------------------------------------------------------------------

    def _open(self, url: sa.URL) -> None:
        self._engine = self._connect(url)
        # SQLite gives up at once when a reading transaction turns into a writing one after
        # somebody else wrote; one that says so at its beginning waits its turn.
        self._writer = self._engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        self._pid = os.getpid()
        insert = sqlite.insert if self._is_sqlite else postgresql.insert
        self._insert_study = insert(studies).on_conflict_do_nothing(index_elements=["name"])
        upsert = insert(trials)
        self._upsert = upsert.on_conflict_do_update(
            index_elements=["study_id", "number"],
            set_={column.name: upsert.excluded[column.name] for column in TRIAL[1:]},
        )

    def _leave_to_parent(self) -> None:
        """In a forked child: open own connections, and leave the parent's alone."""
        if self._pid != os.getpid():
            self._parents = self._engine
            self._open(self._engine.url)

    def _connect(self, url: sa.URL) -> sa.Engine:
        try:
            if not self._is_sqlite:
                # The last trial may be hours ago, and the server restarted since.
                return sa.create_engine(url, pool_pre_ping=True)
            engine = sa.create_engine(url, connect_args={"timeout": self._lock_timeout})
        except (ImportError, ArgumentError) as error:
            raise StorageError(
                f"{self._where} cannot be opened: {error}; for PostgreSQL install its driver "
                'with pip install "psycopg[binary]" and write postgresql://user@host/database'
            ) from error
        sa.event.listen(engine, "connect", _set_up)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def _check_leftover_log(self, url: sa.URL) -> None:
        """Check the version of a database whose last process was killed, before SQLite recovers it.

        Opening it for writing starts SQLite's recovery. That is harmless and wanted, but a database
        of a newer evotune must not be changed; a read-only connection recovers nothing.
        """
        if not Path(f"{self._where}-wal").exists():
            return
        uri = f"file:{quote(self._where)}"
        engine = self._connect(url.set(database=uri, query={"mode": "ro", "uri": "true"}))
        try:
            with self._translated(), engine.begin() as connection:
                tables.is_current(connection, self._where)
        finally:
            engine.dispose()

    def _prepare(self) -> None:
        with self._reading() as connection:
            is_current = tables.is_current(connection, self._where)
        if not is_current:
            with self._writing() as connection:
                if not self._is_sqlite:  # one process at a time, as BEGIN IMMEDIATE ensures there
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
                tables.bring_up_to_date(connection)
        if self._is_sqlite:
            # In this mode readers and the writer do not wait for each other. It is stored in the
            # file; if another process has the file open just now, a later opening sets it.
            outside = self._engine.execution_options(sqlite_begin=None)
            with suppress(OperationalError), outside.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        self._leave_to_parent()
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        self._leave_to_parent()
        with self._translated(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DamageError as error:
            raise DamageError(error.fault, shlex.quote(self._where)) from None
        except (SQLAlchemyError, OverflowError, UnicodeError) as error:
            raise StorageError(self._explain(str(getattr(error, "orig", error)))) from error

    def _explain(self, reason: str) -> str:
        for fragment, advice in _ADVICE.items():
            if fragment in reason:
                return f"{self._where} {advice.format(timeout=self._lock_timeout)} ({reason})"
        return f"{self._where} cannot be used as storage, and nothing was written: {reason}"

    def _no_study(self, name: str) -> StorageError:
        return StorageError(
            f"there is no study {name!r} in {self._where}: it was deleted or never created"
        )


def _parse(url: str | os.PathLike[str]) -> sa.URL:
    if isinstance(url, os.PathLike):
        return _check_path(sa.URL.create("sqlite", database=os.fspath(url)))
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (SQLAlchemyError, ValueError) as error:  # a port that is no number
        raise StorageError(f"the storage URL cannot be parsed: {error}; {_WRITE}") from error
    if backend == "sqlite":
        return _check_path(parsed)
    if "@" in (parsed.host or ""):  # what follows it in the password would be printed as a host
        raise StorageError("a password or user with @ in it is written with %40 in a storage URL")
    if backend == "postgresql":
        # psycopg (version 3) is maintained; SQLAlchemy before 2.1 would choose psycopg2.
        bare = parsed.drivername == backend
        return parsed.set(drivername="postgresql+psycopg") if bare else parsed
    raise StorageError(f"storage {parsed.render_as_string()!r} is of an unknown kind; {_WRITE}")


def _check_path(url: sa.URL) -> sa.URL:
    if url.database in (None, "", ":memory:"):
        raise StorageError('an SQLite storage needs a file: write sqlite:///runs.db, or "memory"')
    # Absolute, because connections are opened later too, when the working directory may differ.
    path = Path(str(url.database)).absolute()
    if path.is_dir():
        raise StorageError(f"{path} is a directory; name a file in it: {path / 'runs.db'}")
    if not path.parent.is_dir():
        raise StorageError(
            f"the directory {path.parent} for {path.name} does not exist; create it: "
            f"mkdir -p {path.parent}"
        )
    return url.set(database=str(path))


def _set_up(connection: Any, _: object) -> None:
    """Set the options of one connection; nothing here touches the file."""
    connection.isolation_level = None  # so that sqlite3 begins no transactions by itself
    # Wrong UTF-8 is found where the cell is read; it must not keep all other rows from being read.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    connection.execute("PRAGMA foreign_keys=ON")
    # No flush to disk at each commit: written data is in the operating system's hands and outlives
    # this process; only a power failure can lose the last transactions, each as a whole.
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: sa.Connection) -> None:
    statement = connection.get_execution_options().get("sqlite_begin", "BEGIN")
    if statement is not None:
        connection.exec_driver_sql(statement)
