"""What SQLite adds to the contract: a file that lasts, and other processes that use it."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from evotune.errors import StorageError, StudyLockedError
from evotune.storage import tables
from evotune.storage.sql import SqlStorage
from evotune.testing.storages import FIRST, SECOND, make_definition, make_trial

WRITER = """
import os, signal, sys
from pathlib import Path
from evotune.storage.sql import SqlStorage
from evotune.testing.storages import FIRST, make_definition, make_trial
storage = SqlStorage(Path(sys.argv[1]))
storage.create(make_definition())
storage.acquire("lenet", FIRST, None)
for number in range(int(sys.argv[2])):
    storage.write("lenet", [make_trial(number)], FIRST)
    print(number, flush=True)
if sys.argv[3] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
storage.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


@pytest.fixture
def storage(path: Path) -> Iterator[SqlStorage]:
    storage = SqlStorage(path)
    storage.create(make_definition())
    storage.acquire("lenet", FIRST, None)
    yield storage
    storage.close()


def start_writer(path: Path, trials: int, end: str = "closed") -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(path), str(trials), end]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run_sql(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def contents(path: Path) -> dict[str, bytes]:
    """Return every file of the directory, so that side files count too."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def test_a_closed_database_is_one_file_and_opens_again(storage: SqlStorage, path: Path) -> None:
    storage.write("lenet", [make_trial(0)], FIRST)
    storage.close()
    assert list(contents(path)) == ["runs.db"]
    again = SqlStorage(path)
    assert again.trials("lenet") == [make_trial(0)]
    assert again.studies()[0].driver == FIRST
    again.close()


def test_what_was_written_survives_sigkill(path: Path) -> None:
    writer = start_writer(path, 5, "killed")
    assert writer.wait() < 0
    storage = SqlStorage(path)
    assert storage.trials("lenet") == [make_trial(number) for number in range(5)]
    storage.acquire("lenet", SECOND, FIRST)
    storage.write("lenet", [make_trial(5)], SECOND)
    assert len(storage.trials("lenet")) == 6
    storage.close()


def test_reading_while_another_process_writes(path: Path) -> None:
    writer = start_writer(path, 300)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "0\n"
    reader = SqlStorage(path)
    counts = [len(reader.trials("lenet")) for _ in range(20)]
    reader.close()
    writer.communicate()
    assert writer.returncode == 0
    assert counts == sorted(counts)
    assert counts[0] > 0


def test_a_reader_does_not_wait_for_a_writer(storage: SqlStorage, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    reader = SqlStorage(path, lock_timeout=0.0)
    assert reader.load("lenet") == make_definition()
    assert reader.trials("lenet") == []
    reader.close()
    other.close()


def test_many_processes_may_open_a_new_file_at_once(path: Path) -> None:
    writers = [start_writer(path, 3) for _ in range(4)]
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0] * len(writers)
    storage = SqlStorage(path)
    assert len(storage.trials("lenet")) == 3
    storage.close()


def test_a_lock_held_for_too_long_is_an_error(storage: SqlStorage, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    hasty = SqlStorage(path, lock_timeout=0.05)
    with pytest.raises(StorageError, match=r"locked by another process for more than 0\.05 s"):
        hasty.write("lenet", [make_trial(0)], FIRST)
    other.execute("ROLLBACK")
    hasty.write("lenet", [make_trial(1)], FIRST)
    assert storage.trials("lenet") == [make_trial(1)]
    hasty.close()
    other.close()


def test_a_failed_write_is_rolled_back(storage: SqlStorage) -> None:
    too_long = make_trial(1, seed=2**70)
    with pytest.raises(StorageError, match="nothing was written"):
        storage.write("lenet", [make_trial(0), too_long, make_trial(2)], FIRST)
    assert storage.trials("lenet") == []
    storage.write("lenet", [make_trial(0)], FIRST)
    assert storage.trials("lenet") == [make_trial(0)]


def test_what_is_not_json_is_named(storage: SqlStorage) -> None:
    odd = make_trial(1, note={"sample": {1, 2}})
    with pytest.raises(StorageError, match=r"trial 1 cannot be stored.*set \{1, 2\} is not JSON"):
        storage.write("lenet", [make_trial(0), odd], FIRST)
    assert storage.trials("lenet") == []


def test_two_storages_fence_each_other(storage: SqlStorage, path: Path) -> None:
    other = SqlStorage(path)
    assert other.acquire("lenet", SECOND, None) == FIRST
    assert other.acquire("lenet", SECOND, FIRST) == SECOND
    with pytest.raises(StudyLockedError, match="process 17 on birch"):
        storage.write("lenet", [make_trial(0)], FIRST)
    other.close()


def test_deleting_leaves_no_rows_behind(storage: SqlStorage, path: Path) -> None:
    storage.write("lenet", [make_trial(0)], FIRST)
    storage.delete("lenet")
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM evotune_trials").fetchone() == (0,)
    connection.close()


def test_other_peoples_tables_stay(path: Path) -> None:
    run_sql(path, "CREATE TABLE studies (mine TEXT)", "INSERT INTO studies VALUES ('kept')")
    storage = SqlStorage(path)
    storage.create(make_definition())
    storage.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT * FROM studies").fetchall() == [("kept",)]
    connection.close()
    assert path.exists()


# -- schema versions ------------------------------------------------------------------------------


def add_colour(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE evotune_studies ADD COLUMN colour TEXT DEFAULT 'red'")


def paint_blue(connection: sa.Connection) -> None:
    connection.exec_driver_sql("UPDATE evotune_studies SET colour = colour || ', then blue'")


def break_off(connection: sa.Connection) -> None:
    connection.exec_driver_sql("DELETE FROM evotune_studies")
    connection.exec_driver_sql("SELECT * FROM a_table_that_is_not_there")


def colours(path: Path) -> list[tuple[str]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT colour FROM evotune_studies").fetchall()
    connection.close()
    return found


def test_an_older_database_is_migrated_once(
    storage: SqlStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.close()
    known = list(tables.MIGRATIONS)
    for more in ([add_colour], [add_colour, paint_blue], [add_colour, paint_blue]):
        monkeypatch.setattr(tables, "MIGRATIONS", known + more)
        SqlStorage(path).close()
    assert colours(path) == [("red, then blue",)]


def test_a_migration_that_fails_changes_nothing(
    storage: SqlStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.close()
    before = contents(path)
    with monkeypatch.context() as newer:
        newer.setattr(tables, "MIGRATIONS", [*tables.MIGRATIONS, add_colour, break_off])
        with pytest.raises(StorageError, match="a_table_that_is_not_there"):
            SqlStorage(path)
    assert contents(path) == before
    assert SqlStorage(path).load("lenet") == make_definition()


def test_a_database_from_before_weights_is_migrated(path: Path) -> None:
    """Schema 1 had no columns for checkpoints and inheritance."""
    start_writer(path, 3).wait()
    for column in ("checkpoint", "inherit", "origin", "notes"):
        run_sql(path, f"ALTER TABLE evotune_trials DROP COLUMN {column}")
    run_sql(path, "UPDATE evotune_schema_version SET version = 1")
    storage = SqlStorage(path)
    trials = storage.trials("lenet")
    assert len(trials) == 3
    assert {(trial.checkpoint, len(trial.inherit)) for trial in trials} == {(None, 0)}
    storage.close()


@pytest.mark.parametrize("end", ["closed", "killed", "without a log"])
def test_a_newer_database_is_left_untouched(end: str, path: Path) -> None:
    start_writer(path, 1).wait()
    run_sql(path, "UPDATE evotune_schema_version SET version = 7")
    if end == "without a log":
        run_sql(path, "PRAGMA journal_mode=DELETE")
    if end == "killed":  # then the newest rows are still in the log beside the file
        code = (
            "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('UPDATE evotune_studies SET seed = 3'); os._exit(1)"
        )
        subprocess.run([sys.executable, "-c", code, str(path)], check=False)
        assert contents(path)["runs.db-wal"]
    before = contents(path)
    with pytest.raises(
        StorageError, match=r"newer evotune \(schema 7, this one knows 4\): upgrade"
    ):
        SqlStorage(path)
    after = contents(path)
    before.pop("runs.db-shm", None)  # an index of the log that every reader may rebuild
    after.pop("runs.db-shm", None)
    assert after == before


def test_a_new_study_does_not_take_over_an_old_row(storage: SqlStorage) -> None:
    storage.write("lenet", [make_trial(0)], FIRST)
    storage.create(make_definition("second"))
    storage.delete("second")
    storage.create(make_definition("third"))
    assert storage.trials("third") == []
    assert storage.acquire("third", replace(SECOND), None) == SECOND
