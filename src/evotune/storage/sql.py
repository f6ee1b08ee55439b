"""A storage in an SQL database: SQLite, or PostgreSQL with the same code."""

import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import sqlalchemy as sa
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)

from evotune.errors import StorageError
from evotune.printing import printable
from evotune.protocols import Driver, StudyDefinition, StudySummary
from evotune.storage import tables
from evotune.storage.damage import DamageError
from evotune.storage.fencing import require_hold
from evotune.storage.outages import PATIENCE, Patience
from evotune.storage.tables import DEFINITION, DRIVER, TRIAL, studies, trials
from evotune.storage.watched import WatchedFile
from evotune.trial import Trial

T = TypeVar("T")

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
# With the sum of all lengths every page of a trial is read: one that was overwritten is noticed.
_ALL_LENGTHS = sum((sa.func.coalesce(sa.func.length(c), 0) for c in TRIAL), sa.literal(0))
_SELECT_NUMBERS = (
    sa.select(trials.c.number, _ALL_LENGTHS)
    .join(studies, studies.c.id == trials.c.study_id)
    .where(_STUDY)
)
_SELECT_SUMMARIES = (
    sa.select(studies.c.id, trials.c.state, sa.func.count(trials.c.number), *DEFINITION, *DRIVER)
    .outerjoin(trials, studies.c.id == trials.c.study_id)
    .group_by(studies.c.id, trials.c.state)
    .order_by(studies.c.created, studies.c.id)
)


_WRITE = 'write "sqlite:///runs.db" or "postgresql://user@host/database"'

_SCHEMA_LOCK = 0x65766F74756E65  # "evotune": any number that nobody else locks

#: Seconds to wait at most until a study has been acquired: whoever opens one looks on.
_OPENING_PATIENCE = 10.0
#: Seconds that SQLite itself waits for a lock. It cannot be interrupted then.
_BUSY = 0.5

#: Fragments of SQLite's error messages, and what evotune tells the user instead.
_ADVICE = {
    "is full": "lies on a full disk; nothing was written: free some space and run again",
    "is locked": "was locked by another process for more than {timeout:g} s; nothing was written",
    "readonly": "or its directory is read-only; nothing was written: change the permissions",
    "unable to open": "cannot be opened: check the permissions of the file and its directory",
    "not a database": "is not an SQLite database and was left as it is: choose another file",
    "malformed": (
        "is damaged and was left as it is: restore a copy of it, or write what can be read of it "
        "into a new file, and check that: sqlite3 {source} .recover | sqlite3 {source}.recovered"
    ),
    "no such table": "has lost a table of evotune: restore a copy of it",
    "no such column": "has lost a column of evotune: restore a copy of it",
    "disk I/O": "cannot be read or written; nothing was written: look after its disk",
}

# What SQLite says when waiting may help, the first three also while a study is opened.
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_AWAY = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOLFS,  # a file that may not grow
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}

# SQLSTATEs of a server that is away, overloaded, stopped or a standby; a table that is not there.
_SERVER_AWAY = ("08", "40", "53", "57", "58", "25006", "55P03")
_NO_TABLE = ("42P01", "3F000", "42703")
# A server refuses connections with FATAL and no SQLSTATE. Of these reasons it gets over:
_SERVER_BUSY = (
    "starting up",
    "shutting down",
    "recovery",
    "not yet accepting",
    "too many clients",
    "connection slots",
)

#: So that a network that drops everything is noticed; in seconds, and milliseconds for the last.
_LIBPQ = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class SqlStorage:
    """Keeps studies in a database; any number of threads and processes may use it at once.

    In SQLite a finished write survives the end of the process, even by SIGKILL. A power failure
    may lose the last writes, but does not damage the file.

    Args:
        url: An SQLAlchemy URL such as ``sqlite:///runs.db`` or
            ``postgresql://user@host/database``, or the path of an SQLite file.
        lock_timeout: Seconds to wait while another process writes to the same SQLite file; by
            default ``patience``.
        patience: Seconds to wait while the database is away: a server that restarts, a full disk,
            a lock. While a study is opened it is 10 seconds at most, and what waiting cannot mend
            is an error at once. ``?patience=`` in a URL goes before it.

    Raises:
        StorageError: The database cannot be opened, is damaged, or was written by a newer
            version of evotune; in each case it was not changed.
    """

    def __init__(
        self,
        url: str | os.PathLike[str],
        *,
        lock_timeout: float | None = None,
        patience: float = PATIENCE,
    ) -> None:
        parsed = locate(url)
        self._limit = _seconds(parsed.query.get("patience", patience))
        parsed = parsed.difference_update_query(["patience"])
        self._path = file_of(parsed)
        if self._path is not None:
            _check_path(self._path)
        self._where = parsed.render_as_string() if self._path is None else str(self._path)
        self._lock_timeout = lock_timeout
        self._begin_use()
        if self._path is not None:
            self._check_leftover_log(parsed, self._path)
        self._open(parsed)
        try:
            self._prepare()
        except StorageError:
            self.close()
            raise
        self._watch()

    def __repr__(self) -> str:
        return printable(f"SqlStorage({self._engine.url.render_as_string()!r})")

    def __getstate__(self) -> dict[str, Any]:
        # A copy, here or in another process, opens connections of its own when it needs them.
        names = ("_path", "_where", "_lock_timeout", "_limit")
        return {name: getattr(self, name) for name in names} | {"url": self._engine.url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        url = state.pop("url")
        self.__dict__.update(state)
        self._begin_use()
        self._open(url)
        self._watch()

    @property
    def path(self) -> Path | None:
        """The SQLite file, absolute and without symbolic links, or None for another database."""
        return self._path

    @property
    def source(self) -> str:
        """What names the database in a command, quoted for a shell; without its password."""
        return shlex.quote(self._where)

    def create(self, definition: StudyDefinition) -> StudyDefinition:
        """See `Storage.create`."""

        def work(connection: sa.Connection) -> sa.Row[Any]:
            connection.execute(self._insert_study, tables.definition_to_row(definition))
            return connection.execute(_SELECT_DEFINITION, {"study": definition.name}).one()

        stored = tables.definition_from_row(self._transact(work))
        self._empty_log()
        return stored

    def load(self, name: str) -> StudyDefinition | None:
        """See `Storage.load`."""
        rows = self._read(_SELECT_DEFINITION, {"study": name})
        with self._translated():
            return tables.definition_from_row(rows[0]) if rows else None

    def studies(self) -> list[StudySummary]:
        """See `Storage.studies`."""
        rows = self._read(_SELECT_SUMMARIES)
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
        self._transact(lambda c: c.execute(studies.delete().where(_STUDY), {"study": name}))
        self._stored.pop(name, None)

    def acquire(self, name: str, driver: Driver, replacing: Driver | None) -> Driver:
        """See `Storage.acquire`; an unknown study is a StorageError."""
        token = studies.c.driver_token
        is_free = sa.or_(token.is_(None), token == (replacing.token if replacing else None))
        take = studies.update().where(_STUDY, is_free).values(tables.driver_to_row(driver))

        def work(connection: sa.Connection) -> sa.Row[Any] | None:
            connection.execute(take, {"study": name})
            return connection.execute(_SELECT_DRIVER, {"study": name}).one_or_none()

        row = self._transact(work)
        with self._translated():
            holder = tables.driver_from_row(row, name) if row else None
        if holder is None:
            raise self._no_study(name)
        self._has_written |= holder.token == driver.token
        return holder

    def release(self, name: str, driver: Driver) -> None:
        """See `Storage.release`."""
        is_mine = studies.c.driver_token == driver.token
        free = studies.update().where(_STUDY, is_mine).values(tables.driver_to_row(None))
        self._transact(lambda connection: connection.execute(free, {"study": name}))
        if self._watched is not None and name in self._stored:
            with self._translated():
                self._look_at(name, whole=self._was_changed)

    def write(self, name: str, trials: Sequence[Trial], driver: Driver) -> None:
        """See `Storage.write`; an unknown study is a StorageError."""

        # It may be done twice, when the answer to its COMMIT was lost: the same rows replace
        # themselves. None of them can come late, over newer ones: whoever began to write holds the
        # row of the study until it has ended, and the second attempt waits for that.
        def work(connection: sa.Connection) -> None:
            row = connection.execute(_SELECT_HOLD, {"study": name}).one_or_none()
            if row is None:
                raise self._no_study(name)
            if row[-1] != driver.token:
                require_hold(name, driver, tables.driver_from_row(row[1:], name))
            if trials:
                rows = [tables.trial_to_row(row[0], trial) for trial in trials]
                connection.execute(self._upsert, rows)

        self._transact(work, study=name)
        self._stored.setdefault(name, set()).update(trial.number for trial in trials)
        self._has_written = True

    def trials(self, name: str) -> list[Trial]:
        """See `Storage.trials`; an unknown study has none."""
        rows = self._read(_SELECT_TRIALS, {"study": name})
        with self._translated():
            found = [tables.trial_from_row(row, name) for row in rows]
        self._stored.setdefault(name, set()).update(trial.number for trial in found)
        return found

    def forget_driver(self, name: str) -> None:
        """End the hold of a driver that cannot be read."""
        nobody = studies.update().where(_STUDY).values(tables.driver_to_row(None))
        self._transact(lambda connection: connection.execute(nobody, {"study": name}))

    def remove_rows(self, name: str, numbers: Sequence[Any], driver: Driver) -> None:
        """Remove trials by what stands in place of their numbers, as `write` writes them."""

        def work(connection: sa.Connection) -> None:
            row = connection.execute(_SELECT_HOLD, {"study": name}).one_or_none()
            if row is None:
                raise self._no_study(name)
            require_hold(name, driver, tables.driver_from_row(row[1:], name))
            for number in numbers:
                here = trials.c.study_id == row[0], trials.c.number == number
                connection.execute(trials.delete().where(*here))

        self._transact(work, study=name)
        self._stored.get(name, set()).difference_update(numbers)

    def remove_orphans(self) -> None:
        """Remove the trials of no study."""
        orphans = trials.c.study_id.not_in(sa.select(studies.c.id))
        self._transact(lambda connection: connection.execute(trials.delete().where(orphans)))

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        self._leave_to_parent()
        self._engine.dispose()

    # -- connections --------------------------------------------------------------------------

    def _begin_use(self) -> None:
        self._patience = Patience(self._where)
        self._watched: WatchedFile | None = None
        self._stored: dict[str, set[int]] = {}  # numbers of trials that are known to be there
        self._has_written = False
        self._was_changed = False  # by others

    def _watch(self) -> None:
        self._watched = None if self._path is None else WatchedFile(self._path)

    def _open(self, url: sa.URL) -> None:
        self._engine = self._connect(url)
        # SQLite gives up at once when a reading transaction turns into a writing one after
        # somebody else wrote; one that says so at its beginning waits its turn.
        self._writer = self._engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        self._pid = os.getpid()
        # Each dialect is loaded only where it is used: PostgreSQL's brings asyncio and ssl with it.
        insert = import_module(f"sqlalchemy.dialects.{self._engine.dialect.name}").insert
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
            self._forget_log()

    def _connect(self, url: sa.URL) -> sa.Engine:
        try:
            if self._path is None:
                # The last trial may be hours ago, and the server restarted since.
                given = url.query if url.get_driver_name().startswith("psycopg") else _LIBPQ
                limits = {name: value for name, value in _LIBPQ.items() if name not in given}
                engine = sa.create_engine(url, pool_pre_ping=True, connect_args=limits)
                sa.event.listen(engine, "connect", _set_up_server)
                return engine
            timeout = _BUSY if self._lock_timeout is None else self._lock_timeout
            engine = sa.create_engine(url, connect_args={"timeout": timeout})
        except (ImportError, ArgumentError) as error:
            raise StorageError(
                f"{self._where} cannot be opened: {error}; for PostgreSQL install its driver "
                'with pip install "psycopg[binary]" and write postgresql://user@host/database'
            ) from error
        sa.event.listen(engine, "connect", _set_up)
        sa.event.listen(engine, "begin", _begin)
        for moment in ("connect", "close"):
            sa.event.listen(engine, moment, self._forget_log)
        return engine

    def _forget_log(self, *_: object) -> None:
        """Take note that SQLite may rightly remove its log, or begin another one."""
        if self._watched is not None:
            self._watched.forget_log()

    def _check_leftover_log(self, url: sa.URL, path: Path) -> None:
        """Check the version of a database whose last process was killed, before SQLite recovers it.

        Opening it for writing starts SQLite's recovery. That is harmless and wanted, but a database
        of a newer evotune must not be changed; a read-only connection recovers nothing.
        """
        if not os.path.exists(f"{path}-wal"):  # noqa: PTH110  (False where that is no name)
            return
        uri = f"file:{quote(str(path))}"
        self._open(url.set(database=uri, query={"mode": "ro", "uri": "true"}))
        try:
            self._is_current()
        finally:
            self._engine.dispose()

    def _is_current(self) -> bool:
        return self._transact(lambda c: tables.is_current(c, self._where), writes=False)

    def _open_sealed(self) -> bool:
        """Open a file for reading whose folder nobody may write to; return False elsewhere.

        SQLite otherwise wants to put an index of the log there, also where there is no log.
        """
        path = self._path
        if path is None or os.access(path.parent, os.W_OK) or os.path.exists(f"{path}-wal"):  # noqa: PTH110
            return False
        self._engine.dispose()
        query = {"mode": "ro", "immutable": "1", "uri": "true"}
        self._open(self._engine.url.set(database=f"file:{quote(str(path))}", query=query))
        return True

    def _prepare(self) -> None:
        try:
            is_current = self._is_current()
        except StorageError:
            if not self._open_sealed():
                raise
            is_current = self._is_current()
        if not is_current:
            self._transact(self._bring_up_to_date)
        if self._path is not None:
            # In this mode readers and the writer do not wait for each other. It is stored in the
            # file; if another process has the file open just now, a later opening sets it.
            outside = self._engine.execution_options(sqlite_begin=None)
            with suppress(OperationalError), outside.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")

    def _empty_log(self) -> None:
        """Move a new study from the log into the file, which may be moved without its log one day.

        After a kill the log has the last trials, which are run again; without the study itself the
        file would look as if there had never been one.
        """
        if self._path is not None:
            outside = self._engine.execution_options(sqlite_begin=None)
            with suppress(OperationalError), outside.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def _bring_up_to_date(self, connection: sa.Connection) -> None:
        if self._path is None:  # one process at a time, as BEGIN IMMEDIATE ensures there
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
        tables.bring_up_to_date(connection)

    # -- transactions -------------------------------------------------------------------------

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Return what ``work`` reads in one transaction."""
        return self._transact(work, writes=False)

    def _read(self, statement: sa.Select[Any], values: Any = None) -> Sequence[Any]:
        return self.read(lambda c: c.execute(statement, values).all())

    def _transact(
        self, work: Callable[[sa.Connection], T], *, writes: bool = True, study: str | None = None
    ) -> T:
        """Do ``work`` in one transaction, and all of it again while the database is away.

        Args:
            work: What is to be done; twice is as good as once.
            writes: It does not only read.
            study: The study whose trials it writes.
        """

        def attempt() -> T:
            self._leave_to_parent()
            change = "" if self._watched is None else self._watched.check()
            self._was_changed |= bool(change)
            if change and study is not None:
                self._look_at(study, whole=change == "shrunk")
            with (self._writer if writes else self._engine).begin() as connection:
                done = work(connection)
            if study is not None and self._watched is not None:
                self._watched.remember()
            return done

        with self._translated():
            try:
                done = attempt()
            except Exception as error:
                if not self._may_pass(error):
                    raise
                done = self._patience.wait(attempt, self._may_pass, self._patience_now, _reason)
            self._patience.is_spent = False
            return done

    @property
    def _patience_now(self) -> float:
        return self._limit if self._has_written else min(self._limit, _OPENING_PATIENCE)

    def _may_pass(self, error: BaseException) -> bool:
        """Tell whether waiting may mend an error: until a study has been acquired, few of them.

        Until then the user may have named the wrong place; later it is known to have worked.
        """
        if isinstance(error, OSError):
            return self._has_written
        if not isinstance(error, DBAPIError):
            return False
        if self._path is not None:
            kind = _sqlite_code(error) & 0xFF
            if kind in _LOCKED:
                return self._lock_timeout is None
            return self._has_written and kind in _AWAY and not _is_damage(error)
        state = _sqlstate(error)
        if state:
            return state.startswith(_SERVER_AWAY) and (self._has_written or state != "25006")
        if not isinstance(error, OperationalError | InterfaceError):
            return False
        said = str(error.orig)
        is_refused = "FATAL" in said and not any(reason in said for reason in _SERVER_BUSY)
        return self._has_written or not is_refused

    def _look_at(self, study: str, *, whole: bool) -> None:
        """Look into a file that others may have changed, by a connection that remembers nothing.

        Args:
            study: The study whose trials must all be there.
            whole: Look also at what is not this study's.

        Raises:
            StorageError: It does not have what was written to it.
        """
        fresh = self._connect(self._engine.url)
        try:
            with fresh.begin() as connection:
                sound = not whole or _is_sound(connection)
                found = connection.execute(_SELECT_NUMBERS, {"study": study}).scalars().all()
        finally:
            fresh.dispose()
        if not sound or not self._stored.get(study, set()).issubset(found):
            raise StorageError(
                f"{self._where} was cut short or overwritten while it was in use: it has not got "
                f"all trials of study {study!r} any more",
                lost=True,
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DamageError as error:
            raise DamageError(error.fault, self.source) from None
        except (SQLAlchemyError, OSError, OverflowError, UnicodeError) as error:
            is_lost = self._has_written and _is_damage(error)
            raise StorageError(self._explain(error), lost=is_lost) from error

    def _explain(self, error: BaseException) -> str:
        reason = _reason(error)
        timeout = self._patience_now if self._lock_timeout is None else self._lock_timeout
        for fragment, advice in _ADVICE.items():
            if fragment in reason:
                return (
                    f"{self._where} {advice.format(timeout=timeout, source=self.source)} ({reason})"
                )
        return f"{self._where} cannot be used as storage, and nothing was written: {reason}"

    def _no_study(self, name: str) -> StorageError:
        return StorageError(
            f"there is no study {name!r} in {self._where}: it was deleted or never created",
            lost=self._has_written,
        )


def locate(spec: str | os.PathLike[str], folder: str | os.PathLike[str] = "") -> sa.URL:
    """Return the URL of a database; that of a file has its one true path.

    However a file is named, by symbolic links, ``~`` or relative to a directory that the process
    leaves later, all that is said of it or lies beside it follows from this path.

    Args:
        spec: A path, or a URL.
        folder: What a relative path is relative to; by default where the process is.

    Raises:
        StorageError: It is no URL, or names no file.
    """
    if isinstance(spec, str) and "://" in spec:
        url = _parse(spec)
    else:
        url = sa.URL.create("sqlite", database=os.fspath(spec))
    if url.get_backend_name() != "sqlite":
        return url
    database = url.database or ""
    is_uri = "uri" in url.query and database.startswith("file:")
    if is_uri:
        database = unquote(database.removeprefix("file:"))
    elif "uri" in url.query:
        raise StorageError(
            f"with uri=true a file is written sqlite:///file:{database}?...&uri=true"
        )
    if database in ("", ":memory:") or url.query.get("mode") == "memory":
        raise StorageError('an SQLite storage needs a file: write sqlite:///runs.db, or "memory"')
    try:
        path = str((Path(folder) / Path(database).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, nobody's home
        raise StorageError(f"{database!r} is no place for a storage: {error}") from error
    return url.set(database=f"file:{quote(path)}" if is_uri else path)


def file_of(url: sa.URL) -> Path | None:
    """Return the SQLite file of a URL that `locate` gave, None for another database."""
    if url.get_backend_name() != "sqlite":
        return None
    database = str(url.database)
    return Path(unquote(database.removeprefix("file:")) if database[:5] == "file:" else database)


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (SQLAlchemyError, ValueError) as error:  # a port that is no number
        raise StorageError(f"the storage URL cannot be parsed: {error}; {_WRITE}") from error
    if backend == "sqlite":
        return parsed
    if "@" in (parsed.host or ""):  # what follows it in the password would be printed as a host
        raise StorageError("a password or user with @ in it is written with %40 in a storage URL")
    if backend == "postgresql":
        # psycopg (version 3) is maintained; SQLAlchemy before 2.1 would choose psycopg2.
        bare = parsed.drivername == backend
        return parsed.set(drivername="postgresql+psycopg") if bare else parsed
    raise StorageError(f"storage {parsed.render_as_string()!r} is of an unknown kind; {_WRITE}")


def _check_path(path: Path) -> None:
    try:
        is_folder, has_folder = path.is_dir(), path.parent.is_dir()
        is_special = path.exists() and not path.is_file()
    except OSError as error:  # no name that the file system takes, a folder that is not ours
        raise StorageError(
            f"{path} cannot be opened: {error.strerror}; name another file"
        ) from error
    if is_folder:
        raise StorageError(f"{path} is a directory; name a file in it: {path / 'runs.db'}")
    if is_special:  # a pipe would be waited for
        raise StorageError(f"{path} is no plain file; name another one")
    if not has_folder:
        raise StorageError(
            f"the directory {path.parent} for {path.name} does not exist; create it: "
            f"mkdir -p {path.parent}"
        )


def _seconds(patience: Any) -> float:
    try:
        seconds = float(patience)
    except (TypeError, ValueError):
        seconds = -1.0
    if not seconds >= 0:
        raise StorageError(f"patience is a number of seconds, 0 or more, got {patience!r}")
    return seconds


def _reason(error: BaseException) -> str:
    return str(getattr(error, "orig", error))


def _sqlite_code(error: BaseException) -> int:
    return int(getattr(getattr(error, "orig", None), "sqlite_errorcode", 0))


def _sqlstate(error: BaseException) -> str:
    cause = getattr(error, "orig", None)
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")


def _is_damage(error: BaseException) -> bool:
    """Tell whether a database that worked before has lost its tables or become unreadable."""
    code = _sqlite_code(error)
    is_cut = code == sqlite3.SQLITE_IOERR_SHORT_READ
    return is_cut or code & 0xFF in _DAMAGED or _sqlstate(error) in _NO_TABLE


def _is_sound(connection: sa.Connection) -> bool:
    return bool(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok")


def _set_up(connection: Any, _: object) -> None:
    """Set the options of one connection; nothing here touches the file."""
    connection.isolation_level = None  # so that sqlite3 begins no transactions by itself
    # Wrong UTF-8 is found where the cell is read; it must not keep all other rows from being read.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    connection.execute("PRAGMA foreign_keys=ON")
    # No flush to disk at each commit: written data is in the operating system's hands and outlives
    # this process; only a power failure can lose the last transactions, each as a whole.
    connection.execute("PRAGMA synchronous=NORMAL")


def _set_up_server(connection: Any, _: object) -> None:
    """Let the server end a transaction whose client is cut off: it holds the row of its study."""
    with connection.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = 60000")
    connection.commit()


def _begin(connection: sa.Connection) -> None:
    statement = connection.get_execution_options().get("sqlite_begin", "BEGIN")
    if statement is not None:
        # Past SQLAlchemy, whose way takes as long as writing a trial.
        sqlite: Any = connection.connection.dbapi_connection
        try:
            sqlite.execute(statement)
        except sqlite3.Error as error:
            raise OperationalError(statement, None, error) from error
